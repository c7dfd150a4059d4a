"""Heartbeats of worker processes."""

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from forecasting.models import WorkerProcess
from forecasting.models.workers import KEPT, Beat
from tests.factories import make_worker

pytestmark = pytest.mark.django_db


def test_a_process_has_one_row_and_its_times_are_the_databases(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    WorkerProcess.objects.all().record([Beat("short", 7, started_s=60, seen_s=20)])
    before = WorkerProcess.objects.get()
    with django_assert_num_queries(2):
        WorkerProcess.objects.all().record([Beat("short", 7, started_s=75, seen_s=5)])
    after = WorkerProcess.objects.get()
    assert after.pk == before.pk
    assert after.seen_at - after.started_at == timedelta(seconds=70)
    assert after.seen_at > before.seen_at


def test_processes_that_have_been_gone_for_a_day_are_forgotten() -> None:
    make_worker(seen_s=KEPT.total_seconds() + 1)
    WorkerProcess.objects.all().record([Beat("", 7, started_s=0, seen_s=0)])
    assert WorkerProcess.objects.get().pid == 7
