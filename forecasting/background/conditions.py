"""What is wrong now. Each function finds one kind of event: a text by subject.

An empty text means that nobody can tell now, such as while a new attempt runs: an alert stays as it is. What is missing is fine.
"""

import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from django.conf import settings

from forecasting import market, readiness, summary
from forecasting.models import JobRun, Training, Upstream
from forecasting.models.alerts import AlertEvent
from forecasting.models.jobs import JobState
from forecasting.models.trainings import ACTIVE_STATES, TrainingState
from forecasting.models.upstream import BreakerState
from forecasting.training.workers import CLUSTERS, absence

UNCERTAIN = ""
FOLDERS = ("MEDIA_ROOT", "STATE_DIR", "LOG_DIR")
RELIEF = 1.1  # a disk is fine again with this much more than the limit: it must not alternate

Found = Mapping[str, str]


def no_worker() -> Found:
    """Since when no worker has given a sign of life."""
    absent = absence(*CLUSTERS)
    return {"": absent} if absent else {}


def daily_job() -> Found:
    """The newest run if it failed or is incomplete, or that there was none for too long. One that goes on may still succeed."""
    part, run = readiness.daily_job(), JobRun.objects.order_by("-date").first()
    if not part.is_ready:
        return {"": part.text}
    if run is None or run.state == JobState.SUCCEEDED:
        return {}
    return {"": UNCERTAIN if run.state == JobState.RUNNING else f"Run of {run.date}: {run.told_state}. {run.error}"}


def trainings() -> Found:
    """The symbols in service whose newest training failed for good."""
    newest = Training.objects.filter(pk__in=Training.objects.newest_per_symbol().values("pk"), symbol__removed_at=None)
    listed = newest.filter(state__in=[TrainingState.FAILED, *ACTIVE_STATES]).select_related("symbol")
    return {each.subject: each.error if each.state == TrainingState.FAILED else UNCERTAIN for each in listed}


def price_source() -> Found:
    """The pause of the price source. When it is over, one request tests whether the source works."""
    row = Upstream.objects.filter(source=settings.PRICE_SOURCE).first()
    return {} if row is None or row.state == BreakerState.CLOSED else {row.source: market.why_paused() or UNCERTAIN}


def coverage() -> Found:
    """The exchanges whose intervals hold too few or too many closes, by one of their records."""
    return {
        each.exchange: f"the intervals held {each.coverage:.1%} of {each.forecasts} closes in the last {each.seen} sessions; "
        f"by chance, {each.low:.1%} to {each.high:.1%}"
        for each in summary.records()
        if not each.is_inside
    }


def disk() -> Found:
    """The folders of this machine with too little space, or that cannot be read; folders of one file system are one."""
    found: dict[str, str] = {}
    systems = set()
    for folder in (Path(getattr(settings, name)) for name in FOLDERS):
        subject, limit = f"{machine()}{folder}", settings.ALERT_DISK_FREE_MB
        try:
            system, megabytes = folder.stat().st_dev, shutil.disk_usage(folder).free / 1e6
        except FileNotFoundError:
            continue
        except OSError as error:
            found[subject] = f"it cannot be read: {error.strerror}"
            continue
        if megabytes < RELIEF * limit and system not in systems:
            found[subject] = f"{megabytes:,.0f} MB are free" if megabytes < limit else UNCERTAIN
        systems.add(system)
    return found


def machine() -> str:
    """How the subjects of this machine begin: it knows nothing of the disks of others."""
    return f"{socket.gethostname()} "


CONDITIONS: dict[AlertEvent, Callable[[], Found]] = {
    AlertEvent.NO_WORKER: no_worker,
    AlertEvent.DAILY_JOB: daily_job,
    AlertEvent.TRAINING: trainings,
    AlertEvent.PRICE_SOURCE: price_source,
    AlertEvent.COVERAGE: coverage,
    AlertEvent.DISK: disk,
}
