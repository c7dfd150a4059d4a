"""Model versions: training data, metrics, state and files."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import F, FilteredRelation, Func, Q
from django.db.models.functions import Coalesce, JSONObject, Now, RowNumber

from forecasting.models.prepared import PARAMETER, Columns, Prepared
from forecasting.models.restatements import Restatement
from forecasting.models.symbols import Symbol
from forecasting.models.trainings import ACTIVE_STATES, Training
from forecasting.pipeline.serving.verified import ArtifactFile


class VersionState(models.TextChoices):
    """Whether a version serves."""

    ACTIVE = "active"
    RETIRED = "retired"
    REJECTED = "rejected"


class FilesState(models.TextChoices):
    """State of a version's files."""

    KEPT = "kept"
    REMOVED = "removed"
    DAMAGED = "damaged"


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    """Reads of versions."""

    def active(self) -> "ModelVersionQuerySet":
        """Versions that serve."""
        return self.filter(state=VersionState.ACTIVE)

    def of(self, symbols: Iterable[Symbol]) -> "ModelVersionQuerySet":
        """Versions of these symbols."""
        return self.filter(symbol__in=list(symbols))

    def newest_per_symbol(self) -> "ModelVersionQuerySet":
        """The last trained version of each symbol, in any state."""
        return self.filter(pk__in=self.order_by("symbol_id", "-number").distinct("symbol_id").values("pk"))

    def beyond_newest(self, count: int) -> "ModelVersionQuerySet":
        """Versions with files that do not serve and are not among the last `count` of their symbol.

        Bases are no such versions as long as one that started from them has files, because it shares their trees. Nor is a pinned
        version, which a release that knows no pins may have retired.
        """
        place = models.Window(RowNumber(), partition_by=[F("symbol")], order_by=F("number").desc())
        old = self.annotate(place=place).filter(place__gt=count).values("pk")
        started = ModelVersion.objects.filter(parent=models.OuterRef("pk")).exclude(files_state=FilesState.REMOVED)
        with_files = self.filter(pk__in=old).exclude(files_state=FilesState.REMOVED)
        pinned = Symbol.objects.filter(pinned_version=models.OuterRef("pk"))
        return with_files.exclude(state=VersionState.ACTIVE).exclude(models.Exists(started)).exclude(models.Exists(pinned))

    def with_live_record(self) -> "ModelVersionQuerySet":
        """Adds `live`: forecasts, mae, naive_mae and coverage of the version's served forecasts; None before the first score."""
        scores = apps.get_model("forecasting.Score").objects
        record = scores.filter(symbol=models.OuterRef("symbol"), version=models.OuterRef("pk")).track_record()
        names = ("forecasts", "mae", "naive_mae", "coverage")
        return self.annotate(live=models.Subquery(record.values(record=JSONObject(**{name: name for name in names}))))  # type: ignore[no-redef]  # the plugin

    def with_symbols_sums(self) -> "ModelVersionQuerySet":
        """Adds `sums`: those of all forecasts served for the symbol, by whichever version; see `ScoreQuerySet.sums`."""
        sums = apps.get_model("forecasting.Score").objects.filter(symbol=models.OuterRef("symbol")).sums()
        names = [*sums.query.values_select, *sums.query.annotation_select]
        listed = ArraySubquery(sums.values(record=JSONObject(**{name: name for name in names if name != "symbol_id"})))
        return self.annotate(sums=Func(listed, function="to_jsonb", output_field=models.JSONField()))  # type: ignore[no-redef]  # the plugin

    def older_than(self, age: timedelta) -> "ModelVersionQuerySet":
        """Versions trained longer ago than `age`."""
        return self.filter(trained_at__lt=Now() - age)

    def with_data_revised(self) -> "ModelVersionQuerySet":
        """Adds `data_revised`: whether the version's training bars have been restated since."""
        return self.annotate(data_revised=_restated_since())

    def on_revised_bars(self) -> "ModelVersionQuerySet":
        """Versions whose training bars have been restated since."""
        return self.filter(_restated_since())


def _restated_since() -> models.Exists:
    """Whether a restatement that calls for retraining came after the version's bars were read."""
    known = Coalesce(models.OuterRef("restatement"), 0)
    return models.Exists(Restatement.objects.filter(symbol=models.OuterRef("symbol"), pk__gt=known, matters=True))


class ModelVersion(models.Model):
    """One trained model of one symbol, or a base model if `symbol` is empty."""

    symbol = models.ForeignKey(Symbol, null=True, blank=True, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=VersionState)
    decision = models.TextField(blank=True, help_text="Why it was promoted or rejected.")
    activated_by = models.CharField(
        max_length=200, blank=True, db_default="", help_text="Who last activated it; empty if nobody did."
    )
    activated_at = models.DateTimeField(null=True, blank=True, help_text="When staff last activated it.")
    training = models.OneToOneField(Training, null=True, blank=True, on_delete=models.SET_NULL, related_name="version")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children")
    restatement = models.ForeignKey(
        Restatement,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The symbol's last restatement when the bars were read.",
    )
    config = models.JSONField()
    metrics = models.JSONField(help_text="Out-of-sample metrics, with those of the naive forecast.")
    watch = models.JSONField(
        null=True,
        blank=True,
        help_text="What the last daily job found in its live forecasts: sessions, quantile loss relative to that of its backtest "
        "(ratio), level of Page's test and the limit above which performance is lost; empty if they were too few.",
    )
    data_start = models.DateField()
    data_end = models.DateField()
    bar_count = models.PositiveIntegerField()
    folder = models.CharField(max_length=100, unique=True, help_text="Folder name below MEDIA_ROOT/models.")
    files = models.JSONField(help_text="Maps file name to SHA-256 and size in bytes.")
    files_state = models.CharField(max_length=10, choices=FilesState, default=FilesState.KEPT, db_default=FilesState.KEPT)
    trained_at = models.DateTimeField(db_default=Now())

    live: dict[str, Any] | None = None  # set by `with_live_record`
    sums: Sequence[dict[str, Any]] = ()  # set by `with_symbols_sums`
    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        default_permissions = ("view", "change")  # change: to run its actions
        ordering = ["-trained_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["symbol", "number"], nulls_distinct=False, name="version_number_unique"),
            models.UniqueConstraint(
                fields=["symbol"],
                condition=Q(state=VersionState.ACTIVE),
                nulls_distinct=False,
                name="version_one_active_per_symbol",
            ),
            models.CheckConstraint(condition=Q(state__in=VersionState.values), name="version_state_known"),
            models.CheckConstraint(condition=Q(files_state__in=FilesState.values), name="version_files_state_known"),
            models.CheckConstraint(
                condition=~Q(state=VersionState.ACTIVE) | Q(files_state=FilesState.KEPT), name="version_active_has_files"
            ),
            models.CheckConstraint(condition=Q(number__gte=1), name="version_number_positive"),
            models.CheckConstraint(condition=Q(data_end__gte=F("data_start")), name="version_data_window_ordered"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol.ticker if self.symbol else 'base'} v{self.number}"

    @property
    def kind(self) -> str:
        """`symbol` or `base`."""
        return "base" if self.symbol_id is None else "symbol"

    @property
    def is_pinned(self) -> bool:
        """Whether it stays active although newer ones are trained."""
        return self.symbol is not None and self.symbol.pinned_version_id == self.pk

    @property
    def artifact_files(self) -> dict[str, ArtifactFile]:
        """Hash and size of each file."""
        return {name: ArtifactFile(**file) for name, file in self.files.items()}

    @property
    def skill(self) -> dict[str, Any]:
        """Error relative to the naive forecast on the test sessions, and whether it is significantly smaller (5 %)."""
        p = self.metrics["beats_naive_p"]
        return {"mase": self.metrics["mase"], "beats_naive": p is not None and p < 0.05}

    @property
    def usual_width(self) -> float | None:
        """Median width of the interval in the last year of the test, as a share of the last close; None if it is not known.

        Not known of a base, nor of versions of earlier releases.
        """
        width: float | None = self.metrics.get("usual_width")
        return width

    @property
    def error_unit(self) -> str:
        """Unit of MAE and RMSE: the symbol's currency. A base covers many currencies, so its errors are relative."""
        return self.symbol.currency if self.symbol else "share of the last close"


# The active versions of the symbols with these tickers, with the track records of each symbol. About 10 kB are remembered of each.
SERVING = Prepared(
    "serving_versions",
    Columns(ModelVersion, frozenset({"symbol_id", "number", "metrics"})),
    related={"symbol": Columns(Symbol, frozenset({"ticker", "removed_at"}))},
    objects=["sums"],
    remembered=50,
    statement=lambda columns: (
        ModelVersion.objects.active()
        .filter(symbol__ticker__in=PARAMETER)
        .with_symbols_sums()
        .order_by()
        .values_list(*columns)
        .query.sql_with_params()
    ),
)

# The symbols with these tickers, each with its active version as `own_version` and its active training as `active_training`.
STATUSES = Prepared(
    "statuses",
    Columns(Symbol, frozenset({"ticker", "upstream_state", "unknown_until", "removed_at", "followed"})),
    related={
        "own_version": Columns(ModelVersion, frozenset({"symbol_id", "number"})),
        "active_training": Columns(Training, frozenset(field.attname for field in Training._meta.concrete_fields)),
    },
    statement=lambda columns: (
        Symbol.objects.filter(ticker__in=PARAMETER)
        .annotate(  # type: ignore[no-redef]  # the plugin
            own_version=FilteredRelation("versions", condition=Q(versions__state=VersionState.ACTIVE)),
            active_training=FilteredRelation("trainings", condition=Q(trainings__state__in=ACTIVE_STATES)),
        )
        .order_by()
        .values_list(*columns)
        .query.sql_with_params()
    ),
)
