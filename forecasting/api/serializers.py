"""Requests of the main routes, validated."""

from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from forecasting.models.symbols import TICKER_IN_ANY_CASE, ticker_problem
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.distribution import COVERAGES

MAX_SYMBOLS = 50
MAX_WAIT = 30  # seconds


# The pattern excludes ISINs, as `ticker_problem` does.
TICKER_SCHEMA = {
    "type": "string",
    "pattern": rf"^\s*(?![A-Za-z]{{2}}[A-Za-z0-9]{{9}}[0-9]\s*$){TICKER_IN_ANY_CASE}\s*$",
}  # a filter has no example, which Swagger UI would send


@extend_schema_field(TICKER_SCHEMA | {"example": "PETR4.SA"})
class TickerField(serializers.CharField):
    """A symbol as the price source writes it. Surrounding space and case are ignored."""

    def to_internal_value(self, data: Any) -> str:
        """The ticker, trimmed and in upper case. Raises ValidationError if it is not a string or cannot be a symbol."""
        if not isinstance(data, str):
            raise serializers.ValidationError(f"Expected a string, got {type(data).__name__}.")
        ticker = data.strip()
        if ticker.isascii():  # the upper case of a non-ASCII letter, such as the long s, can be ASCII
            ticker = ticker.upper()
        if problem := ticker_problem(ticker):
            raise serializers.ValidationError(problem)
        return ticker


class TickersField(serializers.ListField):
    """Symbols. Duplicates collapse; the order is kept."""

    child = TickerField()

    def to_internal_value(self, data: Any) -> list[str]:
        """Each ticker once. A list that is too long is refused as a whole: its members could give thousands of errors."""
        if isinstance(data, list) and not 1 <= len(data) <= MAX_SYMBOLS:
            raise serializers.ValidationError(f"A request names 1 to {MAX_SYMBOLS} symbols, not {len(data)}.")
        return list(dict.fromkeys(super().to_internal_value(data)))

    def run_child_validation(self, data: Any) -> list[str]:
        """The members' tickers. Only a list in which they are not written like that needs the library's steps."""
        if all(isinstance(each, str) and not ticker_problem(each) for each in data):
            return list(data)
        return list(super().run_child_validation(data))


@extend_schema_serializer(component_name="Symbols")  # the document adds "Request"
class SymbolsRequest(serializers.Serializer[Any]):
    """1 to 50 symbols. Duplicates collapse; the order is kept."""

    symbols = TickersField(min_length=1, max_length=MAX_SYMBOLS)


class CoverageField(serializers.FloatField):
    """The probability that a close lies in its interval."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=COVERAGES[0], max_value=COVERAGES[-1], **options)

    def to_internal_value(self, data: Any) -> float:
        """The number. Raises ValidationError for any other value: "nan" is neither too small nor too large for a comparison."""
        value = float(super().to_internal_value(data))
        if not COVERAGES[0] <= value <= COVERAGES[-1]:
            raise serializers.ValidationError(f"Give a number from {COVERAGES[0]} to {COVERAGES[-1]}.")
        return value


@extend_schema_serializer(component_name="Predict")
class PredictRequest(SymbolsRequest):
    """1 to 50 symbols, and how likely the closes shall lie in the intervals."""

    coverage = CoverageField(
        required=False, help_text=f"Probability of the intervals; {ForecastConfig().interval_level} by default."
    )


@extend_schema_serializer(component_name="Symbol")
class SymbolRequest(serializers.Serializer[Any]):
    """One symbol."""

    symbol = TickerField()


class WaitQuery(serializers.Serializer[Any]):
    """How long to wait for the end of a training."""

    wait = serializers.IntegerField(
        min_value=0,
        max_value=MAX_WAIT,
        default=0,
        help_text="Seconds to wait for its end. With `Retry-After` in the answer, too many requests wait already.",
    )
