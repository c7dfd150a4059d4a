"""The rows of the read-only lists, unrounded."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from forecasting.api.metrics import LiveRecord, OutOfSampleMetrics
from forecasting.api.rows import RowSerializer, moment_text
from forecasting.models import Finding, Forecast, ModelVersion, Restatement, Score, Symbol, Training
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.distribution import TAIL_LEVEL

RESTATEMENTS_SHOWN = 5


class MedianWeight(serializers.Serializer[Any]):
    """How much of the network's own median is in the point forecast, and why. The rest is the last close."""

    weight = serializers.FloatField(min_value=0, max_value=1, help_text="0: the point forecast is the last close.")
    reason = serializers.CharField(help_text="Why the tried weight was kept or rejected.")
    tried = serializers.FloatField(allow_null=True, help_text="The weight chosen on the earlier validation days.")
    p = serializers.FloatField(
        allow_null=True, help_text="One-sided p-value on the later validation days; small means better than the last close."
    )
    p_by_exchange = serializers.DictField(child=serializers.FloatField(), help_text="The same, for each exchange's symbols alone.")


class HorizonMetrics(serializers.Serializer[Any]):
    """How the forecasts of a later session did in the test."""

    forecasts = serializers.IntegerField(help_text="With an outcome in the test sessions.")
    pinball_ratio = serializers.FloatField()
    coverage_80 = serializers.FloatField()


class VersionMetrics(OutOfSampleMetrics):
    """As stored, unrounded. A base's are over all its symbols: ratios and coverage are means over them."""

    unit = serializers.CharField(
        help_text="Of MAE and RMSE: the symbol's currency, or `share of the last close` for a base, whose symbols have many "
        "currencies; R² is then that of the moves."
    )
    median = MedianWeight(
        required=False,
        help_text="Learnt by the base if the version was trained from one. Missing from versions of earlier releases.",
    )
    usual_width = serializers.FloatField(
        required=False, help_text="Median width of the interval in the last year of the test, as a share of the last close."
    )
    by_horizon = serializers.DictField(
        child=HorizonMetrics(), required=False, help_text="By number of sessions. Missing from versions of earlier releases."
    )
    against_base_rate = serializers.BooleanField(
        required=False,
        help_text="Whether its bars speak against the base rate of its class, as those of an inverse fund do.",
    )
    symbols = serializers.IntegerField(required=False, help_text="Only of a base: how many were measured.")
    worst_pinball_ratio = serializers.FloatField(required=False, help_text="Only of a base: of the worst symbol.")
    least_coverage_80 = serializers.FloatField(required=False, help_text="Only of a base: of the symbol with the least.")
    most_coverage_80 = serializers.FloatField(required=False, help_text="Only of a base: of the symbol with the most.")

    def to_representation(self, version: ModelVersion) -> dict[str, Any]:
        """The stored metrics, the second spelling of R², and the unit of the errors. Earlier releases stored no Brier score."""
        naive = with_r2(version.metrics["naive"])
        return {"brier": None, **with_r2(version.metrics), "naive": naive, "unit": version.error_unit}


class VersionRecord(LiveRecord):
    """Of the forecasts that one version served, unrounded. The queryset annotates `live`."""

    def to_representation(self, version: ModelVersion) -> dict[str, Any] | None:  # type: ignore[override] # null is allowed
        """Null for a base."""
        return live_record(version.live) if version.kind == "symbol" else None


class ArtifactFile(serializers.Serializer[Any]):
    """The hash and size that a file of a version must have."""

    sha256 = serializers.CharField(help_text="Hexadecimal.")
    size = serializers.IntegerField(help_text="Bytes.")
    folder = serializers.CharField(required=False, help_text="Only of a file that another version holds: its folder.")


@extend_schema_field(serializers.DictField(child=ArtifactFile()))
class FilesField(serializers.JSONField):
    """A version's files by name, as they were stored."""


class QuantilesField(serializers.DictField):
    """Prices by probability level, ascending; the database sorts the levels as texts."""

    child = serializers.FloatField()
    keys_in_csv = tuple(str(level) for level in (TAIL_LEVEL, *ForecastConfig().quantile_levels, 1 - TAIL_LEVEL))

    def to_representation(self, value: dict[str, float]) -> dict[str, float]:
        """The same prices in order."""
        return dict(sorted(value.items(), key=lambda item: float(item[0])))


@extend_schema_field({"type": "number", "format": "double", "deprecated": True})
class Deprecated(serializers.FloatField):
    """A number under its former name."""


RESTATEMENT_FIELDS = ("reason", "date", "ratio", "bars_changed", "restated_at")


class RestatementSerializer(serializers.ModelSerializer[Restatement]):
    """A change of stored bars by the price source."""

    class Meta:
        model = Restatement
        fields = RESTATEMENT_FIELDS
        read_only_fields = fields

    def to_representation(self, columns: Any) -> dict[str, Any]:
        """From the columns that come with the symbol."""
        shown = {name: columns[name] for name in RESTATEMENT_FIELDS}
        return shown | {"restated_at": moment_text(datetime.fromisoformat(columns["restated_at"]))}


class SymbolSerializer(RowSerializer[Symbol]):
    """A symbol and its newest bar."""

    symbol = serializers.CharField(source="ticker", read_only=True)
    last_date = serializers.DateField(allow_null=True, read_only=True)
    last_close = serializers.FloatField(allow_null=True, read_only=True)
    pinned_version_id = serializers.IntegerField(
        allow_null=True, read_only=True, help_text="The version that stays active although newer ones are trained, if any."
    )
    restatements = RestatementSerializer(
        source="newest_restatements", many=True, read_only=True, help_text=f"The last {RESTATEMENTS_SHOWN}, newest first."
    )

    class Meta:
        model = Symbol
        fields = (
            "symbol",
            "exchange",
            "currency",
            "last_date",
            "last_close",
            "synced_at",
            "upstream_state",
            "upstream_reason",
            "unknown_until",
            "removed_at",
            "paused_at",
            "pinned_version_id",
            "restatements",
        )
        read_only_fields = fields


def with_r2(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics, with R² under a name that every language can write as well."""
    return {**metrics, "r2": metrics["R²"]}


def live_record(record: dict[str, Any] | None) -> dict[str, Any]:
    """The track record of one version; null until the first target session has taken place."""
    if record is None:
        return {"forecasts": 0, "mae": None, "mase": None, "coverage_80": None}
    return {
        "forecasts": record["forecasts"],
        "mae": record["mae"],
        "mase": record["mae"] / record["naive_mae"] if record["naive_mae"] else None,
        "coverage_80": record["coverage"],
    }


class VersionSerializer(RowSerializer[ModelVersion]):
    """A model version with its metrics, unrounded."""

    symbol = serializers.CharField(source="symbol.ticker", allow_null=True, read_only=True)
    kind = serializers.ChoiceField(choices=("symbol", "base"), read_only=True)
    config = serializers.DictField(read_only=True, help_text="Every parameter of the training.")
    pinned = serializers.BooleanField(
        source="is_pinned", read_only=True, help_text="Whether it stays active although newer ones are trained."
    )
    metrics = VersionMetrics(source="*", read_only=True, help_text="Out of sample, beside the naive forecast's.")
    files = FilesField(read_only=True, help_text="By name.")
    live = VersionRecord(
        source="*",
        allow_null=True,
        read_only=True,
        help_text="Results of the forecasts that this version served. Null for a base, which serves many currencies.",
    )
    data_revised = serializers.BooleanField(
        read_only=True,
        help_text="Whether bars of its training have been restated since, by a split, dividend or correction.",
    )

    class Meta:
        model = ModelVersion
        fields = (
            "id", "symbol", "kind", "number", "state", "decision", "activated_at", "pinned", "metrics", "config", "data_start",
            "data_end", "bar_count", "files", "files_state", "trained_at", "data_revised", "live",
        )  # fmt: skip
        read_only_fields = fields


class TrainingSerializer(RowSerializer[Training]):
    """A training."""

    symbol = serializers.CharField(source="symbol.ticker", allow_null=True, read_only=True)
    version = serializers.IntegerField(
        source="version_number", allow_null=True, read_only=True, help_text="Number of the version that it produced."
    )
    version_id = serializers.IntegerField(allow_null=True, read_only=True, help_text="See `/models/versions/{id}`.")

    class Meta:
        model = Training
        fields = (
            "id", "symbol", "state", "reason", "priority", "attempts", "stage", "epoch", "epochs", "progress", "error",
            "created_at", "started_at", "finished_at", "version", "version_id",
        )  # fmt: skip
        read_only_fields = fields


SCORE_FIELDS = ("actual_close", "absolute_error", "naive_absolute_error", "inside_interval", "scored_at")


class ScoreSerializer(RowSerializer[Score]):
    """The score of a forecast."""

    class Meta:
        model = Score
        fields = ("actual_date", *SCORE_FIELDS, "reason")
        read_only_fields = fields


class LeadSerializer(serializers.Serializer[Any]):
    """What another market did since the last close."""

    symbol = serializers.CharField(read_only=True)
    session = serializers.DateField(read_only=True, help_text="Its last session that the forecast knew.")
    percentage = serializers.FloatField(read_only=True, help_text="Its move in percent.")


class ForecastSerializer(RowSerializer[Forecast]):
    """An unrounded forecast of the ledger with its latest score, which is null until the session has taken place."""

    symbol = serializers.CharField(source="symbol.ticker", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True, help_text="Its number.")
    version_id = serializers.IntegerField(read_only=True, help_text="See `/models/versions/{id}`.")
    predicted_price = serializers.FloatField(source="price", read_only=True, help_text="The median.")
    price = Deprecated(read_only=True, help_text="The same; use `predicted_price`.")
    currency = serializers.CharField(source="symbol.currency", read_only=True, help_text="As the price source writes it.")
    kind = serializers.ChoiceField(source="version.kind", choices=("symbol", "base"), read_only=True)
    leads = LeadSerializer(many=True, allow_null=True, read_only=True, help_text="Null unless `basis` is `lead`.")
    quantiles = QuantilesField(read_only=True, help_text="Probability level to price, ascending.")
    actual_date = serializers.DateField(
        source="score.actual_date",
        allow_null=True,
        read_only=True,
        help_text="The session of the actual close. It is later than `target_date` if that session did not take place.",
    )
    actual_close = serializers.FloatField(
        source="score.actual_close",
        allow_null=True,
        read_only=True,
        help_text="In the prices of the forecast: later splits and dividends are reversed.",
    )
    absolute_error = serializers.FloatField(source="score.absolute_error", allow_null=True, read_only=True)
    naive_absolute_error = serializers.FloatField(source="score.naive_absolute_error", allow_null=True, read_only=True)
    inside_interval = serializers.BooleanField(source="score.inside_interval", allow_null=True, read_only=True)
    scored_at = serializers.DateTimeField(source="score.scored_at", allow_null=True, read_only=True)

    class Meta:
        model = Forecast
        fields: tuple[str, ...] = (
            "id", "symbol", "version", "version_id", "kind", "as_of", "target_date", "horizon", "basis", "known_until", "leads",
            "price_now", "session_fraction", "last_close", "predicted_price", "price",
            "quantiles", "interval_level", "interval_low", "interval_high", "spread_factor", "probability_up", "currency",
            "simulated", "issued_at", "actual_date", *SCORE_FIELDS,
        )  # fmt: skip
        read_only_fields = fields


class ForecastDetailSerializer(ForecastSerializer):
    """A forecast with all its scores."""

    scores = ScoreSerializer(many=True, read_only=True, help_text="Newest first; the newest one counts.")

    class Meta(ForecastSerializer.Meta):
        fields = (*ForecastSerializer.Meta.fields, "scores")
        read_only_fields = fields


class FindingSerializer(RowSerializer[Finding]):
    """A finding of the quality gate."""

    symbol = serializers.CharField(source="symbol.ticker", read_only=True)

    class Meta:
        model = Finding
        fields = ("id", "symbol", "rule", "verdict", "date", "value", "text", "found_at")
        read_only_fields = fields
