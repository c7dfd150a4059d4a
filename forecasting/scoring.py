"""Scoring: what the price source finally says that a forecast session's close was, beside the forecast."""

from collections.abc import Iterable

from django.db import connection, transaction

from forecasting.market import OVERLAP_BARS
from forecasting.models import Symbol
from forecasting.models.forecasts import BARS_WITHOUT_TARGET

SCORING_LOCK = 0x53434F52
ROUNDING = 1e-5  # relative; below it a close is the one that was scored
# The same for a close that was rescaled since: a source that rounds prices to cents spreads one ratio that far. It does not grow
# with their number: Yahoo's rounding is 1e-6, so that a hundred dividends stay below it.
ROUNDING_OF_RATIOS = 1e-3
COMMITS_WITHIN = "1 hour"  # of its `restated_at`: until then, a restatement may have escaped a score

# One statement. `known` has each symbol's newest scored forecast: the run that scored it looked at the whole symbol. So what may
# have changed since are newer bars, the bars that a sync repeats and settles, and sessions that were corrected after that run:
# `changed` has the first of them, `candidate` the forecasts from there on. A run over all symbols looks for every forecast without
# a score instead, however old, so that none stays open.
#
# A split or dividend multiplies all bars before its session. If it was restated after the forecast's bars were read, and its
# session is later than `as_of`, it has rescaled the close of `as_of`. Its ratio, divided out, gives back the prices of the
# forecast, whether or not it has rescaled the target as well.
#
# The session that a forecast is of is the first one after `as_of`, whatever the calendar expected: a later one if the target did
# not take place, an earlier one if the calendar did not know of it.
STATEMENT = """
    WITH known AS (
        SELECT symbol.id AS symbol_id, newest.actual_date, newest.scored_at
        FROM forecasting_symbol AS symbol
        LEFT JOIN LATERAL (
            SELECT score.actual_date, score.scored_at
            FROM forecasting_forecast AS forecast
            JOIN forecasting_score AS score ON score.forecast_id = forecast.id AND score.latest
            WHERE forecast.symbol_id = symbol.id
            ORDER BY forecast.as_of DESC LIMIT 1
        ) AS newest ON TRUE
        WHERE %(symbols)s::bigint[] IS NULL OR symbol.id = ANY(%(symbols)s)
    ), changed AS (
        SELECT known.symbol_id, LEAST(
            coalesce((
                SELECT bar.date FROM forecasting_pricebar AS bar
                WHERE bar.symbol_id = known.symbol_id AND bar.date <= known.actual_date
                ORDER BY bar.date DESC OFFSET %(overlap)s LIMIT 1
            ), '-infinity'),
            (
                SELECT min(corrected.date) FROM forecasting_restatement AS corrected
                WHERE corrected.symbol_id = known.symbol_id AND corrected.reason = 'correction'
                    AND corrected.restated_at > known.scored_at - %(commits_within)s::interval
            )
        ) AS since
        FROM known
    ), candidate AS (
        SELECT
            forecast.*,
            score.id AS score_id, score.actual_date AS scored_date, score.actual_close AS scored_close, score.scored_at
        FROM changed
        JOIN forecasting_forecast AS forecast
            ON forecast.symbol_id = changed.symbol_id AND forecast.target_date >= changed.since
        LEFT JOIN forecasting_score AS score ON score.forecast_id = forecast.id AND score.latest
        WHERE %(symbols)s::bigint[] IS NOT NULL OR score.id IS NOT NULL
        UNION ALL
        SELECT forecast.*, NULL, NULL, NULL, NULL
        FROM forecasting_forecast AS forecast
        WHERE %(symbols)s::bigint[] IS NULL AND forecast.id IN (
            SELECT id FROM forecasting_forecast EXCEPT SELECT forecast_id FROM forecasting_score WHERE latest
        )
    ), found AS (
        SELECT candidate.*, bar.date AS actual_date, bar.close / adjusted.ratio AS actual_close, adjusted.anew
        FROM candidate
        JOIN LATERAL (
            SELECT date, close FROM forecasting_pricebar
            WHERE symbol_id = candidate.symbol_id AND date > candidate.as_of ORDER BY date LIMIT 1
        ) AS bar ON TRUE
        JOIN LATERAL (
            SELECT coalesce(exp(sum(ln(ratio))), 1) AS ratio, coalesce(bool_or(restated_at > candidate.scored_at), FALSE) AS anew
            FROM forecasting_restatement
            WHERE symbol_id = candidate.symbol_id AND reason <> 'correction'
                AND id > coalesce(candidate.restatement_id, 0) AND date > candidate.as_of
        ) AS adjusted ON TRUE
        WHERE EXISTS (
            SELECT FROM forecasting_pricebar WHERE symbol_id = candidate.symbol_id AND date = candidate.target_date
        ) OR EXISTS (
            SELECT FROM forecasting_pricebar
            WHERE symbol_id = candidate.symbol_id AND date > candidate.target_date ORDER BY date OFFSET %(waited)s - 1 LIMIT 1
        )
    ), due AS (
        SELECT * FROM found
        WHERE score_id IS NULL OR (
            (
                actual_date <> scored_date
                OR abs(actual_close / scored_close - 1) > CASE WHEN anew THEN %(of_ratios)s ELSE %(rounding)s END
            )
            -- A history that now begins after the forecast says nothing of it any more.
            AND EXISTS (SELECT FROM forecasting_pricebar WHERE symbol_id = found.symbol_id AND date <= found.as_of)
        )
    ), ended AS (
        UPDATE forecasting_score AS score SET latest = FALSE FROM due WHERE score.id = due.score_id
        RETURNING score.id
    )
    INSERT INTO forecasting_score (
        forecast_id, symbol_id, version_id, actual_date, actual_close, absolute_error, naive_absolute_error, inside_interval,
        reason, scored_at, latest
    )
    SELECT
        due.id, symbol_id, version_id, actual_date, actual_close, abs(actual_close - price), abs(actual_close - last_close),
        actual_close BETWEEN interval_low AND interval_high,
        CASE WHEN score_id IS NOT NULL THEN 'corrected' WHEN actual_date = target_date THEN 'first' ELSE 'session_moved' END,
        statement_timestamp(), TRUE
    FROM due
    LEFT JOIN ended ON ended.id = due.score_id
    WHERE ended.id IS NOT DISTINCT FROM due.score_id -- the new score needs the end of the one before it
"""


@transaction.atomic(savepoint=False)
def score_due(symbols: Iterable[Symbol] | None = None) -> int:
    """Appends the scores that are due, of all symbols or of these; returns how many.

    A forecast is due if its target session has a bar by now, or the next one if it is known not to have taken place; and again
    if the source has corrected that close since. One scorer at a time: the next one sees what this one appended.
    """
    parameters = {
        "symbols": None if symbols is None else [symbol.pk for symbol in symbols],
        "overlap": OVERLAP_BARS,
        "commits_within": COMMITS_WITHIN,
        "waited": BARS_WITHOUT_TARGET,
        "of_ratios": ROUNDING_OF_RATIOS,
        "rounding": ROUNDING,
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SCORING_LOCK])
        cursor.execute(STATEMENT, parameters)
        return int(cursor.rowcount)
