"""The answer of `predict`, for each symbol: a forecast, a training that it waits for, or a failure."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers

from forecasting import serving
from forecasting.api.fields import Constant, Shape, Text
from forecasting.api.forecast import ForecastAnswer, ForecastFields, Interval, OutlookEntry, RequestFields, summary
from forecasting.api.trainings import IN_PROGRESS, STARTED, ActiveTraining, Located, located
from forecasting.api.written import json_text, written
from forecasting.live import Session
from forecasting.models import Forecast, Symbol
from forecasting.models.forecasts import Outlook, ascending
from forecasting.pipeline.model.distribution import PriceDistribution
from forecasting.training.positions import Position


class Waiting(NamedTuple):
    """A prediction without a forecast, and the training that it waits for."""

    prediction: serving.Prediction
    training: Located | None


class TrainingAnswer(Shape):
    """No model can forecast the symbol yet: its training waits or runs, or the symbol is being looked up. Try again later."""

    status = Constant("training")
    message = Text(of=lambda waiting: STARTED if waiting.prediction.started or not waiting.training else IN_PROGRESS)
    training = ActiveTraining(allow_null=True, help_text="Null until the price source has said that it knows the symbol.")


class FailureAnswer(Shape):
    """There is no forecast of the symbol."""

    status = Constant("failed")
    error = Text(help_text="Why, and what helps.")


class PredictAnswer(serializers.Serializer[Any]):
    """Each symbol's prediction."""

    predictions = serializers.DictField(
        child=PolymorphicProxySerializer(
            "Prediction",
            serializers=[ForecastAnswer, TrainingAnswer, FailureAnswer],
            resource_type_field_name="status",
        ),
        help_text="By symbol, in the order of the request.",
    )


def predict_json(
    predictions: Iterable[serving.Prediction], positions: Mapping[int, Position], coverage: float | None = None
) -> bytes:
    """The answer of `predict`, as JSON. `coverage`: of the intervals, if not that of the stored ones."""
    answers = (json_text(each.symbol.ticker) + b":" + _text(each, positions, coverage) for each in predictions)
    return b'{"predictions":{' + b",".join(answers) + b"}}"


def prediction_json(
    prediction: serving.Prediction, positions: Mapping[int, Position], coverage: float | None = None
) -> dict[str, Any]:
    """The answer of `predict` for one symbol."""
    if forecast := prediction.forecast:
        answer = ForecastAnswer.json(prediction)
        return answer if coverage in (None, forecast.interval_level) else answer | _at(coverage, forecast)
    if prediction.error:
        return FailureAnswer.json(prediction)
    return TrainingAnswer.json(Waiting(prediction, located(prediction.training, positions)))


def _text(prediction: serving.Prediction, positions: Mapping[int, Position], coverage: float | None) -> bytes:
    """The same as `prediction_json`, from two texts if it can be: that of the forecast, and what depends on the request."""
    forecast = prediction.forecast
    if not forecast or coverage not in (None, forecast.interval_level):
        return json_text(prediction_json(prediction, positions, coverage))
    return written(forecast, ForecastFields.json)[:-1] + b"," + _of_request(prediction)[1:]


def _of_request(prediction: serving.Prediction) -> bytes:
    """What depends on the request. Outside the sessions it is the same for many symbols."""
    session = prediction.session
    if session and not session.quote and not prediction.close:
        return _without_price(session, prediction.recorded, prediction.stale, settings.PRICE_SOURCE)
    return json_text(RequestFields.json(prediction))


@lru_cache(maxsize=256)
def _without_price(session: Session, recorded: bool, stale: bool, price_source: str) -> bytes:
    """`price_source`: of which `simulated` tells."""
    return json_text(RequestFields.json(serving.Prediction(Symbol(), session=session, recorded=recorded, stale=stale)))


def _at(coverage: float, forecast: Forecast) -> dict[str, Any]:
    """What changes in an answer for another coverage. An interval is null if the forecast does not know the tails that it needs."""
    ends = _interval(forecast, forecast, coverage)
    changed: dict[str, Any] = {"interval": ends and Interval.json(forecast) | ends}
    if ends:
        changed["summary"] = summary(forecast, (coverage, ends["low"], ends["high"]))
    if forecast.outlooks:
        entries = [OutlookEntry.json(each) | {"interval": _interval(each, forecast, coverage)} for each in forecast.outlooks]
        changed["outlook"] = entries
    return changed


def _interval(quantiles_of: Forecast | Outlook, forecast: Forecast, coverage: float) -> dict[str, float] | None:
    try:
        ends = PriceDistribution(dict(ascending(quantiles_of.quantiles)), last_close=forecast.last_close).interval(coverage)
    except ValueError:
        return None
    low, high = (round(end, forecast.decimals) for end in ends)
    return {"level": coverage, "low": low, "high": high}
