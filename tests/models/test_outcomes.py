"""Finished tasks of django-q2: forgotten without a look at their pickles."""

import base64
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import Task
from picklefield.fields import PickledObject

from forecasting.models import TaskOutcome, outcomes
from tests.attack.intruders import Trap

pytestmark = pytest.mark.django_db


def add_tasks(count: int, *, success: bool, **values: Any) -> None:
    """Finished tasks, the first one the newest."""
    now = timezone.now()
    Task.objects.bulk_create(
        Task(
            id=f"{success}{place}",
            name="t",
            func="f",
            started=now,
            stopped=now - timedelta(minutes=place),
            success=success,
            **values,
        )
        for place in range(count)
    )


def kept() -> list[str]:
    return sorted(Task.objects.values_list("id", flat=True))


def test_the_newest_successes_and_failures_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "KEPT_TASKS", 2)
    add_tasks(3, success=True)
    add_tasks(4, success=False)
    TaskOutcome.objects.bulk_create(TaskOutcome(task_id=pk, text="done") for pk in kept())
    assert outcomes.forget_old_tasks() == 3
    assert kept() == ["False0", "False1", "True0", "True1"]
    assert TaskOutcome.objects.count() == 4


def test_no_pickle_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(outcomes, "KEPT_TASKS", 0)
    trap = PickledObject(base64.b64encode(pickle.dumps(Trap(tmp_path / "sprung"))).decode())
    add_tasks(2, success=True, result=trap)
    outcomes.forget_old_tasks()
    assert kept() == []
    assert not (tmp_path / "sprung").exists()
