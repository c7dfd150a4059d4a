"""Runs of jobs."""

from datetime import date

import pytest

from forecasting.models import JobRun
from tests.models.refusals import refused_by

pytestmark = pytest.mark.django_db

MONDAY = date(2025, 6, 2)


def test_a_job_runs_once_a_date() -> None:
    JobRun.objects.create(job="daily", date=MONDAY)
    JobRun.objects.create(job="weekly", date=MONDAY)
    with refused_by("job_one_run_per_date"):
        JobRun.objects.create(job="daily", date=MONDAY)


def test_a_job_run_of_an_unknown_state_is_refused() -> None:
    with refused_by("job_state_known"):
        JobRun.objects.create(job="daily", date=MONDAY, state="asleep")
