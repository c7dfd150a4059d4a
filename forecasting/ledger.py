"""The ledger: issues each forecast once and keeps it for ever.

The forecasts of all horizons are issued together. What is said of a symbol is its forecast of the next session, with the others as
its outlook.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from django.conf import settings
from django.db import connection

from forecasting import direction, market
from forecasting.leads import Known
from forecasting.models import Forecast, ModelVersion, Restatement, Symbol
from forecasting.models.forecasts import HORIZONS, Basis
from forecasting.pipeline.evaluation.quantiles import REFERENCE_SESSIONS, reference_quantiles
from forecasting.pipeline.model.adaptation import RECENT, RECENT_OUTCOMES, horizon_factor, next_factor, recent_outcomes
from forecasting.pipeline.model.horizons import SESSIONS
from forecasting.pipeline.model.windows import TooFewBarsError
from forecasting.pipeline.serving.forecaster import Forecaster, QuantileForecast
from forecasting.prices.calendars import session_after
from forecasting.prices.catalogue import is_simulated


def issued(serving: Mapping[Symbol, ModelVersion]) -> dict[Symbol, Forecast]:
    """The best existing forecast of each of these versions from the newest bar, with its outlook, by symbol."""
    known = Forecast.objects.of(serving).filter(horizon=1, version__in=list(serving.values())).before_the_session()
    ranked = known.from_newest_bar().with_outlook().select_related("symbol", "version").order_by("basis")  # the last one knows most
    return {each.symbol: each for each in ranked if serving[each.symbol] == each.version}


def issue(
    models: Mapping[Symbol, Forecaster], serving: Mapping[Symbol, ModelVersion]
) -> tuple[dict[Symbol, Forecast], dict[Symbol, str]]:
    """Computes and stores each symbol's forecasts from its newest bar, for all horizons of its model.

    Call `scoring.score_due` first if these versions have issued forecasts before: their scores decide how wide the new ones are.

    Returns those of the next session, with their outlook, and the errors, both by symbol. Only one forecast exists per version,
    symbol, session and horizon: of two concurrent callers, both get the first one's row.
    """
    rows, errors = _compute(models, serving)
    Forecast.objects.bulk_create(rows, ignore_conflicts=True)
    return _stored(rows), errors


def issue_with_leads(
    models: Mapping[Symbol, Forecaster], serving: Mapping[Symbol, ModelVersion], known: Mapping[str, Known]
) -> int:
    """Computes and stores forecasts that know leads, one a session and version; returns how many there are.

    `known`: by exchange. A symbol whose newest bar is not that of the window's session gets none.
    """
    models = dict(sorted(models.items(), key=lambda item: item[0].pk))
    restatements = Restatement.objects.last_by_symbol(models)  # before the bars: see `_compute`
    bars = market.recent_bars(models, count=_bars_needed(models.values()))
    factors = _factors({symbol: serving[symbol] for symbol in models}, models, basis=Basis.LEAD)
    rows = []
    for symbol, model in models.items():
        lead, window = known[symbol.calendar].lead(symbol), known[symbol.calendar].window
        if lead and len(bars[symbol.pk]) >= model.bars_needed and bars[symbol.pk].index[-1].date() == window.as_of:
            computed = model.forecast(bars[symbol.pk], exchange=symbol.calendar, factor=factors[symbol], lead=lead)
            row = _forecast(symbol, serving[symbol], computed, factor=factors[symbol], closes=bars[symbol.pk]["close"])
            row.basis, row.known_until, row.target_opens = Basis.LEAD, window.known_until, window.opens
            row.leads = [move.facts for move in lead.moves]
            row.restatement_id = restatements.get(symbol.pk)
            rows.append(row)
    return len(Forecast.objects.bulk_create(rows, ignore_conflicts=True))


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
    bars = market.recent_bars(models, count=_bars_needed(models.values()))
    factors = _factors({symbol: serving[symbol] for symbol in models}, models)
    further = _factors_of_horizons({symbol: serving[symbol] for symbol in models}, models)
    rows = []
    for symbol in sorted(models, key=lambda symbol: symbol.pk):  # sorted, so that two callers cannot deadlock
        try:
            for_each, closes = {1: factors[symbol], **further[symbol]}, bars[symbol.pk]["close"]
            for computed in models[symbol].forecasts(bars[symbol.pk], exchange=symbol.calendar, factors=for_each):
                row = _forecast(symbol, serving[symbol], computed, factor=for_each[computed.horizon], closes=closes)
                row.restatement_id = restatements.get(symbol.pk)
                rows.append(row)
        except TooFewBarsError as error:
            errors[symbol] = f"No forecast: {error}"
    direction.use_base_rates(rows)
    return rows, errors


def _factors(
    serving: Mapping[Symbol, ModelVersion], models: Mapping[Symbol, Forecaster], *, basis: Basis = Basis.CLOSE
) -> dict[Symbol, float]:
    """The spread factor of each symbol's next forecast of a basis, from the scores of its version's earlier ones. One query."""
    scored: dict[tuple[int, int], list[tuple[float, bool]]] = {}
    query = """
        SELECT wanted.symbol, wanted.version, recent.spread_factor, recent.inside_interval
        FROM unnest(%s::bigint[], %s::bigint[]) AS wanted (symbol, version)
        CROSS JOIN LATERAL (
            SELECT forecast.as_of, forecast.spread_factor, score.inside_interval
            FROM forecasting_forecast AS forecast
            JOIN forecasting_score AS score ON score.forecast_id = forecast.id AND score.latest
            WHERE forecast.symbol_id = wanted.symbol AND forecast.version_id = wanted.version
                AND forecast.horizon = 1 AND forecast.basis = %s AND forecast.quarter IS NULL
            ORDER BY forecast.as_of DESC LIMIT %s
        ) AS recent
        ORDER BY recent.as_of
    """
    with connection.cursor() as cursor:
        cursor.execute(query, [[symbol.pk for symbol in serving], [version.pk for version in serving.values()], basis, RECENT])
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


def _forecast(
    symbol: Symbol, version: ModelVersion, computed: QuantileForecast, *, factor: float, closes: "pd.Series[float]"
) -> Forecast:
    """The ledger's row of a computed forecast. `closes`: up to its `as_of`."""
    return Forecast(
        symbol=symbol,
        version=version,
        as_of=computed.as_of,
        target_date=session_after(symbol.calendar, after=computed.as_of, count=computed.horizon),
        horizon=computed.horizon,
        last_close=computed.last_close,
        price=computed.price,
        quantiles=computed.quantiles,
        reference=_reference(closes, list(computed.quantiles), computed.horizon),
        interval_level=computed.interval_level,
        interval_low=computed.interval_low,
        interval_high=computed.interval_high,
        spread_factor=factor,
        probability_up=computed.probability_up,
        risk=direction.risk(computed.quantiles, last_close=computed.last_close) if computed.horizon == 1 else None,
        simulated=is_simulated(settings.PRICE_SOURCE),
    )


def _bars_needed(models: Iterable[Forecaster]) -> int:
    """Bars for forecasts of these models and for their references."""
    return max([REFERENCE_SESSIONS + HORIZONS[-1], *(model.bars_used for model in models)])


def _reference(closes: "pd.Series[float]", levels: Sequence[str], horizon: int) -> dict[str, float]:
    """The reference forecast from these closes, by level in prices."""
    prices = reference_quantiles(closes.to_numpy(np.float64), np.array(levels, dtype=float), sessions=horizon)
    return dict(zip(levels, prices.tolist(), strict=True))
