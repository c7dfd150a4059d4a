"""Scores: appended and never changed. Each forecast has one current score, which track records use."""

import math
from datetime import date
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from forecasting.models import Forecast, Score
from forecasting.models.scores import ScoreReason
from tests.factories import make_forecast, make_score, make_symbol, make_version
from tests.models.refusals import refused_by

pytestmark = pytest.mark.django_db

MONDAY = date(2025, 6, 2)


@pytest.fixture
def score() -> Score:
    """The only score of a forecast."""
    return make_forecast(make_version(make_symbol()), MONDAY, actual_close=102.0).scores.get()


@pytest.mark.parametrize(
    "change",
    [
        {"actual_close": 103.0},
        {"absolute_error": 0.0},
        {"reason": ScoreReason.CORRECTED},
        {"actual_date": date(2025, 7, 1)},
        {"latest": False, "inside_interval": False},
        {"latest": True},
    ],
    ids=lambda change: " and ".join(change),
)
def test_a_score_cannot_be_changed(score: Score, change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=f"score {score.pk} cannot be changed"), transaction.atomic():
        Score.objects.update(**change)


def test_a_score_that_no_longer_counts_cannot_count_again(score: Score) -> None:
    assert Score.objects.update(latest=False) == 1
    with pytest.raises(IntegrityError, match="cannot be changed"), transaction.atomic():
        Score.objects.update(latest=True)


def test_a_score_cannot_be_deleted(score: Score) -> None:
    with pytest.raises(IntegrityError, match=f"score {score.pk} cannot be deleted"), transaction.atomic():
        score.delete()


def test_a_forecast_that_is_scored_cannot_be_deleted(score: Score) -> None:
    with pytest.raises(ProtectedError):
        score.forecast.delete()


def test_of_the_scores_of_a_forecast_one_counts(score: Score) -> None:
    with refused_by("score_one_latest"):
        make_score(score.forecast, 103.0)


def test_a_forecast_comes_with_its_latest_score(score: Score) -> None:
    make_forecast(score.forecast.version, date(2025, 6, 3))
    Score.objects.update(latest=False)
    latest = make_score(score.forecast, 103.0, reason=ScoreReason.CORRECTED)
    assert [forecast.score for forecast in Forecast.objects.with_score()] == [None, latest]
    assert Forecast.objects.scored().get() == score.forecast


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"actual_close": 0.0}, "score_close_positive"),
        ({"actual_close": math.nan}, "score_close_positive"),
        ({"absolute_error": -1.0}, "score_errors_not_negative"),
        ({"naive_absolute_error": math.inf}, "score_errors_not_negative"),
        ({"reason": "guessed"}, "score_reason_known"),
    ],
)
def test_a_score_that_cannot_be_is_refused(wrong: dict[str, Any], constraint: str) -> None:
    forecast = make_forecast(make_version(make_symbol()), MONDAY)
    with refused_by(constraint):
        make_score(forecast, **({"actual_close": 102.0, "absolute_error": 1.0} | wrong))


def test_the_track_record_counts_the_latest_score_of_each_scored_forecast() -> None:
    version = make_version(make_symbol())
    make_forecast(version, date(2025, 6, 2), actual_close=102.0)
    corrected = make_forecast(version, date(2025, 6, 3), actual_close=109.0)
    corrected.scores.update(latest=False)
    make_forecast(version, date(2025, 6, 4))
    make_score(corrected, 105.0, reason=ScoreReason.CORRECTED)
    record = {"symbol_id": version.symbol_id, "forecasts": 2, "mae": 2.5, "naive_mae": 3.5, "coverage": 0.5}
    assert list(Score.objects.track_record()) == [record]
