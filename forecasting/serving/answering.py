"""Answers requests: first brings bars, prices, names and trainings up to date, as far as each symbol needs it."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django_q.tasks import async_task

from forecasting import live, market
from forecasting.market import Admit, NoSymbol, admit_all
from forecasting.models import Forecast, ModelVersion, Symbol, Training
from forecasting.models.prepared import Find
from forecasting.models.standing import STANDING
from forecasting.models.symbols import TAKEN_OUT, UpstreamState
from forecasting.models.versions import STATUSES
from forecasting.serving.issuing import serve, serving_versions
from forecasting.serving.ready import Prediction, answers_that_stand, answers_without_work
from forecasting.training import requests as training_requests
from forecasting.training.requests import ModelStatus

NOT_STARTED = "Training not started: {reason}."
UNREQUESTED = "a GET starts none; ask by POST"  # why there is no training


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
    answers = answers_without_work(find(tickers), now=now)
    if others := [ticker for ticker in tickers if ticker not in answers]:
        answers |= _brought_up_to_date(others, now=now, budget_s=budget_s, admit=admit, by=by)
    return [answers[ticker] for ticker in tickers]


def current(tickers: Sequence[str], *, now: datetime, budget_s: float, find: Find[Symbol] = STANDING.rows) -> list[Prediction]:
    """What `predict` answers, except that no symbol is created, no training requested and no damaged version replaced.

    Stale bars of known symbols are refreshed as for `predict`, and a forecast that is missing in the ledger is issued.
    """
    answers = answers_without_work(find(tickers), now=now)
    if others := [ticker for ticker in tickers if ticker not in answers]:
        known = Symbol.objects.all().by_ticker(others)
        in_service = [symbol for symbol in known.values() if symbol.is_in_service]
        _refresh(in_service, now=now, budget_s=budget_s)
        reasons = {ticker: TAKEN_OUT if ticker in known else UNREQUESTED for ticker in others}
        answers |= {each: Prediction(Symbol(ticker=each), error=NOT_STARTED.format(reason=why)) for each, why in reasons.items()}
        answers |= _as_they_stand(in_service, now=now)
    return [answers[ticker] for ticker in tickers]


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
    forecasts, errors = serve(serving, replaces=False)
    live.issue(serving, now=now)
    return _told(statuses, forecasts, errors, now=now)


def _told(
    statuses: Sequence[ModelStatus], forecasts: Mapping[Symbol, Forecast], errors: Mapping[Symbol, str], *, now: datetime
) -> dict[str, Prediction]:
    """By ticker, the answers once everything has been brought up to date."""
    answers = answers_that_stand([status.symbol.ticker for status in statuses if status.symbol.is_in_service], now=now)
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
