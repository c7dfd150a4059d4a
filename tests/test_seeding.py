"""The seeded past: everything has the time at which it happened."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from forecasting import registry
from forecasting.models import Forecast, JobRun, Score, Training
from forecasting.training import queue as training_queue
from tests.seeding import DEFAULTS, live_through
from tests.small_model import trained_model

pytestmark = pytest.mark.django_db(transaction=True)

SESSIONS = 4


def test_a_past_is_lived_at_its_own_time_and_the_clock_is_put_back() -> None:
    live_through(("SAMPLE1",), sessions=SESSIONS, train=_train)

    issued = Forecast.objects.of_next_close().order_by("as_of")
    assert len(issued) >= SESSIONS
    assert all(timedelta(0) < each.issued_at.date() - each.as_of <= timedelta(days=5) for each in issued)
    for score in Score.objects.filter(horizon=1, basis="close").select_related("forecast"):
        assert timedelta(0) < score.scored_at.date() - score.actual_date <= timedelta(days=5)
    assert JobRun.objects.count() > SESSIONS
    assert timezone.now() - Training.objects.earliest("pk").created_at > timedelta(days=SESSIONS)
    with connection.cursor() as cursor:
        cursor.execute(DEFAULTS)
        assert cursor.fetchall()  # they name the database's own clock again


def _train() -> None:
    while training := training_queue.claim():
        registry.publish(trained_model(), training_id=training.pk, fence=training.fence)
