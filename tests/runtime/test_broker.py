"""The task queue: each task is delivered once, by the database's clock; a cluster's own queue is read by that cluster only."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from time_machine import TimeMachineFixture

from forecasting.runtime.broker import OWN_QUEUE, DatabaseClockBroker
from tests.racing import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "POLL", 0)


def broker(queue: str = "short") -> DatabaseClockBroker:
    return DatabaseClockBroker(queue)


def taken(queue: str = "short") -> list[str]:
    return [payload for _, payload in broker(queue).dequeue()]


def test_tasks_are_taken_one_by_one_the_oldest_first() -> None:
    for task in ("a", "b"):
        broker().enqueue(task)
    assert [taken(), taken(), taken()] == [["a"], ["b"], []]


def test_a_task_is_delivered_again_only_if_it_is_not_acknowledged_in_time() -> None:
    broker().enqueue("a")
    ((key, _),) = broker().dequeue()
    assert (broker().queue_size(), broker().lock_size()) == (0, 1)
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))
    assert taken() == ["a"]
    broker().acknowledge(key)
    assert not OrmQ.objects.exists()


def test_a_queue_does_not_see_the_tasks_of_another() -> None:
    broker("training").enqueue("a")
    assert taken() == []


@pytest.mark.django_db(transaction=True)
def test_concurrent_dequeues_get_different_tasks() -> None:
    for number in range(5):
        broker().enqueue(str(number))
    assert sorted(payload for answer in at_once([taken] * 8) for payload in answer) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("hours", [-1, 1], ids=["slow", "fast"])
def test_a_machine_with_a_wrong_clock_dequeues_waiting_tasks_only(time_machine: TimeMachineFixture, hours: int) -> None:
    broker().enqueue("in progress")
    broker().dequeue()
    broker().enqueue("waiting")
    time_machine.move_to(timezone.now() + timedelta(hours=hours))
    assert [taken(), taken()] == [["waiting"], []]
    broker().enqueue("enqueued by a wrong clock")
    time_machine.move_to(timezone.now() - timedelta(hours=hours))
    assert taken() == ["enqueued by a wrong clock"]


def test_a_ping_is_delivered_to_its_cluster_only(monkeypatch: pytest.MonkeyPatch) -> None:
    broker("short@1").enqueue("ping")
    assert taken() == []
    monkeypatch.setenv(OWN_QUEUE, "short@1")
    assert taken() == ["ping"]
