"""The recent actions of everybody: the admin's log, and the trainings that accounts, keys and addresses asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.admin.models import LogEntry
from django.urls import reverse

from forecasting.models import Training

SHOWN = 12
TRAINING_REQUESTED = "Training requested"  # so begin lines of the log
AT_ONCE = timedelta(minutes=1)  # between a training and the line about its request


@dataclass(frozen=True, slots=True)
class Action:
    """Who did what to which row, and when. `address` is the row's page; empty without one."""

    at: datetime
    who: str
    subject: str
    what: str
    address: str


def recent_actions(*, with_trainings: bool) -> Sequence[Action]:
    """The newest first. Two queries.

    Trainings tell who asked for them, whether in the admin or by an API key, so the log's lines about the same are left out.
    """
    entries = LogEntry.objects.select_related("user", "content_type").order_by("-action_time", "-pk")[: 2 * SHOWN]
    asked = Training.objects.exclude(requested_by="").select_related("symbol").newest_first()[:SHOWN] if with_trainings else ()
    told: dict[str, list[datetime]] = {}
    for training in asked:
        told.setdefault(str(training.symbol_id), []).append(training.created_at)
    found = [_logged(entry) for entry in entries if not _is_told(entry, told)] + [_requested(training) for training in asked]
    return sorted(found, key=lambda action: action.at, reverse=True)[:SHOWN]


def _is_told(entry: LogEntry, trainings: Mapping[str, Sequence[datetime]]) -> bool:
    """Whether one of these trainings, by the symbol's key, is the one that the line says was requested."""
    about = trainings.get(entry.object_id or "", ()) if entry.change_message.startswith(TRAINING_REQUESTED) else ()
    return any(abs(entry.action_time - requested) < AT_ONCE for requested in about)


def _logged(entry: LogEntry) -> Action:
    what = entry.get_change_message() or entry.get_action_flag_display()
    who = f"account {entry.user.get_username()}"
    return Action(entry.action_time, who, entry.object_repr, what, "" if entry.is_deletion() else entry.get_admin_url() or "")


def _requested(training: Training) -> Action:
    what = f"Training requested ({training.state})."
    address = reverse("admin:forecasting_training_change", args=[training.pk])
    return Action(training.created_at, training.requested_by, training.subject, what, address)
