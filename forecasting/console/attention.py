"""What needs attention, worst first: each concern with its first few rows, and the button that may help."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from django.db.models import Count, F, QuerySet, Value, Window
from django.db.models.functions import Coalesce, RowNumber

from forecasting.console.deviations import coverage_deviation, loss_deviation
from forecasting.console.prices import Freshness
from forecasting.models import Finding, ModelVersion, Score, Symbol, Training
from forecasting.models.overall import Newest
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import FilesState
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.uncertainty import Deviation
from forecasting.prices.findings import Verdict

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


LISTED = (
    Concern("Damaged files", 0, (), "modelversion", {"files_state__exact": FilesState.DAMAGED.value}, button="Train again"),
    Concern("Failed trainings", 0, (), "training", {"state__exact": TrainingState.FAILED.value}, button="Try again"),
    Concern("Refused prices", 0, (), "finding", {"verdict__exact": Verdict.REFUSED.value}),
)
COLUMNS = ("table", "place", "total", "pk", "name", "why", "symbol_id")


def listed(sees: Set[str]) -> list[Concern]:
    """Of symbols in service and the base: newest versions whose files cannot be used, last trainings that failed, refused prices.

    As far as the user `sees` these tables. One query.
    """
    versions = ModelVersion.objects.newest_per_symbol().filter(files_state=FilesState.DAMAGED)
    newest = Training.objects.newest_per_symbol().values("pk")
    trainings = Training.objects.filter(pk__in=newest, state=TrainingState.FAILED)
    firsts = {
        "modelversion": _first(versions, why=Value("Its files cannot be used."), by="symbol__ticker"),
        "training": _first(trainings, why=F("error"), by="-finished_at"),
        "finding": _first(Finding.objects.refused(), why=F("text"), by="-found_at"),
    }
    concerns = [concern for concern in LISTED if concern.model in sees]
    found = [firsts[concern.model].annotate(table=Value(concern.model)).values_list(*COLUMNS) for concern in concerns]
    rows = sorted(found[0].union(*found[1:], all=True)) if found else []
    return [_filled(concern, [row for row in rows if row[0] == concern.model]) for concern in concerns]


def without_prices(freshness: Freshness) -> Concern:
    """Followed symbols without a bar."""
    rows = [Row("symbol", each["pk"], each["ticker"], each["reason"] or "Not synced yet.") for each in freshness.unpriced[:SHOWN]]
    return Concern("Symbols without prices", len(freshness.unpriced), rows, "symbol", {"exchange__isnull": "True"})


def off_records(newest: Newest) -> tuple[Concern, Concern]:
    """Symbols whose coverage is outside its band, and those whose loss is above the reference's, nearly certainly.

    Of 1,500 symbols, 15 exceed what chance does in 99 of 100 cases; so the limit is 9,999 of 10,000. One query, and another one if
    a score is `newest` for the first time.
    """
    covered, lossy = _off(newest)
    keys = {record["symbol_id"] for record in (*covered, *lossy)}
    names = dict(Symbol.objects.followed().filter(pk__in=keys).values_list("pk", "ticker")) if keys else {}

    def concern(title: str, found: list[dict[str, Any]], told: Callable[[dict[str, Any]], str], filtered: str) -> Concern:
        followed = [record for record in found if record["symbol_id"] in names]
        shown = [(record["symbol_id"], told(record)) for record in followed[:SHOWN]]
        rows = [Row("symbol", key, names[key], text, key) for key, text in shown]
        return Concern(title, len(followed), rows, "symbol", {"record": filtered}, button="Retrain")

    return (
        concern("Coverage outside its band", covered, _told_coverage, "coverage"),
        concern("Quantile loss above the reference", lossy, _told_loss, "loss"),
    )


@lru_cache(maxsize=1)
def _off(newest: Newest) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The records that are off in coverage, and in loss, as of the `newest` score."""
    records = list(Score.objects.all().track_record_with_squares())
    judged = [record for record in records if record["pinball_ratio"] is not None]
    return _certain(records, coverage_deviation), _certain(judged, loss_deviation)


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


def _first(rows: "QuerySet[Any]", *, why: F | Value, by: str) -> "QuerySet[Any]":
    """The first rows of symbols in service in this order, each with its place and the number of all."""
    name, number = Coalesce("symbol__ticker", Value("base")), Window(RowNumber(), order_by=(by, "-pk"))
    marked: QuerySet[Any] = (
        rows.filter(symbol__removed_at=None).order_by().annotate(place=number, total=Window(Count("*")), name=name, why=why)
    )
    return marked.filter(place__lte=SHOWN)


def _filled(concern: Concern, rows: Sequence[tuple[Any, ...]]) -> Concern:
    """With these rows of COLUMNS."""
    shown = [Row(concern.model, key, name, why, symbol) for _, _, _, key, name, why, symbol in rows]
    return replace(concern, count=rows[0][2] if rows else 0, rows=shown)
