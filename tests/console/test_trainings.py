"""Trainings that run or wait, and how the last ones ended."""

from datetime import date, timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from forecasting.console.plot import training_bars
from forecasting.console.trainings import DAYS, SHOWN, Trainings, activity, trainings
from forecasting.models.trainings import TrainingReason, TrainingState
from tests.factories import make_symbol, make_training

pytestmark = pytest.mark.django_db


def shown(*, absent: str = "") -> Trainings:
    return trainings(activity(), absent=absent, today=timezone.localdate())


def test_trainings_are_listed_in_the_order_in_which_they_end(settings: Settings) -> None:
    settings.TRAIN_WORKERS = 1
    make_training(make_symbol("DONE"), state=TrainingState.SUCCEEDED)  # in 30 s
    make_training(make_symbol("LATER"), not_before=timezone.now() + timedelta(hours=1))
    make_training(make_symbol("OLD"), reason=TrainingReason.TOO_OLD)
    make_training(make_symbol("ASKED"))
    make_training(make_symbol("RUNS"), state=TrainingState.RUNNING, reason=TrainingReason.TOO_OLD, progress=0.5)
    rows = [(each.training.subject, each.position.number, each.position.expected_wait_s) for each in shown().active]
    assert rows[:3] == [("RUNS", 0, 15), ("ASKED", 1, 45), ("OLD", 2, 75)]
    assert rows[3][:2] == ("LATER", 3)


def test_without_a_worker_no_wait_is_shown() -> None:
    make_training(make_symbol("DONE"), state=TrainingState.SUCCEEDED)
    make_training(make_symbol("WAITS"))
    (waiting,) = shown(absent="No worker has run yet.").active
    assert (waiting.wait, waiting.position.absence) == (None, "No worker has run yet.")


def test_a_long_queue_is_cut_and_the_rest_counted() -> None:
    for number in range(SHOWN + 3):
        make_training(make_symbol(f"A{number}"))
    assert (len(shown().active), shown().more) == (SHOWN, 3)


def test_ended_trainings_are_counted_by_reason_and_result() -> None:
    make_training(make_symbol("A"), state=TrainingState.SUCCEEDED, reason=TrainingReason.TOO_OLD)
    make_training(make_symbol("B"), state=TrainingState.FAILED, reason=TrainingReason.TOO_OLD)
    make_training(make_symbol("C"), state=TrainingState.CANCELLED)
    first = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)
    make_training(make_symbol("D"), state=TrainingState.FAILED, finished_at=first - timedelta(seconds=1))  # no bar shows it
    assert {value: counts for value, _, counts in shown().reasons} == {"requested": [0, 0, 1], "too_old": [1, 1, 0]}


def test_each_of_fourteen_days_has_a_bar() -> None:
    make_training(make_symbol("A"), state=TrainingState.SUCCEEDED)
    make_training(make_symbol("B"), state=TrainingState.FAILED)
    days = shown().days
    assert (len(days), days[-1].total, days[0].total) == (14, 2, 0)
    today = list(training_bars(days))[-1]
    assert (today.failed_height, today.other_height, today.other_y) == (75.0, 75.0, 0.0)


def test_an_empty_panel_has_no_figures() -> None:
    panel = shown()
    assert (panel.active, panel.more, panel.reasons) == ([], 0, [])
    assert all(isinstance(day.date, date) and not day.total for day in panel.days)
