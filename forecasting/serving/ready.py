"""Answers for which nothing has to be asked, started or computed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from forecasting import live, market
from forecasting.models import Forecast, Symbol, Training
from forecasting.models.conversion import from_close, in_prices_of_today
from forecasting.models.forecasts import Basis, quarter_of
from forecasting.models.standing import STANDING, Identity, kept
from forecasting.training import requests as training_requests


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


def answers_without_work(found: Iterable[Symbol], *, now: datetime) -> dict[str, Prediction]:
    """By ticker, the answers that need no further work. Most requests end here."""
    return _answers([each for each in _sessions(found, now=now) if not _needs_work(*each, now=now)], now=now)


def answer_that_stands(ticker: str, *, now: datetime) -> Prediction | None:
    """What the ledger and the last quote say of a symbol's next close; None without a forecast from its newest bar, or if an
    operator took it out of service. Starts nothing, asks nobody."""
    return answers_that_stand([ticker], now=now).get(ticker)


def answers_that_stand(tickers: Sequence[str], *, now: datetime) -> dict[str, Prediction]:
    """By ticker, the answers that the ledger and the last quotes give, of symbols with a forecast from their newest bar."""
    return _answers(list(_sessions(STANDING.rows(tickers), now=now)), now=now)


def _needs_work(symbol: Symbol, session: live.Session, *, now: datetime) -> bool:
    """Whether bars, a quote, a training or a forecast of this quarter of an hour is missing, as far as it can be had."""
    if market.is_stale(symbol, symbol.as_of, now=now):
        wanted = market.may_ask(symbol, now=now)
    elif live.is_under_way(symbol, session.hours):
        wanted = market.is_old(symbol, symbol.last_quote, now=now) or (session.is_priced and not _kept_live_id(symbol, now=now))
    else:
        wanted = False
    return wanted or not (symbol.is_trained or training_requests.is_settled(symbol.newest_training, now=now))


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
    close, stale = _of_today(forecasts[symbol.close_id], symbol), market.is_stale(symbol, symbol.as_of, now=now)
    best, recorded = _of_today(forecasts[symbol.lead_id], symbol) if symbol.lead_id else close, True
    if (key := _kept_live_id(symbol, now=now)) and session.is_priced and not stale:
        best, recorded = live.newest(forecasts[key], close, session, now=now)
    return Prediction(symbol, best, None if best is close else from_close(close, best.last_close), session, recorded, stale)


def _of_today(forecast: Forecast, symbol: Symbol) -> Forecast:
    return in_prices_of_today(forecast, close=symbol.bar_close, rescaled_id=symbol.rescaled_id)
