"""The answer of `metrics`, and the metrics of a version."""

from collections.abc import Callable
from typing import Any, NamedTuple

from drf_spectacular.utils import PolymorphicProxySerializer

from forecasting.api.fields import PRICE, Count, DayText, PriceError, Rounded, Shape, ShapesByName, Simulated, Text
from forecasting.api.written import json_text, written
from forecasting.models.symbols import TAKEN_OUT
from forecasting.scorecards import Scorecard

NO_METRICS = "Metrics for this model are not available."
OUT_OF_SERVICE = f"Metrics for this model are not available: {TAKEN_OUT}."
CLASSICAL_METRICS = {
    "MAE": f"Mean absolute error. {PRICE}",
    "RMSE": f"Root mean squared error. {PRICE}",
    "MAPE": "Mean absolute error in percent of the close.",
    "R²": "Of price levels, so it is near 1 for any forecast near the last close. Compare it with the naive forecast's.",
}


class ClassicalMetrics(Shape):
    """Four errors over the test sessions, from the metrics that a version stores."""

    shows_dictionaries = True

    def get_fields(self) -> dict[str, Any]:
        """By the names of the contract; one of them cannot be a Python attribute."""
        fields = {name: PriceError(help_text=text) for name, text in CLASSICAL_METRICS.items()}
        return fields | {"r2": PriceError(of="R²", help_text="The same as `R²`.")} | super().get_fields()


class OutOfSampleMetrics(ClassicalMetrics):
    """All on test sessions that neither fitting nor early stopping saw."""

    last_data_date = DayText(help_text="The newest bar that the training knew.")
    training_duration = Rounded(1, help_text="Seconds.")
    training_data_size = Count(help_text="Windows.")
    validation_data_size = Count(help_text="Windows.")
    naive = ClassicalMetrics(help_text="The errors of repeating the last close.")
    mase = Rounded(4, help_text="MAE divided by the naive forecast's: below 1 is better than repeating the last close.")
    beats_naive_p = Rounded(
        4,
        allow_null=True,
        help_text="One-sided Diebold-Mariano p-value; small means better than naive. Null if the point forecast is the last close.",
    )
    pinball_ratio = Rounded(4, help_text="Quantile loss divided by that of the last 250 sessions' quantiles.")
    coverage_80 = Rounded(4, help_text="Share of closes inside the 80 % interval.")
    directional_accuracy = Rounded(
        4,
        allow_null=True,
        help_text="Share of sessions whose direction was right. Null if the point forecast is the last close.",
    )
    brier = Rounded(
        4,
        allow_null=True,
        of=lambda metrics: metrics.get("brier"),  # missing from versions of earlier releases
        help_text="Brier score of `probability_up`; that of 0.5 is 0.25. Null if it was always 0.5.",
    )
    test_size = Count(help_text="Sessions.")


class LiveRecord(Shape):
    """The track record of the forecasts that were served. Null until the first target session has taken place."""

    forecasts = Count(help_text="How many were scored.")
    mae = PriceError(allow_null=True, help_text=f"Mean absolute error. {PRICE}")
    mase = Rounded(4, allow_null=True, help_text="MAE divided by the naive forecast's.")
    coverage_80 = Rounded(4, allow_null=True, of="coverage", help_text="Share of closes inside the 80 % interval.")


class Record(LiveRecord):
    """How forecasts of one kind did. Figures that are constants by construction are null."""

    pinball_ratio = Rounded(
        4,
        allow_null=True,
        help_text="Quantile loss divided by that of the last 250 sessions' quantiles; during the session, of those around the "
        "price now, narrowed by the time that is left.",
    )
    brier = Rounded(
        4, allow_null=True, help_text="Brier score of `probability_up`; that of 0.5 is 0.25. Null if it was always 0.5."
    )


class Records(Shape):
    """In the version's test, and live since."""

    test = Record(allow_null=True, help_text="On the version's test sessions; null if it was not tested.")
    live = Record(help_text="Of all forecasts that were served for the symbol.")


class Service(Shape):
    """Which version serves, and how good its symbol's forecasts have been since."""

    version = Count(of="version.number", help_text="Number of the version that serves.")
    version_id = Count(of="version.pk", help_text="See `/models/versions/{id}`.")
    live = LiveRecord(help_text="Of the next close, forecast from the symbol's own bars.")
    by_basis = ShapesByName(Records(), help_text="Of the next close, by what the forecasts knew: `close`, `lead`, `live`.")
    by_horizon = ShapesByName(Records(), help_text="Of forecasts from the symbol's own bars, by number of sessions.")
    by_part = ShapesByName(
        Record(), help_text="Of forecasts during the session, by the share of its trading time that was over at least."
    )
    simulated = Simulated()


class Metrics(OutOfSampleMetrics, Service):
    """A version's test, and how good its symbol's forecasts have been since."""

    @classmethod
    def writer(cls) -> Callable[[Scorecard], dict[str, Any]]:
        """The stored test of the card's version, rounded, and the card's live record."""
        test, service = OutOfSampleMetrics.writer(), Service.writer()
        return lambda card: test(card.version.metrics) | service(card)


class Asked(NamedTuple):
    """What `metrics` shows: a symbol and its scorecard, if a model serves it."""

    ticker: str
    card: Scorecard | None
    error: str = ""


class MetricsOfModel(Shape):
    """The answer of `metrics` for a symbol that has a model."""

    symbol = Text(of="ticker", help_text="Trimmed and in upper case.")
    metrics = Metrics(of="card")


class NoMetrics(Shape):
    """The answer of `metrics` for a symbol without a model, or out of service."""

    symbol = Text(of="ticker", help_text="Trimmed and in upper case.")
    error = Text()


METRICS_ANSWERS = PolymorphicProxySerializer(
    "MetricsAnswer", serializers=[MetricsOfModel, NoMetrics], resource_type_field_name=None, many=True
)


def metrics_json(ticker: str, card: Scorecard | None) -> dict[str, Any]:
    """The answer of `metrics` for one symbol."""
    if card is None:
        return NoMetrics.json(Asked(ticker, card, NO_METRICS))
    if card.version.symbol and not card.version.symbol.is_in_service:
        return NoMetrics.json(Asked(ticker, card, OUT_OF_SERVICE))
    return MetricsOfModel.json(Asked(ticker, card))


def metrics_text(ticker: str, card: Scorecard | None) -> bytes:
    """The same as JSON. That of a card is kept with its version, which comes with all that the card shows; see SERVING."""
    if card is None:
        return json_text(metrics_json(ticker, card))
    return written(card.version, lambda _: metrics_json(ticker, card))
