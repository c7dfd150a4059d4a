"""Scoring: compares forecasts with the actual closes, and again after the price source corrects a close."""

from collections.abc import Iterable

from django.db import connection, transaction

from forecasting.market import OVERLAP_BARS
from forecasting.models import Symbol
from forecasting.models.forecasts import BARS_WITHOUT_TARGET
from forecasting.models.locks import Lock, lock_until_commit
from forecasting.pipeline.model.live import PARTS

ROUNDING = 1e-5  # relative; a smaller difference from the scored close is not a correction
# The same limit for a close that was rescaled since: rounding to cents changes a ratio by up to this much. It need not grow with
# the number of ratios: Yahoo rounds to 1e-6, so a hundred dividends stay below it.
ROUNDING_OF_RATIOS = 1e-3
COMMITS_WITHIN = "1 hour"  # of its `restated_at`; until then, a scoring run may have missed a restatement

# One statement. `known` has each symbol's newest scored forecast; the run that scored it checked the whole symbol. Three things may
# have changed since: newer bars, the bars that each sync repeats, and sessions corrected after that run. `changed` has the first
# changed session, `candidate` the forecasts from there on. A run over all symbols also checks every unscored forecast of any age,
# so that none stays unscored.
#
# A split or dividend multiplies all bars before its session. If it was restated after the forecast's bars were read, and its
# session is later than `as_of`, it has rescaled the close of `as_of`. Dividing by its ratio restores the price scale of the
# forecast, whether or not the target was rescaled too. A forecast during the target session is in the prices of that session, so
# only later ones rescale it.
#
# A forecast of the next session is scored against the first one after `as_of`. This may differ from the calendar: it is later if
# the target did not take place, and earlier if the calendar lacks a session. A forecast of a later session is scored against the
# first one from its target on, because the gate may have left out bars in between.

# Mean quantile loss in log returns, over rows of level and price. The tails do not count, so that it compares with the loss in a
# version's test, whose experts have none.
LEVELS = "WHERE key::float8 BETWEEN 0.05 AND 0.95"
PINBALL_LOSS = "avg(greatest(key::float8 * ln(actual_close / value::float8), (key::float8 - 1) * ln(actual_close / value::float8)))"
STATEMENT = f"""
    WITH known AS (
        SELECT symbol.id AS symbol_id, newest.actual_date, newest.scored_at
        FROM forecasting_symbol AS symbol
        LEFT JOIN LATERAL (
            SELECT score.actual_date, score.scored_at
            FROM forecasting_forecast AS forecast
            JOIN forecasting_score AS score ON score.forecast_id = forecast.id AND score.latest
            WHERE forecast.symbol_id = symbol.id AND forecast.horizon = 1
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
            WHERE symbol_id = candidate.symbol_id AND date > candidate.as_of
                AND (candidate.horizon = 1 OR date >= candidate.target_date)
            ORDER BY date LIMIT 1
        ) AS bar ON TRUE
        JOIN LATERAL (
            SELECT coalesce(exp(sum(ln(ratio))), 1) AS ratio, coalesce(bool_or(restated_at > candidate.scored_at), FALSE) AS anew
            FROM forecasting_restatement
            WHERE symbol_id = candidate.symbol_id AND reason <> 'correction'
                AND id > coalesce(candidate.restatement_id, 0)
                AND date > CASE WHEN candidate.quarter IS NULL THEN candidate.as_of ELSE candidate.target_date END
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
            -- A history that now begins after `as_of` cannot correct the score.
            AND EXISTS (SELECT FROM forecasting_pricebar WHERE symbol_id = found.symbol_id AND date <= found.as_of)
        )
    ), ended AS (
        UPDATE forecasting_score AS score SET latest = FALSE FROM due WHERE score.id = due.score_id
        RETURNING score.id
    )
    INSERT INTO forecasting_score (
        forecast_id, symbol_id, version_id, horizon, basis, part, actual_date, actual_close, absolute_error, naive_absolute_error,
        inside_interval, pinball_loss, reference_pinball_loss, brier_score, reason, scored_at, latest
    )
    SELECT
        due.id, symbol_id, version_id, horizon, basis, width_bucket(session_fraction, %(parts)s::float8[]), actual_date,
        actual_close, abs(actual_close - price), abs(actual_close - last_close),
        actual_close BETWEEN interval_low AND interval_high,
        (SELECT {PINBALL_LOSS} FROM jsonb_each_text(quantiles) {LEVELS}),
        (SELECT {PINBALL_LOSS} FROM jsonb_each_text(reference) {LEVELS}),
        CASE
            WHEN probability_up <> 0.5 AND actual_close <> last_close THEN ((actual_close > last_close)::int - probability_up) ^ 2
        END,
        CASE WHEN score_id IS NOT NULL THEN 'corrected' WHEN actual_date = target_date THEN 'first' ELSE 'session_moved' END,
        statement_timestamp(), TRUE
    FROM due
    LEFT JOIN ended ON ended.id = due.score_id
    WHERE ended.id IS NOT DISTINCT FROM due.score_id -- insert the new score only after the update of the previous one
"""  # noqa: S608 - an expression of our own


@transaction.atomic(savepoint=False)
def score_due(symbols: Iterable[Symbol] | None = None) -> int:
    """Adds the scores that are due, for all symbols or only for these; returns their number.

    A score is due if the target session has a bar, or if later bars show that the session did not take place. Another score is due
    if the source corrects that close. An advisory lock allows one run at a time, so each run sees the scores of the one before.
    """
    parameters = {
        "symbols": None if symbols is None else [symbol.pk for symbol in symbols],
        "overlap": OVERLAP_BARS,
        "commits_within": COMMITS_WITHIN,
        "waited": BARS_WITHOUT_TARGET,
        "parts": list(PARTS[1:]),
        "of_ratios": ROUNDING_OF_RATIOS,
        "rounding": ROUNDING,
    }
    lock_until_commit(Lock.SCORING)
    with connection.cursor() as cursor:
        cursor.execute(STATEMENT, parameters)
        return int(cursor.rowcount)
