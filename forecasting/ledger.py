"""The ledger: issues each forecast once, keeps it for ever, and scores it after its session.

The forecasts of all horizons are issued together. What is said of a symbol is its forecast of the next session, with the others as
its outlook.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from forecasting import market
from forecasting.models import Forecast, ModelVersion, Restatement, Symbol
from forecasting.models.versions import SERVING
from forecasting.pipeline.model.adaptation import RECENT, RECENT_OUTCOMES, horizon_factor, next_factor, recent_outcomes
from forecasting.pipeline.model.horizons import SESSIONS
from forecasting.pipeline.model.windows import TooFewBarsError
from forecasting.pipeline.serving.forecaster import Forecaster, QuantileForecast
from forecasting.prices.calendars import session_after
from forecasting.prices.catalogue import is_simulated
from forecasting.scoring import score_due

__all__ = ["Scorecard", "issue", "issued", "score_due", "scorecards"]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A symbol's active version with its test metrics, and the live record of all forecasts served for the symbol (in prices)."""

    version: ModelVersion
    forecasts: int = 0
    mae: float = 0.0
    naive_mae: float = 0.0
    coverage: float = 0.0


def scorecards(tickers: Sequence[str]) -> dict[str, Scorecard]:
    """The scorecard of each symbol that has a model, by ticker. One query."""
    versions = SERVING.rows(tickers)
    return {version.symbol.ticker: Scorecard(version, **version.live or {}) for version in versions if version.symbol}


def issued(serving: Mapping[Symbol, ModelVersion]) -> dict[Symbol, Forecast]:
    """The existing forecasts of these versions from the newest bar, by symbol."""
    known = Forecast.objects.of(serving).of_next_close().filter(version__in=list(serving.values())).from_newest_bar().with_outlook()
    return {each.symbol: each for each in known.select_related("symbol", "version") if serving[each.symbol] == each.version}


def issue(
    models: Mapping[Symbol, Forecaster], serving: Mapping[Symbol, ModelVersion]
) -> tuple[dict[Symbol, Forecast], dict[Symbol, str]]:
    """Computes and stores each symbol's forecasts from its newest bar, for all horizons of its model.

    Returns those of the next session, with their outlook, and the errors, both by symbol. Only one forecast exists per version,
    symbol, session and horizon: of two concurrent callers, both get the first one's row.
    """
    score_due(models)  # the new scores decide the width of the new intervals
    rows, errors = _compute(models, serving)
    Forecast.objects.bulk_create(rows, ignore_conflicts=True)
    return _stored(rows), errors


def _stored(rows: Sequence[Forecast]) -> dict[Symbol, Forecast]:
    """The stored rows of these forecasts, ours or a concurrent caller's. A bar that arrived meanwhile does not exclude them."""
    made = {(row.symbol_id, row.version_id, row.as_of) for row in rows}
    stored = Forecast.objects.of({row.symbol for row in rows}).of_next_close().filter(as_of__in={row.as_of for row in rows})
    mine = [
        row
        for row in stored.with_outlook().select_related("symbol", "version")
        if (row.symbol_id, row.version_id, row.as_of) in made
    ]
    return {forecast.symbol: forecast for forecast in mine}


def _compute(
    models: Mapping[Symbol, Forecaster], serving: Mapping[Symbol, ModelVersion]
) -> tuple[list[Forecast], dict[Symbol, str]]:
    """New, unsaved forecasts sorted by symbol key, and an error for each symbol without one."""
    errors = {}
    # Look up restatements before reading the bars. One that commits in between has a date up to `as_of`, so scoring ignores it.
    # In the opposite order, it would count as known although the bars that were read are not rescaled.
    restatements = Restatement.objects.last_by_symbol(models)
    bars = market.recent_bars(models, count=max((model.bars_needed for model in models.values()), default=0))
    factors = _factors({symbol: serving[symbol] for symbol in models}, models)
    further = _factors_of_horizons({symbol: serving[symbol] for symbol in models}, models)
    rows = []
    for symbol in sorted(models, key=lambda symbol: symbol.pk):  # sorted, so that two callers cannot deadlock
        try:
            for_each = {1: factors[symbol], **further[symbol]}
            for computed in models[symbol].forecasts(bars[symbol.pk], factors=for_each):
                row = _forecast(symbol, serving[symbol], computed, factor=for_each[computed.horizon])
                row.restatement_id = restatements.get(symbol.pk)
                rows.append(row)
        except TooFewBarsError as error:
            errors[symbol] = f"No forecast: {error}"
    return rows, errors


def _factors(serving: Mapping[Symbol, ModelVersion], models: Mapping[Symbol, Forecaster]) -> dict[Symbol, float]:
    """The spread factor of each symbol's next forecast, from the scores of its version's earlier forecasts. One query."""
    scored: dict[tuple[int, int], list[tuple[float, bool]]] = {}
    query = """
        SELECT wanted.symbol, wanted.version, recent.spread_factor, recent.inside_interval
        FROM unnest(%s::bigint[], %s::bigint[]) AS wanted (symbol, version)
        CROSS JOIN LATERAL (
            SELECT forecast.as_of, forecast.spread_factor, score.inside_interval
            FROM forecasting_forecast AS forecast
            JOIN forecasting_score AS score ON score.forecast_id = forecast.id AND score.latest
            WHERE forecast.symbol_id = wanted.symbol AND forecast.version_id = wanted.version
                AND forecast.horizon = 1 AND forecast.basis = 'close'
            ORDER BY forecast.as_of DESC LIMIT %s
        ) AS recent
        ORDER BY recent.as_of
    """
    with connection.cursor() as cursor:
        cursor.execute(query, [[symbol.pk for symbol in serving], [version.pk for version in serving.values()], RECENT])
        for symbol_id, version_id, factor, inside in cursor:
            scored.setdefault((symbol_id, version_id), []).append((factor, inside))
    return {symbol: _factor(scored.get((symbol.pk, version.pk), []), models[symbol]) for symbol, version in serving.items()}


def _factor(scored: Sequence[tuple[float, bool]], model: Forecaster) -> float:
    """The next spread factor, from the factors and hits of the scored forecasts, oldest first."""
    if not scored:
        return model.first_factor
    return next_factor(scored[-1][0], [inside for _, inside in scored], level=model.interval_level)


def _factors_of_horizons(
    serving: Mapping[Symbol, ModelVersion], models: Mapping[Symbol, Forecaster]
) -> dict[Symbol, dict[int, float]]:
    """By symbol and horizon, the spread factor of the next forecast of several sessions ahead. One query; see `_factors`."""
    query = """
        SELECT wanted.symbol, ahead.sessions, count(*), count(*) FILTER (WHERE recent.inside_interval)
        FROM unnest(%s::bigint[], %s::bigint[]) AS wanted (symbol, version)
        CROSS JOIN unnest(%s::int[]) AS ahead (sessions)
        CROSS JOIN LATERAL (
            SELECT inside_interval FROM forecasting_score
            WHERE symbol_id = wanted.symbol AND version_id = wanted.version AND horizon = ahead.sessions AND basis = 'close'
                AND latest
            ORDER BY actual_date DESC LIMIT %s
        ) AS recent
        GROUP BY wanted.symbol, ahead.sessions
    """
    keys = [symbol.pk for symbol in serving], [version.pk for version in serving.values()]
    with connection.cursor() as cursor:
        cursor.execute(query, [*keys, list(SESSIONS), RECENT_OUTCOMES])
        scored = {(symbol, horizon): (outcomes, covered) for symbol, horizon, outcomes, covered in cursor}
    return {
        symbol: {
            each.sessions: horizon_factor(
                *recent_outcomes(*scored.get((symbol.pk, each.sessions), (0, 0)), earlier=(each.outcomes, each.covered)),
                sessions=each.sessions,
                level=model.interval_level,
            )
            for each in (model.horizons.each if model.horizons else ())
        }
        for symbol, model in models.items()
    }


def _forecast(symbol: Symbol, version: ModelVersion, computed: QuantileForecast, *, factor: float) -> Forecast:
    """The ledger's row of a computed forecast."""
    return Forecast(
        symbol=symbol,
        version=version,
        as_of=computed.as_of,
        target_date=session_after(symbol.calendar, after=computed.as_of, count=computed.horizon),
        horizon=computed.horizon,
        last_close=computed.last_close,
        price=computed.price,
        quantiles=computed.quantiles,
        interval_level=computed.interval_level,
        interval_low=computed.interval_low,
        interval_high=computed.interval_high,
        spread_factor=factor,
        probability_up=computed.probability_up,
        simulated=is_simulated(settings.PRICE_SOURCE),
    )
