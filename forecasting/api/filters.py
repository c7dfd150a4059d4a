"""Filters of the read-only lists."""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field

from forecasting.models import Finding, Forecast, ModelVersion, Symbol, Training
from forecasting.models.findings import RULES, VERDICTS
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.models.versions import VersionState


class TickerFilter(filters.CharFilter):
    """One symbol. Surrounding space and case are ignored."""

    def filter(self, qs: QuerySet[Any], value: str) -> QuerySet[Any]:
        """The rows of the symbol; upper case uses the index on tickers."""
        rows: QuerySet[Any] = super().filter(qs, value.upper())
        return rows


@extend_schema_field({"type": "boolean", "description": "Whether the target session has taken place."})
class ScoredFilter(filters.TypedChoiceFilter):
    """True or false; any other value is an error."""

    def __init__(self) -> None:
        choices = (("true", "it has"), ("false", "it has not"))
        super().__init__(field_name="score", lookup_expr="isnull", choices=choices, coerce=lambda text: text == "false")


class SymbolFilter(filters.FilterSet):
    """Symbols by name and by state at the price source."""

    symbol = TickerFilter(field_name="ticker")
    state = filters.ChoiceFilter(field_name="upstream_state", choices=UpstreamState.choices)

    class Meta:
        model = Symbol
        fields = ()


class VersionFilter(filters.FilterSet):
    """Versions by symbol, state and training date."""

    symbol = TickerFilter(field_name="symbol__ticker")
    state = filters.ChoiceFilter(choices=VersionState.choices)
    trained_after = filters.DateFilter(field_name="trained_at", lookup_expr="date__gte", label="On this day or later.")
    trained_before = filters.DateFilter(field_name="trained_at", lookup_expr="date__lte", label="On this day or earlier.")

    class Meta:
        model = ModelVersion
        fields = ()


class TrainingFilter(filters.FilterSet):
    """Trainings by symbol, state, reason and date of the request."""

    symbol = TickerFilter(field_name="symbol__ticker")
    state = filters.ChoiceFilter(choices=TrainingState.choices)
    reason = filters.ChoiceFilter(choices=TrainingReason.choices)
    created_after = filters.DateFilter(field_name="created_at", lookup_expr="date__gte", label="On this day or later.")
    created_before = filters.DateFilter(field_name="created_at", lookup_expr="date__lte", label="On this day or earlier.")

    class Meta:
        model = Training
        fields = ()


class ForecastFilter(filters.FilterSet):
    """Forecasts by symbol, target session, and whether that session has taken place."""

    symbol = TickerFilter(field_name="symbol__ticker")
    target_date_after = filters.DateFilter(field_name="target_date", lookup_expr="gte", label="On this day or later.")
    target_date_before = filters.DateFilter(field_name="target_date", lookup_expr="lte", label="On this day or earlier.")
    scored = ScoredFilter()

    class Meta:
        model = Forecast
        fields = ()


class FindingFilter(filters.FilterSet):
    """Findings by symbol, rule, verdict and session."""

    symbol = TickerFilter(field_name="symbol__ticker")
    rule = filters.ChoiceFilter(choices=RULES)
    verdict = filters.ChoiceFilter(choices=VERDICTS)
    date_after = filters.DateFilter(field_name="date", lookup_expr="gte", label="On this day or later.")
    date_before = filters.DateFilter(field_name="date", lookup_expr="lte", label="On this day or earlier.")

    class Meta:
        model = Finding
        fields = ()
