"""What the service promises, and how all scored forecasts have kept it."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from forecasting.models import overall
from forecasting.models.forecasts import Basis
from forecasting.pages.cards import long_day
from forecasting.pages.record import PROMISED, Record, counted, of_kind
from forecasting.pages.remembered import Remembered
from forecasting.prices.catalogue import is_simulated


@dataclass(frozen=True, slots=True)
class Kept:
    """The records of all forecasts: that of the next close from own bars first, if it has any."""

    records: Sequence[Record]
    main: Record | None = None
    extent: str = ""  # of the main record
    promised: int = round(100 * PROMISED)

    @property
    def sentence(self) -> str:
        """The main record in a sentence."""
        return self.main.coverage_sentence if self.main else "No forecast has been scored yet."


def _kept() -> Kept:
    rows = overall.overall(level=PROMISED, with_simulated=is_simulated(settings.PRICE_SOURCE))
    records = [of_kind(row) for row in rows]
    for row, record in zip(rows, records, strict=True):
        if (row.horizon, row.basis) == (1, Basis.CLOSE):
            extent = f"{counted(row.symbols, 'symbol')}, {counted(row.days, 'session')}"
            since = f"{long_day(row.first)} to {long_day(row.last)}" if row.days > 1 else long_day(row.first)
            return Kept(records, record, f"{extent}: {since}")
    return Kept(records)


kept = Remembered(_kept, mark=overall.newest_score)
