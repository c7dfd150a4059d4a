"""The last session of each exchange: how its forecasts did."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.db import connection

from forecasting.models.forecasts import Basis
from forecasting.pipeline.evaluation.uncertainty import deviation_of_share

RECENT = 10  # days before the newest score in which an exchange must have had a session
MISSES = 5

# Errors are in percent of the last close, because exchanges have symbols in several currencies.
STATEMENT = """
    WITH last AS (
        SELECT symbol.exchange, max(score.actual_date) AS date
        FROM forecasting_score AS score
        JOIN forecasting_symbol AS symbol ON symbol.id = score.symbol_id
        WHERE score.latest AND score.horizon = 1 AND score.basis = %(basis)s AND score.actual_date > (
            SELECT max(actual_date) - %(recent)s FROM forecasting_score WHERE latest AND horizon = 1 AND basis = %(basis)s
        )
        GROUP BY symbol.exchange
    ), judged AS (
        SELECT last.exchange, last.date, symbol.ticker, score.forecast_id, score.inside_interval, forecast.interval_level,
            100 * (score.actual_close - forecast.price) / forecast.last_close AS error
        FROM last
        JOIN forecasting_score AS score
            ON score.latest AND score.horizon = 1 AND score.basis = %(basis)s AND score.actual_date = last.date
        JOIN forecasting_symbol AS symbol ON symbol.id = score.symbol_id AND symbol.exchange = last.exchange
        JOIN forecasting_forecast AS forecast ON forecast.id = score.forecast_id
    ), ranked AS (
        SELECT judged.*, row_number() OVER (PARTITION BY exchange ORDER BY inside_interval, abs(error) DESC) AS place FROM judged
    )
    SELECT exchange, date, count(*), count(*) FILTER (WHERE inside_interval), max(interval_level),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(error)),
        jsonb_agg(jsonb_build_array(forecast_id, ticker, error) ORDER BY place)
            FILTER (WHERE place <= %(misses)s AND NOT inside_interval)
    FROM ranked GROUP BY exchange, date ORDER BY date DESC, count(*) DESC, exchange
"""


@dataclass(frozen=True, slots=True)
class Miss:
    """A close outside the interval; `error` is the close less the forecast, in percent of the last close."""

    forecast_id: int
    ticker: str
    error: float


@dataclass(frozen=True, slots=True)
class Session:
    """The forecasts of the next close, from own bars, of one exchange's last scored session."""

    exchange: str
    date: date
    count: int
    inside: int
    level: float
    median_error: float  # absolute, in percent of the last close
    misses: Sequence[Miss]  # the largest first

    @property
    def share(self) -> float:
        """Of closes inside the interval."""
        return self.inside / self.count

    @property
    def verdict(self) -> str:
        """Where the share is beside the level, if chance alone would nearly never bring it there."""
        if not deviation_of_share(self.share, promised=self.level, count=self.count).is_nearly_certain:
            return "usual"
        return "a rough session" if self.share < self.level else "a calm session"


def last_sessions() -> list[Session]:
    """One query. Exchanges without a session in the last RECENT days are left out."""
    with connection.cursor() as cursor:
        cursor.execute(STATEMENT, {"basis": Basis.CLOSE.value, "recent": RECENT, "misses": MISSES})
        rows = cursor.fetchall()
    return [_session(*row) for row in rows]


def _session(exchange: str, day: date, count: int, inside: int, level: float, error: float, misses: str | None) -> Session:
    found = [Miss(*miss) for miss in json.loads(misses or "[]")]
    return Session(exchange, day, count, inside, level, error, found)
