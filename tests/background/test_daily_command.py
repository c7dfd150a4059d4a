"""`manage.py daily`: runs once per date, or only shows the plan."""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from forecasting.background.daily import due_date
from forecasting.models import Forecast, JobRun, ModelVersion, PriceBar, Training
from forecasting.models.jobs import JobState
from tests.factories import add_bars, make_forecast, make_symbol
from tests.small_model import publish_model

pytestmark = pytest.mark.django_db


def daily(*words: str) -> str:
    output = io.StringIO()
    call_command("daily", *words, stdout=output)
    return output.getvalue()


def test_it_does_the_job_of_a_date_once() -> None:
    yesterday = due_date() - timedelta(days=1)
    assert daily("--date", str(yesterday)) == f"Daily job of {yesterday}: done.\n"
    assert daily("--date", str(yesterday)) == f"Daily job of {yesterday}: already done.\n"
    assert list(JobRun.objects.values_list("date", "state")) == [(yesterday, JobState.SUCCEEDED)]


def test_a_future_date_is_refused() -> None:
    with pytest.raises(CommandError, match="--date 2999-01-01 is in the future"):
        daily("--date", "2999-01-01")


def test_a_dry_run_shows_the_plan_and_changes_nothing(settings: Settings) -> None:
    settings.KEEP_VERSIONS = 1
    symbol = make_symbol()
    bars = add_bars(symbol)
    version = publish_model(symbol)
    make_forecast(version, bars[-2].date, target_date=bars[-1].date)
    publish_model(symbol)
    ModelVersion.objects.update(trained_at=timezone.now() - timedelta(days=16))
    before = (Training.objects.count(), PriceBar.objects.count(), Forecast.objects.scored().count())
    assert daily("--dry-run").splitlines() == [
        f"Run of {due_date()}: none yet.",
        "Prices of 1 symbols would be synced.",
        "1 due forecasts would be scored.",
        "1 symbols would be forecast; 0 of them have a forecast from their newest bar.",
        "Symbols to retrain (performance lost): 0.",
        "Symbols to retrain (data revised): 0.",
        "Symbols to retrain (too old): 1 (SAMPLE1).",
        "The base model would not be retrained.",
        "Files of 1 old versions and 0 orphaned folders would be removed.",
        "0 symbols that never had prices would be forgotten.",
    ]
    assert (Training.objects.count(), PriceBar.objects.count(), Forecast.objects.scored().count()) == before
    assert not JobRun.objects.exists()
    assert set(ModelVersion.objects.values_list("files_state", flat=True)) == {"kept"}
