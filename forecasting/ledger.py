"""The ledger: issues each forecast once, keeps it for ever, and scores it after its session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from forecasting import market
from forecasting.models import Forecast, ModelVersion, Restatement, Symbol
from forecasting.models.versions import SERVING
from forecasting.pipeline.model.adaptation import RECENT, next_factor
from forecasting.pipeline.model.windows import TooFewBarsError
from forecasting.pipeline.serving.forecaster import Forecaster, QuantileForecast
from forecasting.prices.calendars import next_session
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
    known = Forecast.objects.of(serving).of_next_close().filter(version__in=list(serving.values())).from_newest_bar()
    return {each.symbol: each for each in known.select_related("symbol", "version") if serving[each.symbol] == each.version}


def issue(
    models: Mapping[Symbol, Forecaster], serving: Mapping[Symbol, ModelVersion]
) -> tuple[dict[Symbol, Forecast], dict[Symbol, str]]:
    """Computes and stores each symbol's forecast from its newest bar. Returns the forecasts and the errors, both by symbol.

    Only one forecast exists per version, symbol and session: of two concurrent callers, both get the first one's row.
    """
    score_due(models)  # the new scores decide the width of the new intervals
    rows, errors = _compute(models, serving)
    Forecast.objects.bulk_create(rows, ignore_conflicts=True)
    return _stored(rows), errors


def _stored(rows: Sequence[Forecast]) -> dict[Symbol, Forecast]:
    """The stored rows of these forecasts, ours or a concurrent caller's. A bar that arrived meanwhile does not exclude them."""
    made = {(row.symbol_id, row.version_id, row.as_of) for row in rows}
    stored = Forecast.objects.of(row.symbol for row in rows).of_next_close().filter(as_of__in={row.as_of for row in rows})
    mine = [row for row in stored.select_related("symbol", "version") if (row.symbol_id, row.version_id, row.as_of) in made]
    return {forecast.symbol: forecast for forecast in mine}


def _compute(
    models: Mapping[Symbol, Forecaster], serving: Mapping[Symbol, ModelVersion]
) -> tuple[list[Forecast], dict[Symbol, str]]:
    """New, unsaved forecasts sorted by symbol key, and an error for each symbol without one."""
    errors = {}
    # Look up restatements before reading the bars. One that commits in between has a date up to `as_of`, so scoring ignores it.
    # In the opposite order, it would count as known although the bars that were read are not rescaled.
    restatements = Restatement.objects.last_by_symbol(models)
    bars = market.recent_bars(models, count=max((model.bars_used for model in models.values()), default=0))
    factors = _factors({symbol: serving[symbol] for symbol in models}, models)
    rows = []
    for symbol in sorted(models, key=lambda symbol: symbol.pk):  # sorted, so that two callers cannot deadlock
        try:
            computed = models[symbol].forecast(bars[symbol.pk], exchange=symbol.calendar, factor=factors[symbol])
            row = _forecast(symbol, serving[symbol], computed, factor=factors[symbol])
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


def _forecast(symbol: Symbol, version: ModelVersion, computed: QuantileForecast, *, factor: float) -> Forecast:
    """The ledger's row of a computed forecast."""
    return Forecast(
        symbol=symbol,
        version=version,
        as_of=computed.as_of,
        target_date=next_session(symbol.calendar, after=computed.as_of),
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
