"""Answers a request: refreshes prices, chooses the version that serves, and falls back if its files are damaged."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django_q.tasks import async_task

from forecasting import ledger, live, market, registry
from forecasting.leads import Known
from forecasting.market import Admit, NoSymbol, admit_all
from forecasting.models import Forecast, ModelVersion, Symbol, Training
from forecasting.models.forecasts import Basis, quarter_of
from forecasting.models.prepared import Find
from forecasting.models.standing import STANDING, Identity, kept
from forecasting.models.symbols import TAKEN_OUT, UpstreamState
from forecasting.models.versions import STATUSES
from forecasting.pipeline.serving.artifacts import ArtifactError
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.training import requests as training_requests
from forecasting.training.requests import ModelStatus

DAMAGED = "The model's files cannot be used: {problem}"
NOT_STARTED = "Training not started: {reason}."
UNREQUESTED = "a GET starts none; ask by POST"  # why there is no training


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one symbol: a forecast, or the reason for its absence (an active training, or an error).

    `symbol` is not stored if it is only a name. Without forecast, training and error, the price source has not said yet whether it
    knows the name.
    """

    symbol: Symbol
    forecast: Forecast | None = None
    close: Forecast | None = None  # what was forecast from the symbol's own bars, if `forecast` knows more
    session: live.Session | None = None  # None without a forecast
    recorded: bool = True  # whether the forecast is in the ledger
    stale: bool = False
    training: Training | None = None
    started: bool = False  # whether this request started the training
    error: str = ""
    refused: bool = False  # whether the error comes from the caller's budget

    @property
    def decimals(self) -> int:
        """Decimal places of the prices of its forecast."""
        return self.forecast.decimals if self.forecast else 2


@dataclass(frozen=True, slots=True)
class Damaged:
    """A version whose files cannot be used, and why."""

    version: ModelVersion
    problem: ArtifactError


class NotTrainableError(Exception):
    """No training of this name can be requested; the text says why. `refused`: because of the caller's budget."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class NoAnswerYetError(Exception):
    """The price source has not said yet whether it knows the name."""


def predict(
    tickers: Sequence[str],
    *,
    now: datetime,
    budget_s: float,
    admit: Admit = admit_all,
    by: str = "",
    find: Find[Symbol] = STANDING.rows,
) -> list[Prediction]:
    """Forecasts the next session for each symbol, by its own version or else by the base. Symbols without a version are trained.

    Stale bars are refreshed and new names looked up first, for at most `budget_s` seconds; late answers are fetched in the
    background. `admit` says which names never seen before are refused, and why; `by` who asks. `find` is called once, first. The
    number of queries does not depend on the number of symbols.
    """
    answers = _up_to_date(find(tickers), now=now)
    if others := [ticker for ticker in tickers if ticker not in answers]:
        answers |= _brought_up_to_date(others, now=now, budget_s=budget_s, admit=admit, by=by)
    return [answers[ticker] for ticker in tickers]


def current(tickers: Sequence[str], *, now: datetime, budget_s: float, find: Find[Symbol] = STANDING.rows) -> list[Prediction]:
    """What `predict` answers, except that no symbol is created, no training requested and no damaged version replaced.

    Stale bars of known symbols are refreshed as for `predict`, and a forecast that is missing in the ledger is issued.
    """
    answers = _up_to_date(find(tickers), now=now)
    if others := [ticker for ticker in tickers if ticker not in answers]:
        known = Symbol.objects.all().by_ticker(others)
        in_service = [symbol for symbol in known.values() if symbol.is_in_service]
        _refresh(in_service, now=now, budget_s=budget_s)
        reasons = {ticker: TAKEN_OUT if ticker in known else UNREQUESTED for ticker in others}
        answers |= {each: Prediction(Symbol(ticker=each), error=NOT_STARTED.format(reason=why)) for each, why in reasons.items()}
        answers |= _as_they_stand(in_service, now=now)
    return [answers[ticker] for ticker in tickers]


def answer_that_stands(ticker: str, *, now: datetime) -> Prediction | None:
    """What the ledger and the last quote say of a symbol's next close; None without a forecast from its newest bar, or if an
    operator took it out of service. Starts nothing, asks nobody."""
    return _standing([ticker], now=now).get(ticker)


def standing(
    tickers: Sequence[str],
    *,
    now: datetime,
    budget_s: float,
    admit: Admit = admit_all,
    by: str = "",
    find: Find[Symbol] = STATUSES.rows,
) -> list[ModelStatus]:
    """The model status of each symbol; see `ensure_trained`. New names, and symbols that a local source did not have, are looked
    up first, for at most `budget_s` seconds. `admit`, `by`, `find`: see `predict`."""
    settled = _settled(find(tickers), now=now)
    if others := [ticker for ticker in tickers if ticker not in settled]:
        known = Symbol.objects.all().by_ticker(others)
        gone = [each for each in known.values() if each.upstream_state == UpstreamState.UNKNOWN and not each.unknown_until]
        statuses = _statuses(others, known, refresh=gone, now=now, budget_s=budget_s, admit=admit, by=by)
        settled |= {status.symbol.ticker: status for status in statuses}
    return [settled[ticker] for ticker in tickers]


def trainable(ticker: str, *, now: datetime, budget_s: float, admit: Admit = admit_all) -> Symbol:
    """The symbol of this ticker for a training; a new name is looked up first. Raises NotTrainableError or NoAnswerYetError."""
    known = Symbol.objects.all().by_ticker([ticker])
    missing = market.look_up([] if known else [ticker], now=now, budget_s=budget_s, admit=admit).get(ticker, NoSymbol())
    symbol = Symbol.objects.named([ticker]).first()
    if symbol and symbol.is_in_service:
        if not symbol.followed:
            Symbol.objects.named([ticker]).follow()
        return symbol
    if reason := TAKEN_OUT if symbol else missing.reason:
        raise NotTrainableError(reason, refused=missing.refused)
    raise NoAnswerYetError(market.NO_ANSWER)


def serve(serving: Mapping[Symbol, ModelVersion]) -> tuple[dict[Symbol, Forecast], dict[Symbol, str]]:
    """Each symbol's forecast by its version from its newest bar, new or existing, and the errors, both by symbol.

    If a version's files are damaged, the previous good version or the base forecasts instead.
    """
    forecasts, errors, unusable = _issued(serving)
    instead, unserved = _replaced(unusable)
    others, more_errors = serve(instead) if instead else ({}, {})
    return forecasts | others, errors | unserved | more_errors


def serve_with_leads(symbols: Sequence[Symbol], known: Mapping[str, Known]) -> int:
    """Issues forecasts of these symbols that know leads, beside those that do not; returns the number of the former.

    `known`: by exchange.
    """
    own = {version.symbol_id: version for version in ModelVersion.objects.active().of(symbols)}
    serving = serving_versions({symbol: own.get(symbol.pk) for symbol in symbols})
    forecasts, _ = serve(serving)
    serving = {symbol: forecast.version for symbol, forecast in forecasts.items()}  # without those that have just been replaced
    models, _ = _load(serving)
    return ledger.issue_with_leads(models, serving, known)


def _issued(
    serving: Mapping[Symbol, ModelVersion],
) -> tuple[dict[Symbol, Forecast], dict[Symbol, str], dict[Symbol, Damaged]]:
    """Each symbol's forecast by its version, new or existing; the errors; the versions with unusable files."""
    forecasts = ledger.issued(serving)
    if not (missing := {symbol: version for symbol, version in serving.items() if symbol not in forecasts}):
        return forecasts, {}, {}
    models, unusable = _load(missing)
    ledger.score_due(models)  # the new scores decide the width of the new intervals
    new, errors = ledger.issue(models, missing)
    return forecasts | new, errors, unusable


def serving_versions(own: Mapping[Symbol, ModelVersion | None]) -> dict[Symbol, ModelVersion]:
    """The version that serves each symbol: its own, else the base. Symbols without either are missing."""
    base = registry.base_version() if not all(own.values()) else None
    return {symbol: version for symbol, mine in own.items() if (version := mine or base)}


def _up_to_date(found: Iterable[Symbol], *, now: datetime) -> dict[str, Prediction]:
    """By ticker, the answers that need no further work. Most requests end here."""
    return _answers([each for each in _sessions(found, now=now) if not _needs_work(*each, now=now)], now=now)


def _needs_work(symbol: Symbol, session: live.Session, *, now: datetime) -> bool:
    """Whether bars, a quote, a training or a forecast of this quarter of an hour is missing, as far as it can be had."""
    if market.is_stale(symbol, symbol.as_of, now=now):
        wanted = market.may_ask(symbol, now=now)
    elif live.is_under_way(symbol, session.hours):
        wanted = market.is_old(symbol, symbol.last_quote, now=now) or (session.is_priced and not _kept_live_id(symbol, now=now))
    else:
        wanted = False
    return wanted or not (symbol.is_trained or training_requests.is_settled(symbol.newest_training, now=now))


def _standing(tickers: Sequence[str], *, now: datetime) -> dict[str, Prediction]:
    """By ticker, the answers that the ledger and the last quotes give, of symbols with a forecast from their newest bar."""
    return _answers(list(_sessions(STANDING.rows(tickers), now=now)), now=now)


def _sessions(found: Iterable[Symbol], *, now: datetime) -> Iterator[tuple[Symbol, live.Session]]:
    """Symbols with a forecast from their newest bar, as STANDING finds them, and their sessions."""
    return ((symbol, live.session_of(symbol, symbol.last_quote, now=now)) for symbol in found)


def _answers(standing: Sequence[tuple[Symbol, live.Session]], *, now: datetime) -> dict[str, Prediction]:
    """By ticker, what stands. A query if a row is not in memory."""
    forecasts = kept(
        Identity.of(symbol, basis, key)
        for symbol, _ in standing
        for basis, key in (
            (Basis.CLOSE, symbol.close_id),
            (Basis.LEAD, symbol.lead_id),
            (Basis.LIVE, _kept_live_id(symbol, now=now)),
        )
        if key
    )
    return {symbol.ticker: _answer(symbol, session, forecasts, now=now) for symbol, session in standing}


def _kept_live_id(symbol: Symbol, *, now: datetime) -> int | None:
    """The key of the forecast that is kept of this quarter of an hour, or of the next one if that has begun meanwhile."""
    return symbol.live_id if symbol.live_quarter and symbol.live_quarter >= quarter_of(now) else None


def _answer(symbol: Symbol, session: live.Session, forecasts: Mapping[int, Forecast], *, now: datetime) -> Prediction:
    """The best forecast that stands."""
    close, stale = forecasts[symbol.close_id], market.is_stale(symbol, symbol.as_of, now=now)
    best, recorded = forecasts[symbol.lead_id] if symbol.lead_id else close, True
    if (key := _kept_live_id(symbol, now=now)) and session.is_priced and not stale:
        best, recorded = live.newest(forecasts[key], close, session, now=now)
    return Prediction(symbol, best, None if best is close else close.in_units_of(best), session, recorded, stale)


def _settled(found: Iterable[Symbol], *, now: datetime) -> dict[str, ModelStatus]:
    """By ticker, the statuses for which nothing has to be asked, looked up or started."""
    return {
        symbol.ticker: ModelStatus(symbol, symbol.own_version, symbol.active_training)
        for symbol in found
        if (symbol.own_version or symbol.active_training)
        and symbol.is_in_service
        and symbol.followed
        and not symbol.was_unknown(now=now)
    }


def _brought_up_to_date(tickers: Sequence[str], *, now: datetime, budget_s: float, admit: Admit, by: str) -> dict[str, Prediction]:
    """By ticker, the answers after refreshing bars, requesting missing trainings and issuing missing forecasts."""
    known = Symbol.objects.all().by_ticker(tickers)
    statuses = _statuses(tickers, known, refresh=list(known.values()), now=now, budget_s=budget_s, admit=admit, by=by)
    in_service = {status.symbol: status.version for status in statuses if status.symbol.is_in_service}
    serving = serving_versions(in_service)
    forecasts, errors = serve(serving)
    live.issue(serving, now=now)
    return _told(statuses, forecasts, errors, now=now)


def _statuses(
    tickers: Sequence[str],
    known: Mapping[str, Symbol],
    *,
    refresh: Sequence[Symbol],
    now: datetime,
    budget_s: float,
    admit: Admit,
    by: str,
) -> list[ModelStatus]:
    """The model status of each symbol, after refreshing bars of some and looking up names that are not known.

    Bars come first, because a symbol is trained only if the price source knows it.
    """
    ends = time.monotonic() + budget_s
    _refresh([symbol for symbol in refresh if symbol.is_in_service], now=now, budget_s=budget_s)
    names = [ticker for ticker in tickers if ticker not in known]
    missing = market.look_up(names, now=now, budget_s=ends - time.monotonic(), admit=admit)
    if any(not symbol.followed for symbol in known.values()):
        Symbol.objects.named(known).follow()
    symbols = Symbol.objects.all().by_ticker(tickers)  # with new symbols, and with what was stored about the others
    in_service = [symbols[ticker] for ticker in tickers if ticker in symbols and symbols[ticker].is_in_service]
    statuses = {status.symbol.ticker: status for status in training_requests.ensure_trained(in_service, now=now, by=by)}
    return [
        statuses.get(ticker) or _without_training(ticker, symbols.get(ticker), missing.get(ticker, NoSymbol()))
        for ticker in tickers
    ]


def _without_training(ticker: str, symbol: Symbol | None, missing: NoSymbol) -> ModelStatus:
    """The status of a symbol that was taken out of service, or of a name that is no symbol."""
    if symbol:
        return ModelStatus(symbol, refusal=TAKEN_OUT)
    return ModelStatus(Symbol(ticker=ticker), refusal=missing.reason, refused=missing.refused)


def _refresh(symbols: Sequence[Symbol], *, now: datetime, budget_s: float) -> None:
    """Refreshes bars and quotes in at most `budget_s` seconds; late bars are fetched in the background."""
    if late := market.refresh(symbols, now=now, budget_s=budget_s, quotes_of=live.under_way(symbols, now=now)):
        async_task("forecasting.background.tasks.sync_symbols", [symbol.pk for symbol in late])


def _as_they_stand(symbols: Sequence[Symbol], *, now: datetime) -> dict[str, Prediction]:
    """By ticker, the answers of the versions and trainings that exist. Constant number of queries."""
    trainings = {each.symbol_id: each for each in Training.objects.active().of(symbols).select_related("symbol")}
    own = {version.symbol_id: version for version in ModelVersion.objects.active().of(symbols).select_related("symbol")}
    statuses = [ModelStatus(each, own.get(each.pk), trainings.get(each.pk), refusal=UNREQUESTED) for each in symbols]
    serving = serving_versions({status.symbol: status.version for status in statuses})
    forecasts, errors, unusable = _issued(serving)
    live.issue(serving, now=now)
    errors |= {symbol: DAMAGED.format(problem=damaged.problem) for symbol, damaged in unusable.items()}
    return _told(statuses, forecasts, errors, now=now)


def _load(serving: Mapping[Symbol, ModelVersion]) -> tuple[dict[Symbol, Forecaster], dict[Symbol, Damaged]]:
    """The loaded models, and the versions with unusable files."""
    models: dict[Symbol, Forecaster] = {}
    unusable: dict[Symbol, Damaged] = {}
    for symbol, version in serving.items():
        try:
            models[symbol] = registry.load_forecaster(version)
        except ArtifactError as error:
            unusable[symbol] = Damaged(version, error)
    return models, unusable


def _replaced(unusable: Mapping[Symbol, Damaged]) -> tuple[dict[Symbol, ModelVersion], dict[Symbol, str]]:
    """The replacement version of each symbol, and the errors of symbols without one. Each version is replaced once."""
    first_of = {damaged.version: damaged for damaged in unusable.values()}
    instead = {version: registry.replacement(version, problem=damaged.problem) for version, damaged in first_of.items()}
    replaced = {symbol: other for symbol, damaged in unusable.items() if (other := instead[damaged.version])}
    errors = {symbol: DAMAGED.format(problem=damaged.problem) for symbol, damaged in unusable.items() if symbol not in replaced}
    return replaced, errors


def _told(
    statuses: Sequence[ModelStatus], forecasts: Mapping[Symbol, Forecast], errors: Mapping[Symbol, str], *, now: datetime
) -> dict[str, Prediction]:
    """By ticker, the answers once everything has been brought up to date."""
    answers = _standing([status.symbol.ticker for status in statuses if status.symbol.is_in_service], now=now)
    told = {}
    for status in statuses:
        symbol = status.symbol
        if answer := answers.get(symbol.ticker):
            told[symbol.ticker] = answer
        elif symbol.is_in_service and (forecast := forecasts.get(symbol)):  # a newer bar or version has just come
            session, stale = live.session_of(symbol, None, now=now), market.is_stale(symbol, forecast.as_of, now=now)
            told[symbol.ticker] = Prediction(symbol, forecast, session=session, stale=stale)
        else:
            told[symbol.ticker] = _without_forecast(status, errors)
    return told


def _without_forecast(status: ModelStatus, errors: Mapping[Symbol, str]) -> Prediction:
    """Why there is no forecast of a symbol."""
    symbol = status.symbol
    if status.version:
        return Prediction(symbol, error=errors[symbol])
    if status.training:
        return Prediction(symbol, training=status.training, started=status.started)
    error = NOT_STARTED.format(reason=status.refusal) if status.refusal else ""
    return Prediction(symbol, error=error, refused=status.refused)
