"""Faults of the environment: a database that stops, a disk that is full or read-only."""

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils import timezone

from forecasting.models import Training
from forecasting.models.trainings import MAX_ATTEMPTS, TrainingState
from stockpred.embedded_postgres.server import EmbeddedPostgres
from tests.chaos.site import TICKERS, Site, Web, is_being_fitted, is_past, is_running, is_unfinished

DOWN_SECONDS = 10.0
RESUMED_SECONDS = 30.0


def absent_database(site: Site, count: int) -> None:
    """Case 8: an immediate shutdown of Postgres for ten seconds: when idle, during a training, during a publication."""
    server = EmbeddedPostgres.at(Path(site.variables["OWN_SERVER"]))
    with site.web() as web, site.worker():
        site.until_clusters_run()
        for number in range(count):
            first, second, third = TICKERS[3 * number : 3 * number + 3]
            _without(server, site, web, "idle")
            (training,) = site.request([first])
            site.within(RESUMED_SECONDS, "idle: a new training runs", partial(is_running, training))
            site.settle()
            (training,) = site.request([second])
            site.until("a training is being fitted", partial(is_being_fitted, training))
            back = _without(server, site, web, "training")
            site.within(RESUMED_SECONDS, "in a training: work goes on", partial(_works, training, since=back))
            site.settle()
            with _slow_publication():
                (training,) = site.request([third])
                site.until("a version is being published", _is_publishing)
                back = _without(server, site, web, "publishing")
            site.within(RESUMED_SECONDS, "in a publication: work goes on", partial(_works, training, since=back))
            site.settle()
    site.expect(not Training.objects.exclude(state=TrainingState.SUCCEEDED).exists(), "a training did not succeed")


def _without(server: EmbeddedPostgres, site: Site, web: Web, when: str) -> datetime:
    """Stops the database for DOWN_SECONDS, during which the API must answer 503; returns the time of its return."""
    connection.close()
    os.kill(int((server.folders.data / "postmaster.pid").read_text().partition("\n")[0]), signal.SIGQUIT)
    back_at = time.monotonic() + DOWN_SECONDS
    site.until("Postgres has stopped", lambda: not server.is_running())
    while time.monotonic() < back_at:
        for method, path, body in (("GET", "/health", {}), ("POST", "/models/check", {"symbols": [TICKERS[0]]})):
            status, headers, _ = web.ask(method, path, **body)
            answered = (status, "Retry-After" in headers)
            site.expect(answered == (http.client.SERVICE_UNAVAILABLE, True), f"{when}: {path} answered {answered}")
        time.sleep(0.5)
    server.ensure()
    back = timezone.now()
    site.within(RESUMED_SECONDS, f"{when}: the API answers again", lambda: web.status("GET", "/health") == http.client.OK)
    return back


def _works(training: Training, *, since: datetime) -> bool:
    """Whether it has succeeded, or its lease was granted or extended since then."""
    training.refresh_from_db()
    lease = timedelta(seconds=settings.LEASE_SECONDS)
    extended = training.lease_expires_at is not None and training.lease_expires_at - lease > since
    return training.state == TrainingState.SUCCEEDED or extended


def _is_publishing() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_stat_activity WHERE query LIKE 'INSERT INTO \"forecasting_modelversion\"%%' AND state = 'active'"
        )
        return bool(cursor.rowcount)


@contextlib.contextmanager
def _slow_publication() -> Iterator[None]:
    with connection.cursor() as cursor:
        body = "'BEGIN PERFORM pg_sleep(3); RETURN NEW; END'"
        cursor.execute(f"CREATE OR REPLACE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS {body}")
        cursor.execute("CREATE TRIGGER slow BEFORE INSERT ON forecasting_modelversion FOR EACH ROW EXECUTE FUNCTION take_time()")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER slow ON forecasting_modelversion")


def refusing_disk(site: Site, count: int) -> None:
    """Case 9: the disk of the model files is full or read-only; existing models keep serving."""
    Path(settings.MEDIA_ROOT).mkdir(parents=True, exist_ok=True)
    with site.web() as web:
        with site.worker():
            site.request(TICKERS[:1])
            site.settle()
        for number in range(count):
            _refused(site, web, TICKERS[number + 1], *(FULL, READ_ONLY)[number % 2])


REFUSED_SECONDS = 300  # for all attempts of a training, with their pauses

# A shell command that runs another one without free space in $MEDIA_ROOT, and the error that this causes.
FULL = ('mount -t tmpfs -o size=16k none "$MEDIA_ROOT" && exec "$0" "$@"', "No space left on device")
READ_ONLY = (
    'mount --bind "$MEDIA_ROOT" "$MEDIA_ROOT" && mount -o remount,ro,bind "$MEDIA_ROOT" && exec "$0" "$@"',
    "Read-only file system",
)
LIMITED = ('ulimit -f 8 && exec "$0" "$@"', "File too large")  # for machines that allow no mounts


def _refused(site: Site, web: Web, ticker: str, script: str, reason: str) -> None:
    """Every attempt fails with the reason, while the API forecasts with the existing version."""
    inside = _own_mounts()
    if not inside:
        script, reason = LIMITED
    with site.worker("refused", within=[*inside, "sh", "-c", script], ENABLE_LOGS="False"):
        (training,) = site.request([ticker])
        ends = time.monotonic() + REFUSED_SECONDS
        while is_unfinished(training) and not is_past(ends):
            status, _, answer = web.ask("POST", "/models/predict", symbols=TICKERS[:1])
            served = status == http.client.OK and answer["predictions"][TICKERS[0]]["status"] == "success"
            site.expect(served, f"predict answered {status}: {answer}")
            time.sleep(0.2)
    told = f"The model's files could not be written: {reason}. ({MAX_ATTEMPTS} attempts)"
    site.expect((training.state, training.error) == (TrainingState.FAILED, told), f"it {training.state}: {training.error}")


def _own_mounts() -> list[str]:
    """The command that runs another one with its own mounts; empty if this machine does not allow us that."""
    for command in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        with contextlib.suppress(OSError):
            if subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0:
                return command
    return []
