"""What needs attention, worst first: each concern with its first few rows, and the button that may help."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, QuerySet, Window

from forecasting.console.deviations import coverage_deviation, loss_deviation
from forecasting.console.prices import Freshness
from forecasting.models import Finding, ModelVersion, Score, Symbol, Training
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import FilesState
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.uncertainty import Deviation

SHOWN = 5  # rows of each concern


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the admin that needs attention, and why."""

    model: str
    pk: int
    name: str
    text: str
    symbol: int | None = None  # whose retraining may help


@dataclass(frozen=True, slots=True)
class Concern:
    """Rows with the same trouble: how many there are, the first few, and the list of all."""

    title: str
    count: int
    rows: Sequence[Row]
    model: str
    query: Mapping[str, str] = field(default_factory=dict)
    button: str = ""  # its text


def damaged_files() -> Concern:
    """Newest versions whose files cannot be used. One query."""
    damaged = ModelVersion.objects.newest_per_symbol().filter(files_state=FilesState.DAMAGED).select_related("symbol")
    found = _first(damaged.order_by("symbol__ticker"))
    rows = [Row("modelversion", each.pk, str(each), "Its files cannot be used.", each.symbol_id) for each in found]
    query = {"files_state__exact": FilesState.DAMAGED.value}
    return Concern("Damaged files", _total(found), rows, "modelversion", query, button="Train again")


def failed_trainings() -> Concern:
    """Symbols in service, and the base, whose last training failed. One query."""
    newest = Training.objects.newest_per_symbol().values("pk")
    failed = Training.objects.filter(pk__in=newest, state=TrainingState.FAILED, symbol__removed_at=None)
    found = _first(failed.select_related("symbol").order_by("-finished_at"))
    rows = [Row("training", each.pk, each.subject, each.error, each.symbol_id) for each in found]
    return Concern("Failed trainings", _total(found), rows, "training", {"state__exact": "failed"}, button="Try again")


def refused_prices() -> Concern:
    """Symbols whose newest prices the gate keeps out. One query."""
    found = _first(Finding.objects.refused().select_related("symbol").order_by("-found_at", "-pk"))
    rows = [Row("finding", each.pk, each.symbol.ticker, each.text) for each in found]
    return Concern("Refused prices", _total(found), rows, "finding", {"verdict__exact": "refused"})


def without_prices(freshness: Freshness) -> Concern:
    """Followed symbols without a bar."""
    rows = [Row("symbol", each["pk"], each["ticker"], each["reason"] or "Not synced yet.") for each in freshness.unpriced[:SHOWN]]
    return Concern("Symbols without prices", len(freshness.unpriced), rows, "symbol", {"exchange__isnull": "True"})


def off_records() -> tuple[Concern, Concern]:
    """Symbols whose coverage is outside its band, and those whose loss is above the reference's, nearly certainly.

    Of 1,500 symbols, 15 exceed what chance does in 99 of 100 cases; so the limit is 9,999 of 10,000. Two queries.
    """
    records = list(Score.objects.all().track_record_with_squares())
    covered = _certain(records, coverage_deviation)
    lossy = _certain([record for record in records if record["pinball_ratio"] is not None], loss_deviation)
    keys = {record["symbol_id"] for record in (*covered, *lossy)}
    names = dict(Symbol.objects.followed().filter(pk__in=keys).values_list("pk", "ticker")) if keys else {}

    def concern(title: str, found: list[dict[str, Any]], told: Callable[[dict[str, Any]], str], column: str) -> Concern:
        followed = [record for record in found if record["symbol_id"] in names]
        shown = [(record["symbol_id"], told(record)) for record in followed[:SHOWN]]
        rows = [Row("symbol", key, names[key], text, key) for key, text in shown]
        return Concern(title, len(followed), rows, "symbol", {"o": column}, button="Retrain")

    return (
        concern("Coverage outside its band", covered, _told_coverage, "6"),
        concern("Quantile loss above the reference", lossy, _told_loss, "-7"),
    )


def _certain(records: list[dict[str, Any]], deviation: Callable[[dict[str, Any]], Deviation]) -> list[dict[str, Any]]:
    """Those whose deviation is nearly certain, the largest first, in units of what chance may do."""
    found = [(measured, record) for record in records if (measured := deviation(record)).is_nearly_certain]
    return [record for _, record in sorted(found, key=lambda each: each[0].size / each[0].chance, reverse=True)]


def _told_coverage(record: Mapping[str, Any]) -> str:
    chance = 100 * coverage_deviation(record).chance
    promised = f"{100 * ForecastConfig().interval_level:.0f} \N{PLUS-MINUS SIGN} {chance:.0f} %"
    return f"{100 * record['coverage']:.1f} % of {record['forecasts']:,} closes inside; {promised} are promised."


def _told_loss(record: Mapping[str, Any]) -> str:
    chance = loss_deviation(record).chance
    return f"{record['pinball_ratio']:.3f} \N{PLUS-MINUS SIGN} {chance:.3f} times the reference's in {record['judged']:,} sessions."


def _first(rows: "QuerySet[Any]") -> list[Any]:
    """The first rows, each with the number of all as `total`."""
    return list(rows.annotate(total=Window(Count("*")))[:SHOWN])


def _total(found: list[Any]) -> int:
    return found[0].total if found else 0
