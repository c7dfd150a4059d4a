"""Whether a worker runs: told by the heartbeats of its clusters."""

from datetime import UTC

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting.models import WorkerProcess
from forecasting.training.workers import CLUSTERS, absence
from tests.factories import make_worker

pytestmark = pytest.mark.django_db


def test_a_worker_whose_clusters_were_seen_a_short_time_ago_runs(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    make_worker()
    with django_assert_num_queries(1):
        assert absence(*CLUSTERS) == ""


def test_after_hang_seconds_without_a_heartbeat_no_worker_runs(settings: Settings) -> None:
    make_worker(seen_s=settings.HANG_SECONDS - 5)
    assert absence("training") == ""
    make_worker(seen_s=settings.HANG_SECONDS + 1)
    seen = WorkerProcess.objects.get(cluster="training").seen_at.astimezone(UTC)
    assert absence("training") == f"No worker since {seen:%Y-%m-%d %H:%M} UTC."


def test_a_worker_without_one_of_its_clusters_does_not_do_all_its_work() -> None:
    make_worker()
    WorkerProcess.objects.filter(cluster="training").delete()
    assert (absence("short"), absence(*CLUSTERS)) == ("", "No worker has run yet.")


def test_one_of_several_workers_is_enough() -> None:
    make_worker(seen_s=1000)
    WorkerProcess.objects.update(host="elsewhere")
    make_worker()
    assert absence(*CLUSTERS) == ""
