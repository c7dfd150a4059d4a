"""The recent actions of everybody: the admin's log, and the trainings that accounts, keys and addresses asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.admin.models import LogEntry
from django.urls import reverse

from forecasting.models import Training

SHOWN = 12
TRAINING_REQUESTED = "Training requested."  # in the log of the admin


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

    Trainings tell who asked for them, whether in the admin or by an API key, so the log's lines about them are left out.
    """
    entries = LogEntry.objects.select_related("user", "content_type").order_by("-action_time", "-pk")
    if with_trainings:
        entries = entries.exclude(change_message=TRAINING_REQUESTED)
    found = [_logged(entry) for entry in entries[:SHOWN]]
    if with_trainings:
        asked = Training.objects.exclude(requested_by="").select_related("symbol").newest_first()
        found += [_requested(training) for training in asked[:SHOWN]]
    return sorted(found, key=lambda action: action.at, reverse=True)[:SHOWN]


def _logged(entry: LogEntry) -> Action:
    what = entry.get_change_message() or entry.get_action_flag_display()
    who = f"account {entry.user.get_username()}"
    return Action(entry.action_time, who, entry.object_repr, what, "" if entry.is_deletion() else entry.get_admin_url() or "")


def _requested(training: Training) -> Action:
    what = f"Training requested ({training.state})."
    address = reverse("admin:forecasting_training_change", args=[training.pk])
    return Action(training.created_at, training.requested_by, training.subject, what, address)
