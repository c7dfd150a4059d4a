"""The ledger: forecasts are issued once, kept for ever, scored when their session has happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django_q.tasks import async_task

from forecasting import market, registry, training_requests
from forecasting.models import Forecast, ModelVersion, Restatement, Score, Symbol, Training
from forecasting.models.symbols import UpstreamState
from forecasting.pipeline.adaptation import RECENT, next_factor
from forecasting.pipeline.artifacts import ArtifactError
from forecasting.pipeline.calendars import next_session
from forecasting.pipeline.forecaster import Forecaster, QuantileForecast
from forecasting.pipeline.windows import TooFewBarsError
from forecasting.scoring import score_due
from forecasting.training_requests import ModelStatus

__all__ = ["Prediction", "Scorecard", "issue", "predict", "score_due", "scorecards", "serving_versions"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one symbol: a forecast, or why there is none (a training under way, or an error)."""

    symbol: Symbol
    forecast: Forecast | None = None
    stale: bool = False
    training: Training | None = None
    started: bool = False  # the training, by this very request
    error: str = ""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How good a symbol's model is: its version's test, and the live record of all forecasts served for the symbol (prices)."""

    version: ModelVersion
    forecasts: int = 0
    mae: float = 0.0
    naive_mae: float = 0.0
    coverage: float = 0.0


@dataclass(frozen=True, slots=True)
class Damaged:
    """A version whose files cannot be used, and why."""

    version: ModelVersion
    problem: str


def predict(tickers: Sequence[str], *, now: datetime, budget_s: float) -> list[Prediction]:
    """A forecast of the next session for each symbol: by its own version or, until it has one, by the base; a training for each
    that has none.

    Bars that are behind are brought up to date first, for at most `budget_s` seconds; what is late goes on in the background.
    The number of queries does not depend on the number of symbols.
    """
    answers = _up_to_date(tickers, now=now)
    if others := [ticker for ticker in tickers if ticker not in answers]:
        answers |= _brought_up_to_date(others, now=now, budget_s=budget_s)
    return [answers[ticker] for ticker in tickers]


def standing(tickers: Sequence[str], *, now: datetime, budget_s: float) -> list[ModelStatus]:
    """Where each symbol stands; see `ensure_trained`. A symbol of which a source on this machine had no prices is looked for
    again first, for at most `budget_s` seconds."""
    missing = Symbol.objects.named(tickers).filter(upstream_state=UpstreamState.UNKNOWN, unknown_until=None)
    market.refresh(list(missing), now=now, budget_s=budget_s)
    return training_requests.ensure_trained(tickers, now=now)


def scorecards(tickers: Sequence[str]) -> dict[str, Scorecard]:
    """The scorecard of each symbol that has a model, by ticker. Two queries."""
    versions = list(ModelVersion.objects.active().filter(symbol__ticker__in=tickers).select_related("symbol"))
    symbols = [version.symbol for version in versions if version.symbol]
    records = {record.pop("symbol_id"): record for record in Score.objects.of(symbols).track_record()}
    return {
        version.symbol.ticker: Scorecard(version, **records.get(version.symbol_id, {})) for version in versions if version.symbol
    }


def issue(serving: Mapping[Symbol, ModelVersion]) -> tuple[dict[Symbol, Forecast], dict[Symbol, str]]:
    """Each symbol's forecast by its version from its newest bar, made now or earlier, and the errors, both by symbol.

    One forecast per version, symbol and session, ever: of two callers at the same moment both get the row of the first. Where a
    version's files turn out to be damaged, the previous good one forecasts instead, or the base.
    """
    forecasts = _newest(serving)
    if not (missing := {symbol: version for symbol, version in serving.items() if symbol not in forecasts}):
        return forecasts, {}
    score_due(missing)  # their outcomes decide how wide the new ones are
    models, unusable = _load(missing)
    rows, errors = _compute(models, missing)
    Forecast.objects.bulk_create(rows, ignore_conflicts=True)
    forecasts |= _stored(rows)
    instead, unserved = _replaced(unusable)
    if instead:
        by_others, more_errors = issue(instead)
        return forecasts | by_others, errors | unserved | more_errors
    return forecasts, errors | unserved


def serving_versions(own: Mapping[Symbol, ModelVersion | None]) -> dict[Symbol, ModelVersion]:
    """What serves each symbol: its own version, else the base, where there is one."""
    base = registry.base_version() if not all(own.values()) else None
    return {symbol: version for symbol, mine in own.items() if (version := mine or base)}


def _up_to_date(tickers: Sequence[str], *, now: datetime) -> dict[str, Prediction]:
    """By ticker, what nothing has to be done for: most requests, so they take this one query."""
    current = Forecast.objects.current().filter(symbol__ticker__in=tickers)
    answers = {}
    for forecast in current.order_by().with_what_is_shown():
        stale = market.is_stale(forecast.symbol, forecast.as_of, now=now)
        if not (stale and market.may_ask(forecast.symbol, now=now)):
            answers[forecast.symbol.ticker] = Prediction(forecast.symbol, forecast=forecast, stale=stale)
    return answers


def _brought_up_to_date(tickers: Sequence[str], *, now: datetime, budget_s: float) -> dict[str, Prediction]:
    """By ticker: bars refreshed, trainings requested and forecasts issued where they are missing.

    Bars come first: what the price source says of a new symbol decides whether it is trained.
    """
    if late := market.refresh(Symbol.objects.all().ensure(tickers), now=now, budget_s=budget_s):
        async_task("forecasting.tasks.sync_symbols", [symbol.pk for symbol in late])
    statuses = training_requests.ensure_trained(tickers, now=now)
    serving = serving_versions({status.symbol: status.version for status in statuses})
    forecasts, errors = issue(serving)
    return {status.symbol.ticker: _prediction(status, forecasts, errors, now=now) for status in statuses}


def _newest(serving: Mapping[Symbol, ModelVersion]) -> dict[Symbol, Forecast]:
    """The forecasts that already start from the newest bar."""
    known = Forecast.objects.of(serving).filter(version__in=list(serving.values())).from_newest_bar()
    return {each.symbol: each for each in known.select_related("symbol", "version") if serving[each.symbol] == each.version}


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


def _load(serving: Mapping[Symbol, ModelVersion]) -> tuple[dict[Symbol, Forecaster], dict[Symbol, Damaged]]:
    """The models, and the versions whose files cannot be used."""
    models: dict[Symbol, Forecaster] = {}
    unusable: dict[Symbol, Damaged] = {}
    for symbol, version in serving.items():
        try:
            models[symbol] = registry.load_forecaster(version)
        except ArtifactError as error:
            unusable[symbol] = Damaged(version, str(error))
    return models, unusable


def _replaced(unusable: Mapping[Symbol, Damaged]) -> tuple[dict[Symbol, ModelVersion], dict[Symbol, str]]:
    """What serves each symbol instead, and the errors of those for which nothing is left; each version is replaced once."""
    first_of = {damaged.version: damaged for damaged in unusable.values()}
    instead = {version: registry.replace_damaged(version, problem=damaged.problem) for version, damaged in first_of.items()}
    replaced = {symbol: other for symbol, damaged in unusable.items() if (other := instead[damaged.version])}
    errors = {
        symbol: f"The model's files cannot be used: {damaged.problem}"
        for symbol, damaged in unusable.items()
        if symbol not in replaced
    }
    return replaced, errors


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


def _prediction(
    status: ModelStatus, forecasts: Mapping[Symbol, Forecast], errors: Mapping[Symbol, str], *, now: datetime
) -> Prediction:
    """What to answer for one symbol."""
    symbol = status.symbol
    if forecast := forecasts.get(symbol):
        return Prediction(symbol, forecast=forecast, stale=market.is_stale(symbol, forecast.as_of, now=now))
    if status.version:
        return Prediction(symbol, error=errors[symbol])
    if status.training:
        return Prediction(symbol, training=status.training, started=status.started)
    return Prediction(symbol, error=f"Training not started: {status.refusal}.")
