"""Figures of the ledger and the bars by basis and exchange, for monitoring: computed when something is new, then kept."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any

from django.db import connection
from django.db.models import Count, Max
from django.db.models.functions import Now
from django.utils import timezone

from forecasting.models import Forecast, Score, Summary
from forecasting.models.forecasts import Basis
from forecasting.pipeline.config import ForecastConfig

WINDOWS = (20, 250)  # last sessions of an exchange
SPAN = timedelta(days=400)  # has 250 sessions
TOLERANCE = 0.03  # coverage may differ by that much, however certain it is
Z = 3.29  # a coverage beyond the band has a probability of 1 in 1,000 by chance

# Of each exchange: followed symbols with bars, those whose newest bar is older than the newest of all, and that newest session.
BARS = """
    WITH newest AS (
        SELECT symbol.exchange, bar.date
        FROM forecasting_symbol AS symbol
        CROSS JOIN LATERAL (
            SELECT date FROM forecasting_pricebar WHERE symbol_id = symbol.id ORDER BY date DESC LIMIT 1
        ) AS bar
        WHERE symbol.removed_at IS NULL AND symbol.followed AND symbol.exchange IS NOT NULL
    ), latest AS (
        SELECT exchange, max(date) AS date FROM newest GROUP BY exchange
    )
    SELECT exchange, count(*), count(*) FILTER (WHERE newest.date < latest.date), latest.date
    FROM newest JOIN latest USING (exchange) GROUP BY exchange, latest.date ORDER BY exchange
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRecord:
    """How the next closes of one exchange turned out in its last `sessions` (or as many as there are)."""

    exchange: str
    sessions: int  # of the window
    seen: int  # sessions with scores
    forecasts: int
    coverage: float
    low: float  # the band of the coverage
    high: float
    pinball_ratio: float | None

    @property
    def is_inside(self) -> bool:
        """Whether the coverage is in its band; always if there are fewer sessions than the shortest window."""
        return self.seen < WINDOWS[0] or self.low <= self.coverage <= self.high


def refresh() -> bool:
    """Computes the figures again; those of the ledger only if it has new rows. Returns whether it had."""
    kept = Summary.objects.first()
    newest = {
        "newest_forecast": Forecast.objects.aggregate(newest=Max("pk"))["newest"] or 0,
        "newest_score": Score.objects.aggregate(newest=Max("pk"))["newest"] or 0,
    }
    is_new = kept is None or any(getattr(kept, name) != key for name, key in newest.items())
    figures = {"computed_at": timezone.now(), "bars": _bars(), **newest} | (_of_ledger() if is_new else {})
    Summary.objects.update_or_create(pk=1, defaults=figures)
    return is_new


def records() -> list[ExchangeRecord]:
    """The kept records, by exchange and window."""
    kept = Summary.objects.first()
    return [ExchangeRecord(**each) for each in kept.records] if kept else []


def record(exchange: str, days: Sequence[dict[str, Any]], *, sessions: int) -> ExchangeRecord:
    """The record of the last `sessions` of these days, which are in ascending order.

    Outcomes of one session depend on each other, so the standard error treats each session as one observation (cluster-robust,
    Liang and Zeger 1986, under the promised coverage): sqrt(sum (inside - level * forecasts)^2) / forecasts.
    """
    level, last = ForecastConfig().interval_level, days[-sessions:]
    forecasts, reference = sum(day["forecasts"] for day in last), sum(day["reference_losses"] or 0.0 for day in last)
    error = math.sqrt(sum((day["inside"] - level * day["forecasts"]) ** 2 for day in last)) / forecasts
    margin = max(TOLERANCE, Z * error)
    return ExchangeRecord(
        exchange=exchange,
        sessions=sessions,
        seen=len(last),
        forecasts=forecasts,
        coverage=sum(day["inside"] for day in last) / forecasts,
        low=max(0.0, level - margin),
        high=min(1.0, level + margin),
        pinball_ratio=sum(day["losses"] or 0.0 for day in last) / reference if reference else None,
    )


def _of_ledger() -> dict[str, Any]:
    by_exchange = groupby(Score.objects.all().by_session(since=Now() - SPAN), key=lambda day: day["exchange"])
    listed = ((exchange, list(days)) for exchange, days in by_exchange)
    return {
        "issued": _counts(_issued()),
        "scored": _counts(Score.objects.filter(latest=True).values_list("basis").order_by("basis").annotate(Count("pk"))),
        "records": [asdict(record(exchange, days, sessions=each)) for exchange, days in listed for each in WINDOWS],
    }


def _issued() -> list[tuple[str, int]]:
    """By the partial indexes of both kinds, without reading the rows."""
    before = Forecast.objects.filter(quarter=None).order_by("basis").values_list("basis").annotate(Count("pk"))
    return [*before, (Basis.LIVE, Forecast.objects.filter(quarter__isnull=False).count())]


def _counts(rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    return dict.fromkeys(Basis.values, 0) | dict(rows)


def _bars() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(BARS)
        rows = cursor.fetchall()
    return {exchange: {"symbols": symbols, "behind": behind, "newest": str(day)} for exchange, symbols, behind, day in rows}
