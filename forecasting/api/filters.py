"""Filters of the read-only lists."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field

from forecasting.api.serializers import TICKER_SCHEMA
from forecasting.models import Finding, Forecast, ModelVersion, Symbol, Training, Webhook
from forecasting.models.findings import RULES, VERDICTS
from forecasting.models.forecasts import HORIZONS, Basis
from forecasting.models.symbols import UpstreamState, ticker_problem
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.models.versions import VersionState


def require_ticker(text: str) -> None:
    """Raises ValidationError if no symbol can have this name."""
    if problem := ticker_problem(text.upper() if text.isascii() else text):
        raise ValidationError(problem)


@extend_schema_field(TICKER_SCHEMA | {"description": "One symbol, in any case."})
class TickerFilter(filters.CharFilter):
    """One symbol. Surrounding space and case are ignored."""

    def __init__(self, field_name: str) -> None:
        super().__init__(field_name=field_name, validators=[require_ticker])

    def filter(self, qs: QuerySet[Any], value: str) -> QuerySet[Any]:
        """The rows of the symbol; upper case uses the index on tickers."""
        rows: QuerySet[Any] = super().filter(qs, value.upper())
        return rows


class ChoiceFilter(filters.ChoiceFilter):
    """One of a few values; the error names them."""

    def __init__(self, choices: Iterable[tuple[str, str]], **options: Any) -> None:
        listed = list(choices)
        refusal = f"%(value)s is not one of {', '.join(value for value, _ in listed)}."
        super().__init__(choices=listed, error_messages={"invalid_choice": refusal}, **options)


class DayFilter(filters.DateFilter):
    """Rows from a day on (`gte`), or up to it (`lte`)."""

    def __init__(self, field_name: str, lookup_expr: str) -> None:
        label = "On this day or later." if lookup_expr.endswith("gte") else "On this day or earlier."
        refusal = {"invalid": "Give a day as YYYY-MM-DD, such as 2025-06-30."}
        super().__init__(field_name, lookup_expr, label=label, input_formats=["%Y-%m-%d"], error_messages=refusal)


@extend_schema_field({"type": "boolean", "description": "Whether the target session has taken place."})
class ScoredFilter(filters.TypedChoiceFilter):
    """True or false; any other value is an error."""

    def __init__(self) -> None:
        choices = (("true", "it has"), ("false", "it has not"))
        super().__init__(
            field_name="score",
            lookup_expr="isnull",
            choices=choices,
            coerce=lambda text: text == "false",
            error_messages={"invalid_choice": "%(value)s is not one of true, false."},
        )


@extend_schema_field({"type": "integer", "enum": list(HORIZONS), "description": "Sessions from `as_of` to `target_date`."})
class HorizonFilter(ChoiceFilter):
    """One of the horizons."""

    def __init__(self) -> None:
        super().__init__([(str(sessions), f"{sessions} sessions") for sessions in HORIZONS])


class SymbolFilter(filters.FilterSet):
    """Symbols by name and by state at the price source."""

    symbol = TickerFilter("ticker")
    state = ChoiceFilter(UpstreamState.choices, field_name="upstream_state")

    class Meta:
        model = Symbol
        fields = ()


class VersionFilter(filters.FilterSet):
    """Versions by symbol, state and training date."""

    symbol = TickerFilter("symbol__ticker")
    state = ChoiceFilter(VersionState.choices)
    trained_after = DayFilter("trained_at", "date__gte")
    trained_before = DayFilter("trained_at", "date__lte")

    class Meta:
        model = ModelVersion
        fields = ()


class TrainingFilter(filters.FilterSet):
    """Trainings by symbol, state, reason and date of the request."""

    symbol = TickerFilter("symbol__ticker")
    state = ChoiceFilter(TrainingState.choices)
    reason = ChoiceFilter(TrainingReason.choices)
    created_after = DayFilter("created_at", "date__gte")
    created_before = DayFilter("created_at", "date__lte")

    class Meta:
        model = Training
        fields = ()


class ForecastFilter(filters.FilterSet):
    """Forecasts by symbol, horizon, basis, target session, and whether that session has taken place."""

    symbol = TickerFilter("symbol__ticker")
    horizon = HorizonFilter()
    basis = ChoiceFilter(Basis.choices)
    target_date_after = DayFilter("target_date", "gte")
    target_date_before = DayFilter("target_date", "lte")
    scored = ScoredFilter()

    class Meta:
        model = Forecast
        fields = ()


class WebhookFilter(filters.FilterSet):
    """Webhooks have no filters."""

    class Meta:
        model = Webhook
        fields = ()


class FindingFilter(filters.FilterSet):
    """Findings by symbol, rule, verdict and session."""

    symbol = TickerFilter("symbol__ticker")
    rule = ChoiceFilter(RULES)
    verdict = ChoiceFilter(VERDICTS)
    date_after = DayFilter("date", "gte")
    date_before = DayFilter("date", "lte")

    class Meta:
        model = Finding
        fields = ()
