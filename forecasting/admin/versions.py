"""Model versions: metrics compared with the naive forecast, origin, and files."""

from datetime import date, timedelta
from functools import partial
from typing import Protocol

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.version_tools import VersionTools
from forecasting.models import ModelVersion, Symbol
from forecasting.models.versions import FilesState, VersionState
from forecasting.pipeline.model.calibration import told_median

STATE_TONES = {VersionState.ACTIVE: Tone.GOOD, VersionState.REJECTED: Tone.BAD}
FILES_TONES = {FilesState.KEPT: Tone.GOOD, FilesState.DAMAGED: Tone.BAD}
HASH_SHOWN = 12  # hexadecimal digits


class RevisableVersion(Protocol):
    """A version as `ModelVersionAdmin.get_queryset` reads it."""

    bar_count: int
    data_start: date
    data_end: date
    data_revised: bool


class RecordedVersion(Protocol):
    """A version with its live record, as `ModelVersionAdmin.get_queryset` reads it."""

    symbol: Symbol | None
    live: dict[str, float] | None


@admin.register(ModelVersion)
class ModelVersionAdmin(VersionTools):
    """Every version ever published."""

    list_display = (
        "symbol_short",
        "short_number",
        "state_badge",
        "mae",
        "relative_mae",
        "p_value",
        "coverage",
        "live_errors",
        "newest_bar",
        "trained",
    )
    list_display_links = ("short_number",)
    list_filter = ("state", "files_state", "trained_at", "symbol__exchange")
    search_fields = ("symbol__ticker",)
    fieldsets = (
        (None, {"fields": ("symbol_link", "number", "state_badge", "decision", "activated", "trained", "origin")}),
        ("Out of sample, compared with the naive forecast", {"fields": ("errors", "skill", "point_forecast", "live")}),
        ("Data", {"fields": ("data_window", "samples")}),
        ("Files", {"fields": ("folder", "files_badge", "artifacts")}),
        ("Configuration", {"fields": ("pretty_config",), "classes": ("collapse",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        """Adds training and parent, whether the training bars were revised since, and the live record."""
        return (
            ModelVersion.objects.select_related("symbol", "training__symbol", "parent__symbol")
            .with_data_revised()
            .with_live_record()
        )

    @admin.display(description="symbol")
    def symbol_link(self, version: ModelVersion) -> str:
        """The symbol, or a note that this is a base model."""
        if version.symbol is None:
            return "base: trained on all symbols together"
        return display.symbol_link(version.symbol)

    @admin.display(description="symbol", ordering="symbol__ticker")
    def symbol_short(self, version: ModelVersion) -> SafeString | str:
        """The symbol, or `base`."""
        return display.symbol_link(version.symbol)

    @admin.display(description="version", ordering="number")
    def short_number(self, version: ModelVersion) -> str:
        """Its number among those of the symbol."""
        return f"v{version.number}"

    @admin.display(description="state", ordering="state")
    def state_badge(self, version: ModelVersion) -> str:
        """Whether it serves, and whether it stays so."""
        state = display.badge(version.state, STATE_TONES.get(VersionState(version.state), Tone.QUIET), title=version.decision)
        return display.joined([state, display.badge("pinned", Tone.BUSY)]) if version.is_pinned else state

    @admin.display(description="activated")
    def activated(self, version: ModelVersion) -> str:
        """Who last activated it, and when; a dash if only its training did."""
        if version.activated_at is None:
            return display.NOTHING
        return f"by {version.activated_by} on {date_format(timezone.localtime(version.activated_at), 'DATETIME_FORMAT')}"

    @admin.display(description="trained", ordering="trained_at")
    def trained(self, version: ModelVersion) -> SafeString:
        """Training date and age. For a base, which may have been shipped, the age of its data; it stands out if a new base is due
        as soon as there are prices for it."""
        day = display.day(timezone.localdate(version.trained_at))
        if version.symbol:
            return display.with_note(day, display.age(version.trained_at))
        days = (timezone.localdate() - version.data_end).days
        told = f"data {display.count(days, 'day')} old"
        return display.with_note(day, display.badge(told, Tone.WARNING) if days > settings.BASE_MAX_AGE_DAYS else told)

    @admin.display(description="origin")
    def origin(self, version: ModelVersion) -> str:
        """The training that made it, and the version from which the training started."""
        return display.joined(display.link(type(row), row.pk, str(row)) for row in (version.training, version.parent) if row)

    @admin.display(description="MAE", ordering="metrics__MAE")
    def mae(self, version: ModelVersion) -> SafeString:
        """The mean absolute error, with that of the naive forecast below."""
        model = display.price(version.metrics["MAE"], currency=version.error_unit)
        return display.with_note(model, f"naive {display.price(version.metrics['naive']['MAE'])}")

    @admin.display(description="MASE", ordering="metrics__mase")
    def relative_mae(self, version: ModelVersion) -> str:
        """Error over the naive forecast's."""
        return f"{version.metrics['mase']:.3f}"

    @admin.display(description="p value", ordering="metrics__beats_naive_p")
    def p_value(self, version: ModelVersion) -> str:
        """The p value of the test that the model beats the naive forecast."""
        return display.figure(version.metrics["beats_naive_p"], places=3)

    @admin.display(description="coverage", ordering="metrics__coverage_80")
    def coverage(self, version: ModelVersion) -> str:
        """Share of closes inside the 80 % interval."""
        return display.percent(100 * version.metrics["coverage_80"])

    @admin.display(description="live MASE")
    def live_errors(self, version: "RecordedVersion") -> str:
        """Error relative to the naive forecast, and coverage, over the served forecasts."""
        if not version.live:
            return display.NOTHING
        return display.with_note(
            display.ratio(version.live["mae"], version.live["naive_mae"]),
            f"{display.percent(100 * version.live['coverage'])} of {version.live['forecasts']} inside",
        )

    @admin.display(description="errors")
    def errors(self, version: ModelVersion) -> SafeString:
        """The price errors of the model and of the naive forecast."""
        model, naive, unit = version.metrics, version.metrics["naive"], version.error_unit
        kinds = {
            "Mean absolute error (MAE)": ("MAE", partial(display.price, currency=unit)),
            "Root mean squared error (RMSE)": ("RMSE", partial(display.price, currency=unit)),
            "Mean absolute percentage error (MAPE)": ("MAPE", partial(display.percent, places=3)),
        }
        rows = [
            (title, shown(model[name]), shown(naive[name]), _difference(model[name], naive[name]))
            for title, (name, shown) in kinds.items()
        ]
        fit = (f"R² of the {'price level' if version.symbol else 'move'}", f"{model['R²']:.4f}", f"{naive['R²']:.4f}", "")
        return display.table(("", "model", "naive", "difference"), [*rows, fit])

    @admin.display(description="skill")
    def skill(self, version: ModelVersion) -> SafeString:
        """Relative metrics, each with its value for a model without skill."""
        metrics = version.metrics
        rows = (
            ("Error relative to the naive forecast (MASE)", f"{metrics['mase']:.4f}", "1, lower is better"),
            ("p value of beating the naive forecast", display.figure(metrics["beats_naive_p"]), "significant below 0.05"),
            ("Quantile loss relative to past returns", f"{metrics['pinball_ratio']:.4f}", "1, lower is better"),
            ("Closes inside the 80 % interval", display.percent(100 * metrics["coverage_80"]), "80 % is right"),
            ("Direction of the move forecast", _direction(metrics["directional_accuracy"]), "50 %, higher is better"),
        )
        return display.table(("", "model", "how to read it"), rows)

    @admin.display(description="point forecast")
    def point_forecast(self, version: ModelVersion) -> str:
        """The source of the point forecast, the weight of the network's median, and its tests; older releases stored no weight."""
        whose = "last close" if version.metrics["beats_naive_p"] is None else "model"
        median = version.metrics.get("median")
        return f"{whose}; weight of the median: {told_median(**median)}" if median else whose

    @admin.display(description="live record")
    def live(self, version: "RecordedVersion") -> str:
        """Track record of the version's served forecasts; a dash for a base, which covers many currencies."""
        if version.symbol is None:
            return display.NOTHING
        if not version.live:
            return "None of its forecasts has been scored yet."
        return display.live_record(version.live, currency=version.symbol.currency)

    @admin.display(description="bars")
    def data_window(self, version: "RevisableVersion") -> str:
        """The training bars, and whether they were restated since."""
        window = f"{display.count(version.bar_count, 'bar')}, {display.day(version.data_start)} to {display.day(version.data_end)}"
        return (
            display.joined([format_html("{}", window), display.badge("revised since", Tone.WARNING)])
            if version.data_revised
            else window
        )

    @admin.display(description="newest bar", ordering="data_end")
    def newest_bar(self, version: "RevisableVersion") -> SafeString:
        """The last training session, and whether the training bars were restated since."""
        return display.with_note(display.day(version.data_end), "bars revised since" if version.data_revised else "")

    @admin.display(description="samples")
    def samples(self, version: ModelVersion) -> SafeString:
        """The split of the windows in time, and the duration of the training."""
        metrics = version.metrics
        rows = (
            ("Training", display.count(metrics["training_data_size"], "window")),
            ("Validation: early stopping and calibration", display.count(metrics["validation_data_size"], "window")),
            ("Test: the metrics above", display.count(metrics["test_size"], "window")),
            ("Duration of the training", display.span(timedelta(seconds=metrics["training_duration"]))),
        )
        return display.table(("", "size"), rows)

    @admin.display(description="state of the files")
    def files_badge(self, version: ModelVersion) -> SafeString:
        """State of the files."""
        return display.badge(version.files_state, FILES_TONES.get(FilesState(version.files_state), Tone.QUIET))

    @admin.display(description="artifacts")
    def artifacts(self, version: ModelVersion) -> SafeString:
        """Name, size and the start of the SHA-256 of each file, and the folder of those that another version holds."""
        files = sorted(version.artifact_files.items())
        rows = ((name, filesizeformat(file.size), _short(file.sha256), file.folder or version.folder) for name, file in files)
        return display.table(("file", "size", "SHA-256", "folder"), rows)

    @admin.display(description="config")
    def pretty_config(self, version: ModelVersion) -> SafeString:
        """All parameters of the training."""
        return display.pretty_json(version.config)


def _difference(model: float, naive: float) -> str:
    """Percentage by which the model's error exceeds the naive forecast's."""
    return display.percent(100 * (model / naive - 1), places=2, signed=True) if naive else display.NOTHING


def _direction(share: float | None) -> str:
    return display.percent(None if share is None else 100 * share)


def _short(digest: str) -> SafeString:
    return format_html('<code title="{}">{}</code>', digest, digest[:HASH_SHOWN])
