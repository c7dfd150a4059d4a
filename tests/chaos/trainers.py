"""Faults of the trainer process: killed, frozen, too much memory, stopped, killed in the middle of a publication."""

import os
import random
import signal
import time
from datetime import date
from functools import partial
from pathlib import Path

from django.db import connection

from forecasting.models import ModelVersion, Training
from forecasting.models.trainings import MAX_ATTEMPTS, TrainingState
from forecasting.runtime.processes import wait_for
from tests.chaos.processes import has_ended, kill, members, parent
from tests.chaos.site import (
    FAULTY,
    POLL_SECONDS,
    TICKERS,
    Site,
    has_moved_on,
    is_being_fitted,
    is_in_first_half,
    is_past,
    is_running,
    media,
)
from tests.fake_yahoo import generated_bars

WAITING = 4  # trainings that are always queued, so that a killed trainer leaves work


def killed_trainer(site: Site, count: int) -> None:
    """Case 1: kill -9 at a random moment, from the trainer's start to the middle of a publication."""
    moment = random.Random(len(site.variables))
    with site.worker():
        kills = 0
        while kills < count:
            _keep_busy(site, moment)
            trainer = site.trainer()
            if kills % 2:  # during a training; otherwise also during its start
                wait_for(lambda: site.rows().running().filter(progress__gt=0).exists(), seconds=60, every_s=POLL_SECONDS)
            time.sleep(moment.uniform(0, 2.5))  # a random moment
            victims = {training: training.fence for training in site.rows().running()}
            if not victims or site.trainer() != trainer:  # it had no more work and ended; another trainer runs the training
                continue
            kill(trainer)
            kills += 1
            for victim, fence in victims.items():
                site.within(5, "back in the queue", partial(has_moved_on, victim, fence=fence))
        site.settle()


def _keep_busy(site: Site, moment: random.Random) -> None:
    while (missing := WAITING - site.rows().queued().count()) > 0:
        site.request(moment.sample(TICKERS, missing))


def frozen_trainer(site: Site, count: int) -> None:
    """Case 5: trainer and task process are stopped for two leases; the other machine's result stays."""
    lease = int(site.variables.get("LEASE_SECONDS", "60"))
    patient = {"HANG_SECONDS": str(4 * lease)}  # otherwise the frozen machine would restart its cluster, which is another case
    with site.worker("one", **patient), site.worker("two", **patient):
        for number in range(count):
            (training,) = site.request([TICKERS[number % len(TICKERS)]])
            site.until("a training is in its first half", partial(is_in_first_half, training))
            name = "one" if site.pids("trainer", name="one") else "two"
            trainer = site.trainer(name=name)
            task = parent(trainer)
            stopped_at, fence = time.monotonic(), training.fence
            kill(task, signal.SIGSTOP)
            kill(trainer, signal.SIGSTOP)
            site.within(lease + 30, "taken over by the other machine", partial(is_running, training, after_fence=fence))
            site.settle()
            wait_for(partial(is_past, stopped_at + 2 * lease), seconds=2 * lease + 1)
            versions = list(ModelVersion.objects.order_by("pk").values_list("pk", "state"))
            drawn = _versions_drawn()
            kill(trainer, signal.SIGCONT)  # it continues, and its publication is refused
            wait_for(partial(_has_drawn_or_ended, drawn, trainer), seconds=60)
            kill(task, signal.SIGCONT)
            site.within(30, "the zombie's files are gone", lambda: not _orphans())
            after = list(ModelVersion.objects.order_by("pk").values_list("pk", "state"))
            site.expect(after == versions, f"a zombie changed the versions: {versions} became {after}")


def _has_drawn_or_ended(drawn: int, trainer: int) -> bool:
    return _versions_drawn() > drawn or not Path(f"/proc/{trainer}").exists()


def _versions_drawn() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM forecasting_modelversion_id_seq")
        return int(cursor.fetchone()[0])


def _orphans() -> list[str]:
    known = set(ModelVersion.objects.values_list("folder", flat=True))
    return [folder.name for folder in media().iterdir() if folder.name not in known]


def oversized_trainer(site: Site, count: int) -> None:
    """Case 6: one symbol's training needs too much memory every time; the others succeed."""
    first = generated_bars("LARGE", first=date(1970, 1, 1), last=date(2025, 6, 2))  # long enough to notice its growth
    first.assign(adj_close="").to_csv(Path(site.variables["PRICE_DIR"]) / "LARGE.csv", date_format="%Y-%m-%d")
    leak = site.folder / "leak"
    with site.worker(**FAULTY, LEAK_FILE=str(leak), TRAIN_MEMORY_MB="1500"):
        for number in range(count):
            (large,) = site.request(["LARGE"])
            site.request(TICKERS[2 * number : 2 * number + 2])
            while site.rows().active().exists():
                if is_running(large):
                    leak.touch()
                else:
                    leak.unlink(missing_ok=True)
                time.sleep(POLL_SECONDS)
            told = f"The trainer needed more than 1500 MB of memory. ({MAX_ATTEMPTS} attempts)"
            large.refresh_from_db()
            site.expect((large.state, large.error) == (TrainingState.FAILED, told), f"it {large.state}: {large.error}")
    others = site.rows().exclude(symbol__ticker="LARGE").exclude(state=TrainingState.SUCCEEDED)
    site.expect(not others.exists(), f"others did not succeed: {list(others.values('state', 'error'))}")


def stopped_worker(site: Site, count: int) -> None:
    """Case 7: SIGTERM during a training."""
    for number in range(count):
        (training,) = site.request([TICKERS[number % len(TICKERS)]])
        with site.worker() as worker:
            site.until("a training is being fitted", partial(is_being_fitted, training))
            os.kill(worker.pid, signal.SIGTERM)
            site.within(30, "the worker has ended", partial(has_ended, worker))
        training.refresh_from_db()
        site.expect(
            (training.state, training.attempts) == (TrainingState.QUEUED, 0),
            f"the training is {training.state} after {training.attempts} attempts",
        )


def crash_during_publication(site: Site, count: int) -> None:
    """Case 10: the trainer dies between rename and commit; then the whole cluster dies right after a commit."""
    _slow_publications()
    with site.worker():
        for number in range(count):
            (training,) = site.request([TICKERS[2 * number]])
            site.until("a folder has its final name", _renamed)
            kill(site.trainer())
            site.within(5, "dead before the commit: back in the queue", partial(has_moved_on, training, fence=1))
            site.settle()
            (training,) = site.request([TICKERS[2 * number + 1]])
            assert wait_for(ModelVersion.objects.filter(training=training).exists, seconds=120, every_s=0.001)
            for pid in members(site.clusters()["training"]):
                kill(pid)
            site.within(90, "dead after the commit: the cluster is back", lambda: site.clusters().get("training"))
            training.refresh_from_db()
            site.expect(training.state == TrainingState.SUCCEEDED, f"a published training is {training.state}")
        site.settle()
    site.expect(not Training.objects.exclude(state=TrainingState.SUCCEEDED).exists(), "a training did not succeed")


def _slow_publications() -> None:
    """Makes two seconds pass between rename and commit."""
    with connection.cursor() as cursor:
        body = "'BEGIN PERFORM pg_sleep(2); RETURN NEW; END'"
        cursor.execute(f"CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS {body}")
        cursor.execute("CREATE TRIGGER slow BEFORE INSERT ON forecasting_modelversion FOR EACH ROW EXECUTE FUNCTION take_time()")


def _renamed() -> bool:
    """Whether a folder has its final name but no version yet."""
    return media().exists() and any(not name.startswith(".") for name in _orphans())
