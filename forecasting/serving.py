"""Answers a request: refreshes prices, chooses the version that serves, and falls back if its files are damaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django_q.tasks import async_task

from forecasting import ledger, market, registry
from forecasting.models import Forecast, ModelVersion, Symbol, Training
from forecasting.models.symbols import UpstreamState
from forecasting.pipeline.serving.artifacts import ArtifactError
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.training import requests as training_requests
from forecasting.training.requests import ModelStatus

DAMAGED = "The model's files cannot be used: {problem}"
NOT_STARTED = "Training not started: {reason}."
UNREQUESTED = "a GET starts none; ask by POST"  # why there is no training


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one symbol: a forecast, or the reason for its absence (an active training, or an error)."""

    symbol: Symbol
    forecast: Forecast | None = None
    stale: bool = False
    training: Training | None = None
    started: bool = False  # whether this request started the training
    error: str = ""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A version whose files cannot be used, and why."""

    version: ModelVersion
    problem: str


def predict(tickers: Sequence[str], *, now: datetime, budget_s: float) -> list[Prediction]:
    """Forecasts the next session for each symbol, by its own version or else by the base. Symbols without a version are trained.

    Stale bars are refreshed first, for at most `budget_s` seconds; late answers are fetched in the background. The number of
    queries does not depend on the number of symbols.
    """
    answers = _up_to_date(tickers, now=now)
    if others := [ticker for ticker in tickers if ticker not in answers]:
        answers |= _brought_up_to_date(others, now=now, budget_s=budget_s)
    return [answers[ticker] for ticker in tickers]


def current(tickers: Sequence[str], *, now: datetime, budget_s: float) -> list[Prediction]:
    """What `predict` answers, except that no symbol is created, no training requested and no damaged version replaced.

    Stale bars of known symbols are refreshed as for `predict`, and a forecast that is missing in the ledger is issued.
    """
    answers = _up_to_date(tickers, now=now)
    if others := [ticker for ticker in tickers if ticker not in answers]:
        symbols = list(Symbol.objects.named(others))
        _refresh(symbols, now=now, budget_s=budget_s)
        answers |= _as_they_stand(symbols, now=now)
    return [
        answers.get(ticker) or Prediction(Symbol(ticker=ticker), error=NOT_STARTED.format(reason=UNREQUESTED)) for ticker in tickers
    ]


def standing(tickers: Sequence[str], *, now: datetime, budget_s: float) -> list[ModelStatus]:
    """The model status of each symbol; see `ensure_trained`. Symbols that a local source did not have are looked up again first,
    for at most `budget_s` seconds."""
    missing = Symbol.objects.named(tickers).filter(upstream_state=UpstreamState.UNKNOWN, unknown_until=None)
    market.refresh(list(missing), now=now, budget_s=budget_s)
    return training_requests.ensure_trained(tickers, now=now)


def serve(serving: Mapping[Symbol, ModelVersion]) -> tuple[dict[Symbol, Forecast], dict[Symbol, str]]:
    """Each symbol's forecast by its version from its newest bar, new or existing, and the errors, both by symbol.

    If a version's files are damaged, the previous good version or the base forecasts instead.
    """
    forecasts, errors, unusable = _issued(serving)
    instead, unserved = _replaced(unusable)
    others, more_errors = serve(instead) if instead else ({}, {})
    return forecasts | others, errors | unserved | more_errors


def _issued(
    serving: Mapping[Symbol, ModelVersion],
) -> tuple[dict[Symbol, Forecast], dict[Symbol, str], dict[Symbol, Damaged]]:
    """Each symbol's forecast by its version, new or existing; the errors; the versions with unusable files."""
    forecasts = ledger.issued(serving)
    if not (missing := {symbol: version for symbol, version in serving.items() if symbol not in forecasts}):
        return forecasts, {}, {}
    models, unusable = _load(missing)
    new, errors = ledger.issue(models, missing)
    return forecasts | new, errors, unusable


def serving_versions(own: Mapping[Symbol, ModelVersion | None]) -> dict[Symbol, ModelVersion]:
    """The version that serves each symbol: its own, else the base. Symbols without either are missing."""
    base = registry.base_version() if not all(own.values()) else None
    return {symbol: version for symbol, mine in own.items() if (version := mine or base)}


def _up_to_date(tickers: Sequence[str], *, now: datetime) -> dict[str, Prediction]:
    """By ticker, the answers that need no further work. Most requests end here, so this is a single query."""
    current = Forecast.objects.current().filter(symbol__ticker__in=tickers)
    answers = {}
    for forecast in current.order_by().with_what_is_shown():
        stale = market.is_stale(forecast.symbol, forecast.as_of, now=now)
        if not (stale and market.may_ask(forecast.symbol, now=now)):
            answers[forecast.symbol.ticker] = Prediction(forecast.symbol, forecast=forecast, stale=stale)
    return answers


def _brought_up_to_date(tickers: Sequence[str], *, now: datetime, budget_s: float) -> dict[str, Prediction]:
    """By ticker, the answers after refreshing bars, requesting missing trainings and issuing missing forecasts.

    Bars come first, because a new symbol is trained only if the price source knows it.
    """
    _refresh(Symbol.objects.all().ensure(tickers), now=now, budget_s=budget_s)
    statuses = training_requests.ensure_trained(tickers, now=now)
    serving = serving_versions({status.symbol: status.version for status in statuses})
    forecasts, errors = serve(serving)
    return {status.symbol.ticker: _prediction(status, forecasts, errors, now=now) for status in statuses}


def _refresh(symbols: Sequence[Symbol], *, now: datetime, budget_s: float) -> None:
    """Refreshes bars in at most `budget_s` seconds; late answers are fetched in the background."""
    if late := market.refresh(symbols, now=now, budget_s=budget_s):
        async_task("forecasting.background.tasks.sync_symbols", [symbol.pk for symbol in late])


def _as_they_stand(symbols: Sequence[Symbol], *, now: datetime) -> dict[str, Prediction]:
    """By ticker, the answers of the versions and trainings that exist. Constant number of queries."""
    trainings = {each.symbol_id: each for each in Training.objects.active().of(symbols).select_related("symbol")}
    own = {version.symbol_id: version for version in ModelVersion.objects.active().of(symbols).select_related("symbol")}
    statuses = [ModelStatus(each, own.get(each.pk), trainings.get(each.pk), refusal=UNREQUESTED) for each in symbols]
    forecasts, errors, unusable = _issued(serving_versions({status.symbol: status.version for status in statuses}))
    errors |= {symbol: DAMAGED.format(problem=damaged.problem) for symbol, damaged in unusable.items()}
    return {status.symbol.ticker: _prediction(status, forecasts, errors, now=now) for status in statuses}


def _load(serving: Mapping[Symbol, ModelVersion]) -> tuple[dict[Symbol, Forecaster], dict[Symbol, Damaged]]:
    """The loaded models, and the versions with unusable files."""
    models: dict[Symbol, Forecaster] = {}
    unusable: dict[Symbol, Damaged] = {}
    for symbol, version in serving.items():
        try:
            models[symbol] = registry.load_forecaster(version)
        except ArtifactError as error:
            unusable[symbol] = Damaged(version, str(error))
    return models, unusable


def _replaced(unusable: Mapping[Symbol, Damaged]) -> tuple[dict[Symbol, ModelVersion], dict[Symbol, str]]:
    """The replacement version of each symbol, and the errors of symbols without one. Each version is replaced once."""
    first_of = {damaged.version: damaged for damaged in unusable.values()}
    instead = {version: registry.replace_damaged(version, problem=damaged.problem) for version, damaged in first_of.items()}
    replaced = {symbol: other for symbol, damaged in unusable.items() if (other := instead[damaged.version])}
    errors = {symbol: DAMAGED.format(problem=damaged.problem) for symbol, damaged in unusable.items() if symbol not in replaced}
    return replaced, errors


def _prediction(
    status: ModelStatus, forecasts: Mapping[Symbol, Forecast], errors: Mapping[Symbol, str], *, now: datetime
) -> Prediction:
    """The answer for one symbol."""
    symbol = status.symbol
    if forecast := forecasts.get(symbol):
        return Prediction(symbol, forecast=forecast, stale=market.is_stale(symbol, forecast.as_of, now=now))
    if status.version:
        return Prediction(symbol, error=errors[symbol])
    if status.training:
        return Prediction(symbol, training=status.training, started=status.started)
    return Prediction(symbol, error=NOT_STARTED.format(reason=status.refusal))
