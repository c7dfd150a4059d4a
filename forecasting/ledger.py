"""The ledger: forecasts are issued once, kept for ever, scored once their session has taken place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from forecasting import market
from forecasting.models import Forecast, ModelVersion, Restatement, Score, Symbol
from forecasting.pipeline.model.adaptation import RECENT, next_factor
from forecasting.pipeline.model.windows import TooFewBarsError
from forecasting.pipeline.serving.forecaster import Forecaster, QuantileForecast
from forecasting.prices.calendars import next_session
from forecasting.scoring import score_due

__all__ = ["Scorecard", "issue", "issued", "score_due", "scorecards"]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How good a symbol's model is: its version's test, and the live record of all forecasts served for the symbol (prices)."""

    version: ModelVersion
    forecasts: int = 0
    mae: float = 0.0
    naive_mae: float = 0.0
    coverage: float = 0.0


def scorecards(tickers: Sequence[str]) -> dict[str, Scorecard]:
    """The scorecard of each symbol that has a model, by ticker. Two queries."""
    versions = list(ModelVersion.objects.active().filter(symbol__ticker__in=tickers).select_related("symbol"))
    symbols = [version.symbol for version in versions if version.symbol]
    records = {record.pop("symbol_id"): record for record in Score.objects.of(symbols).track_record()}
    return {
        version.symbol.ticker: Scorecard(version, **records.get(version.symbol_id, {})) for version in versions if version.symbol
    }


def issued(serving: Mapping[Symbol, ModelVersion]) -> dict[Symbol, Forecast]:
    """The forecasts by these versions that already start from the newest bar, by symbol."""
    known = Forecast.objects.of(serving).filter(version__in=list(serving.values())).from_newest_bar()
    return {each.symbol: each for each in known.select_related("symbol", "version") if serving[each.symbol] == each.version}


def issue(
    models: Mapping[Symbol, Forecaster], serving: Mapping[Symbol, ModelVersion]
) -> tuple[dict[Symbol, Forecast], dict[Symbol, str]]:
    """Each symbol's forecast by its version's model from its newest bar, and the errors, both by symbol.

    One forecast per version, symbol and session, ever: of two callers at the same moment both get the row of the first.
    """
    score_due(models)  # their outcomes decide how wide the new ones are
    rows, errors = _compute(models, serving)
    Forecast.objects.bulk_create(rows, ignore_conflicts=True)
    return _stored(rows), errors


def _stored(rows: Sequence[Forecast]) -> dict[Symbol, Forecast]:
    """The ledger's rows of these forecasts, ours or a faster caller's; a bar that came meanwhile makes them no less the answer."""
    made = {(row.symbol_id, row.version_id, row.as_of) for row in rows}
    stored = Forecast.objects.of(row.symbol for row in rows).filter(as_of__in={row.as_of for row in rows})
    mine = [row for row in stored.select_related("symbol", "version") if (row.symbol_id, row.version_id, row.as_of) in made]
    return {forecast.symbol: forecast for forecast in mine}


def _compute(
    models: Mapping[Symbol, Forecaster], serving: Mapping[Symbol, ModelVersion]
) -> tuple[list[Forecast], dict[Symbol, str]]:
    """New forecasts, unsaved, in the order of their symbols' keys, and why there is none for the others."""
    errors = {}
    # Looked up before the bars are read: one that commits in between is dated by a bar that was then read, so that it is not later
    # than `as_of`, and scoring leaves it out. After the bars, it would be taken for known although they are not rescaled by it.
    restatements = Restatement.objects.last_by_symbol(models)
    bars = market.recent_bars(models, count=max((model.bars_needed for model in models.values()), default=0))
    factors = _factors({symbol: serving[symbol] for symbol in models}, models)
    rows = []
    for symbol in sorted(models, key=lambda symbol: symbol.pk):  # in one order, else two callers could wait for each other
        try:
            computed = models[symbol].forecast(bars[symbol.pk], factor=factors[symbol])
            row = _forecast(symbol, serving[symbol], computed, factor=factors[symbol])
            row.restatement_id = restatements.get(symbol.pk)
            rows.append(row)
        except TooFewBarsError as error:
            errors[symbol] = f"No forecast: {error}"
    return rows, errors


def _factors(serving: Mapping[Symbol, ModelVersion], models: Mapping[Symbol, Forecaster]) -> dict[Symbol, float]:
    """By how much to spread each symbol's next forecast, from the outcomes of this version's earlier ones. One query."""
    scored: dict[tuple[int, int], list[tuple[float, bool]]] = {}
    query = """
        SELECT wanted.symbol, wanted.version, recent.spread_factor, recent.inside_interval
        FROM unnest(%s::bigint[], %s::bigint[]) AS wanted (symbol, version)
        CROSS JOIN LATERAL (
            SELECT forecast.as_of, forecast.spread_factor, score.inside_interval
            FROM forecasting_forecast AS forecast
            JOIN forecasting_score AS score ON score.forecast_id = forecast.id AND score.latest
            WHERE forecast.symbol_id = wanted.symbol AND forecast.version_id = wanted.version
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
    """From the factors and hits of the scored forecasts, oldest first."""
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
    )
