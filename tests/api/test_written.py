"""Texts that a process keeps with its rows: the same as without, and new as soon as a row is."""

from datetime import date
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.test import APIClient

from forecasting.api import lists
from forecasting.api.lists import RecordViewSet
from forecasting.api.metrics import metrics_json, metrics_text
from forecasting.api.predict import predict_json, prediction_json
from forecasting.live import session_of
from forecasting.models import ModelVersion, Training
from forecasting.models.trainings import TrainingReason
from forecasting.models.versions import VersionState
from forecasting.scorecards import scorecards
from forecasting.serving import Prediction
from tests.api.conftest import Send
from tests.api.rows import make_rows
from tests.factories import make_forecast, make_restatement, make_score, make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db

DAY = date(2025, 6, 2)
VIEWS: dict[str, type[RecordViewSet[Any]]] = {
    "symbols": lists.SymbolViewSet,
    "versions": lists.VersionViewSet,
    "trainings": lists.TrainingViewSet,
    "forecasts": lists.ForecastViewSet,
    "findings": lists.FindingViewSet,
}


@pytest.mark.parametrize("stale", [True, False])
def test_predictions_are_written_like_the_dictionaries(stale: bool) -> None:
    forecast = make_forecast(make_version(make_symbol()), DAY)
    session = session_of(forecast.symbol, None, now=timezone.now())
    found = Prediction(forecast.symbol, forecast=forecast, session=session, stale=stale)
    predictions = [found, Prediction(make_symbol("SAMPLE2"), error="é")]
    answers = {each.symbol.ticker: prediction_json(each, {}) for each in predictions}
    for _ in range(2):
        assert predict_json(predictions, {}) == JSONRenderer().render({"predictions": answers})


def test_metrics_are_written_like_the_dictionaries() -> None:
    make_forecast(make_version(make_symbol()), DAY, actual_close=102.0)
    for _ in range(2):
        for ticker in ("SAMPLE1", "SAMPLE2"):
            card = scorecards(["SAMPLE1", "SAMPLE2"]).get(ticker)
            assert metrics_text(ticker, card) == JSONRenderer().render(metrics_json(ticker, card))


@pytest.mark.parametrize("name", VIEWS)
def test_rows_are_written_like_those_of_the_serializer(client: APIClient, name: str) -> None:
    make_rows(3)
    make_restatement(make_symbol("RESTATED"), ratio=0.1)
    view = VIEWS[name]
    for _ in range(2):
        rows = client.get(f"/models/{name}").content.partition(b'"results":')[2]
        assert rows == JSONRenderer().render(view.serializer_class(view.queryset.all(), many=True).data) + b"}"


def test_a_row_that_changes_is_shown_anew(get: Send) -> None:
    training = make_training(make_symbol())
    for reason in (TrainingReason.TOO_OLD, TrainingReason.DATA_REVISED):
        Training.objects.filter(pk=training.pk).update(reason=reason)
        assert [row["reason"] for row in get("/models/trainings")["results"]] == [reason]


def test_a_score_and_another_version_change_the_metrics_at_once(post: Send) -> None:
    version = make_version(make_symbol())
    forecast = make_forecast(version, DAY)

    def shown() -> tuple[int, int]:
        (answer,) = post("metrics", {"symbols": ["SAMPLE1"]})
        return answer["metrics"]["version"], answer["metrics"]["live"]["forecasts"]

    assert shown() == (1, 0)
    make_score(forecast, 102.0)
    assert shown() == (1, 1)
    ModelVersion.objects.filter(pk=version.pk).update(state=VersionState.RETIRED)
    make_version(version.symbol, number=2)
    assert shown() == (2, 1)
