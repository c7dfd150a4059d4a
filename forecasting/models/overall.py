"""How all scored forecasts together turned out, by horizon and basis."""

from dataclasses import dataclass
from datetime import date, datetime

from django.db import connection

from forecasting.models.scores import Score

Newest = tuple[int, datetime] | None

# One pass over the scores makes a row per day and one per symbol. Closes of one day move together, so chance is judged by days.
# Errors are divided by those of the naive forecast symbol by symbol, because prices of different currencies cannot be added.
OVERALL = """
    WITH cells AS (
        SELECT score.horizon, score.basis, score.symbol_id, score.actual_date,
            count(*) AS forecasts, count(*) FILTER (WHERE score.inside_interval) AS inside,
            sum(score.absolute_error) AS errors, nullif(sum(score.naive_absolute_error), 0) AS naive_errors,
            sum(score.pinball_loss) FILTER (WHERE score.reference_pinball_loss IS NOT NULL) AS losses,
            sum(score.reference_pinball_loss) FILTER (WHERE score.pinball_loss IS NOT NULL) AS reference
        FROM forecasting_score AS score
        WHERE score.latest {without}
        GROUP BY GROUPING SETS ((score.horizon, score.basis, score.actual_date), (score.horizon, score.basis, score.symbol_id))
    )
    SELECT horizon, basis,
        count(symbol_id), count(actual_date), min(actual_date), max(actual_date),
        sum(forecasts) FILTER (WHERE symbol_id IS NULL)::bigint, sum(inside) FILTER (WHERE symbol_id IS NULL)::bigint,
        sum((inside - %s * forecasts) ^ 2) FILTER (WHERE symbol_id IS NULL)::float,
        (sum(forecasts * errors / naive_errors) FILTER (WHERE actual_date IS NULL)
            / sum(forecasts) FILTER (WHERE actual_date IS NULL AND naive_errors IS NOT NULL))::float,
        count(losses) FILTER (WHERE symbol_id IS NULL), sum(losses) FILTER (WHERE symbol_id IS NULL),
        sum(reference) FILTER (WHERE symbol_id IS NULL), sum(losses * losses) FILTER (WHERE symbol_id IS NULL),
        sum(losses * reference) FILTER (WHERE symbol_id IS NULL), sum(reference * reference) FILTER (WHERE symbol_id IS NULL)
    FROM cells GROUP BY horizon, basis ORDER BY horizon, basis
"""
# By the first and the newest forecast of each symbol: to read `simulated` of all of them took four times as long as all the rest.
WITHOUT_SIMULATED = """
    AND score.symbol_id NOT IN (
        SELECT symbol.id FROM forecasting_symbol AS symbol CROSS JOIN LATERAL (
            (SELECT simulated FROM forecasting_forecast WHERE symbol_id = symbol.id ORDER BY as_of LIMIT 1)
            UNION ALL
            (SELECT simulated FROM forecasting_forecast WHERE symbol_id = symbol.id ORDER BY as_of DESC LIMIT 1)
        ) AS made WHERE made.simulated
    )
"""


@dataclass(frozen=True, slots=True)
class Overall:
    """The record of one horizon and basis, over all symbols and versions. Losses are sums over days, and so are their products."""

    horizon: int
    basis: str
    symbols: int
    days: int
    first: date
    last: date
    forecasts: int
    inside: int
    inside_squares: float  # sum over days of the squared number inside beyond the expected one
    mase: float | None  # mean over forecasts of their symbol's error relative to the naive forecast's
    judged_days: int  # days with quantile losses
    losses: float | None
    reference: float | None
    losses_squared: float | None
    losses_times_reference: float | None
    reference_squared: float | None


def overall(*, level: float, with_simulated: bool) -> list[Overall]:
    """The records of all horizons and bases that have scores. One query, which reads all scores.

    `level`: the promised share inside the interval. `with_simulated`: also of symbols with simulated prices.
    """
    with connection.cursor() as cursor:
        cursor.execute(OVERALL.format(without="" if with_simulated else WITHOUT_SIMULATED), [level])
        return [Overall(*row) for row in cursor]


def newest_score() -> Newest:
    """Key and time of the newest score: as long as they are the same, so are all records.

    The key alone does not tell, because it is given out again after a backup is restored.
    """
    return Score.objects.order_by("-pk").values_list("pk", "scored_at").first()
