"""The service under load: `manage.py run` as deployed, with a moved clock and a fake Yahoo."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import django

from forecasting.runtime.private_service import PrivateService
from forecasting.runtime.processes import wait_for
from tests.attack.target import OWNER, PROXY, Target
from tests.fake_yahoo import FakeYahoo
from tests.running import MARK
from tests.soak import prices
from tests.soak.load import METRICS_KEY

if TYPE_CHECKING:
    from tests.soak.clock import Clock

HOUR = time(15)  # UTC, at which the clock begins: New York trades, and the hour of the daily job passes with each day
DAILY_SECONDS = 240.0
FAULTS = Path(__file__).resolve().parents[1] / "chaos" / "faults"  # what moves the clock of each process


@dataclass(frozen=True, slots=True)
class Service:
    """The running service; `folder` marks its processes."""

    target: Target
    clock: "Clock"
    folder: Path

    def next_day(self) -> str:
        """Sets the clock forward by a day while nothing is trained, and waits for the daily job; returns what it reports."""
        from django.db import connection  # noqa: PLC0415 - needs Django

        from forecasting.background import daily  # noqa: PLC0415 - needs Django
        from forecasting.models import JobRun  # noqa: PLC0415 - as above

        self.target.until_idle()
        self.clock.forward(timedelta(days=1))
        daily.request()  # the worker has it on schedule, too; only the first one has anything to do
        runs = JobRun.objects.filter(job=daily.DAILY_JOB, date=self.clock.now().date()).exclude(finished_at=None)
        self.target.service.until("the daily job", runs.exists, seconds=DAILY_SECONDS)
        run = runs.get()
        connection.close()  # this is a thread of its own
        return f"{run.date}: {run.state}, {run.report}"


@contextmanager
def running(folder: Path, *, days: int, serving: Sequence[str]) -> Iterator[Service]:
    """The service with these symbols forecast and trained, so many days ago. Django must not be set up before."""
    folder.mkdir(parents=True, exist_ok=True)
    with FakeYahoo() as yahoo:
        service = PrivateService(folder, prices=None, **_variables(folder, yahoo))
        os.environ.update(service.env | {"DJANGO_SETTINGS_MODULE": "stockpred.settings", "ENABLE_LOGS": "False"})
        django.setup()
        from django.db import connection  # noqa: PLC0415 - needs Django

        from tests.soak.clock import Clock  # noqa: PLC0415 - as above

        begin = datetime.combine(datetime.now(UTC).date() - timedelta(days=days + 1), HOUR, UTC)
        clock = Clock(Path(service.env["CLOCK_FILE"]), at=begin)
        prices.fill(yahoo, last=begin.date() + timedelta(days=days + 2), now=clock.now)
        service.manage("migrate")
        clock.install()
        with service:
            try:
                service.until_up()
                yield Service(_prepared(Target(service, yahoo, short=False), serving), clock, folder)
            finally:
                connection.close()


def _variables(folder: Path, yahoo: FakeYahoo) -> dict[str, str]:
    return {
        MARK: str(folder),
        "PYTHONPATH": str(FAULTS),
        "CLOCK_FILE": str(folder / "clock"),
        "PRICE_SOURCE": "yahoo",
        "YAHOO_URL": yahoo.url,
        "UPSTREAM_REQUESTS_PER_MINUTE": "600",
        "TRUSTED_PROXIES": PROXY,
        "ANONYMOUS_REQUESTS_PER_MINUTE": "300",  # the default; PrivateService has none
        "RETRAIN_COOLDOWN": "0",
        "METRICS_KEY": METRICS_KEY,
    }


def _prepared(target: Target, serving: Sequence[str]) -> Target:
    """Waits until these symbols have forecasts and, except the short ones, versions of their own."""

    def served() -> bool:
        predictions = target.ask("POST", "/models/predict", {"symbols": list(serving)}, by=OWNER).json["predictions"]
        return {each["status"] for each in predictions.values()} == {"success"}

    assert wait_for(served, seconds=180, every_s=1.0), "the symbols have no forecasts"
    target.until_trained([symbol for symbol in serving if symbol not in prices.SHORT])
    target.until_idle()
    return target
