"""`manage.py export_forecasts`: exports the ledger as CSV."""

import csv
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import F, Func, QuerySet, TextField

from forecasting.api.filters import ForecastFilter
from forecasting.models import Forecast
from forecasting.models.forecasts import Basis

AS_STORED = (
    "id", "as_of", "target_date", "horizon", "basis", "known_until", "target_opens", "target_closes", "quarter",
    "session_fraction", "price_now", "quote", "leads", "last_close", "price",
    "interval_level", "interval_low", "interval_high", "spread_factor", "probability_up", "simulated", "issued_at", "restatement",
    "reference", "risk",
)  # fmt: skip
OF_SCORE = (
    "part", "actual_date", "actual_close", "absolute_error", "naive_absolute_error", "inside_interval", "pinball_loss",
    "reference_pinball_loss", "brier_score", "reason", "scored_at",
)  # fmt: skip
COLUMNS = {
    "symbol": "symbol__ticker",
    "kind": "version__symbol_id",
    "version": "version__number",
    **{name: name for name in AS_STORED},
    **{name: f"score__{name}" for name in OF_SCORE},
}
FILTERS = ("symbol", "horizon", "basis", "target_date_after", "target_date_before", "scored")
BATCH_ROWS = 2000


class Command(BaseCommand):
    """All columns of each forecast and its latest score, unrounded, oldest target session first. Unknown values are empty."""

    help = "Writes the served forecasts and their scores as CSV."

    def add_arguments(self, parser: CommandParser) -> None:
        """The filters of `GET /models/forecasts`, and the file."""
        parser.add_argument("--symbol", help="only this symbol")
        parser.add_argument("--horizon", metavar="N", help="only forecasts of the Nth session ahead")
        parser.add_argument("--basis", choices=Basis.values, help="only forecasts with this basis")
        parser.add_argument("--target-date-after", metavar="DATE", help="only target sessions on or after this day")
        parser.add_argument("--target-date-before", metavar="DATE", help="only target sessions on or before this day")
        parser.add_argument("--scored", choices=("true", "false"), help="only forecasts with a score, or only those without")
        parser.add_argument("--output", type=Path, metavar="FILE", help="output file (default: standard output)")

    def handle(self, *, output: Path | None, **options: Any) -> None:
        """Writes the file. Raises CommandError with the name of an invalid filter."""
        forecasts = _chosen({name: options[name] for name in FILTERS if options[name]})
        with _opened(output, self.stdout) as file:  # type: ignore[arg-type]  # Django's wrapper writes like a file
            count = _write(file, forecasts, _levels(forecasts))
        self.stderr.write(f"{count} forecasts written.")


def _chosen(filters: dict[str, str]) -> "QuerySet[Forecast]":
    chosen = ForecastFilter(filters, queryset=Forecast.objects.with_score())
    if not chosen.is_valid():
        problems = [f"--{name.replace('_', '-')}: {' '.join(texts)}" for name, texts in chosen.errors.items()]
        raise CommandError("\n".join(problems))
    rows: QuerySet[Forecast] = chosen.qs.order_by("target_date", "symbol__ticker", "pk")
    return rows


@contextmanager
def _opened(output: Path | None, otherwise: IO[str]) -> Iterator[IO[str]]:
    """The output file once it is complete; an earlier one stays until then, and after an error."""
    if output is None:
        yield otherwise
        return
    before = output.is_file()
    is_pipe = output.exists() and not before
    whole = output if is_pipe else output.resolve()
    scratch = whole if is_pipe else whole.with_name(f".{whole.name}.unfinished")
    try:
        with scratch.open("w", encoding="utf-8", newline="") as file:
            yield file
        if not is_pipe:
            if before:
                shutil.copymode(whole, scratch)
            scratch.replace(whole)
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}.") from error
    finally:
        if not is_pipe:
            scratch.unlink(missing_ok=True)


def _levels(forecasts: "QuerySet[Forecast]") -> list[str]:
    """All quantile levels in the forecasts, ascending."""
    keys = forecasts.order_by().annotate(level=Func(F("quantiles"), function="jsonb_object_keys", output_field=TextField()))
    return sorted(set(keys.values_list("level", flat=True).distinct()), key=float)


def _write(file: IO[str], forecasts: "QuerySet[Forecast]", levels: Sequence[str]) -> int:
    """Writes the rows in batches, to save memory; returns their number."""
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow([*COLUMNS, *(f"quantile_{level}" for level in levels)])
    count = 0
    for *values, quantiles in forecasts.values_list(*COLUMNS.values(), "quantiles").iterator(BATCH_ROWS):
        row = dict(zip(COLUMNS, values, strict=True))
        row["kind"] = "symbol" if row["kind"] else "base"
        lines.writerow([*map(_text, row.values()), *(quantiles.get(level, "") for level in levels)])
        count += 1
    return count


def _text(value: Any) -> Any:
    """Formats times as ISO 8601, booleans, lists and mappings as in JSON; None becomes empty."""
    if isinstance(value, bool | list | dict):
        return json.dumps(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
