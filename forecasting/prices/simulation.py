"""The sample price source: simulated daily bars, to try the service without market data.

Returns are a martingale difference, so no forecast from a symbol's own prices beats the last close. Volatility clusters, so it can
be forecast. There are three markets: New York, Tokyo, whose symbols open with what SPY has done in New York since their last close,
and coins, which trade at all times. (seed, symbol) determine every bar, and a session's bar does not depend on the range requested.
Quotes walk through the session under way (simulated_day.py) and end at its bar.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.prices.bars import COLUMNS
from forecasting.prices.calendars import currency_of, exchange_of, sessions
from forecasting.prices.quotes import Quote
from forecasting.prices.session_state import SessionState, elapsed, session_at
from forecasting.prices.simulated_day import NEWS_VOLUME, TAIL, Day
from forecasting.prices.sources import PriceHistory, UnknownSymbolError, checked_history

Array = npt.NDArray[np.float64]

FIRST_SESSION = date(2015, 1, 2)
SYMBOLS = "SAMPLE1 to SAMPLE99, SAMPLE1-USD to SAMPLE99-USD (coins), SAMPLE1.T to SAMPLE99.T (Tokyo), and SPY, which these follow"

SESSIONS_PER_YEAR = 252
START_PRICE = (40.0, 100.0)  # USD
ANNUAL_VOLATILITY = (0.12, 0.22)  # range of the median volatility of log returns
PERSISTENCE = 0.98  # per session, of the log volatility
VOLATILITY_OF_VOLATILITY = 0.07  # per session, of the log volatility
LEVERAGE = -0.4  # correlation of a session's return with the next session's volatility
OVERNIGHT_SHARE = 0.2  # of a session's variance
LEAD = "SPY"
LEAD_CORRELATION = 0.3  # of a led session's return with what the lead did before; all of it is in the opening gap
USUAL_VOLUME = 2e6  # shares per session
VOLUME_PERSISTENCE = 0.6  # per session, of the part of log volume that does not depend on prices


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Bars and quotes of the symbols in `SYMBOLS`. `seed` must not be negative; `clock` gives the time of the quotes."""

    seed: int
    clock: Callable[[], datetime] = _utc_now

    def fetch(self, symbol: str, *, since: date | None, through: date) -> PriceHistory:
        """See PriceSource. Raises UnknownSymbolError for other symbols."""
        if not (match := re.fullmatch(r"SAMPLE([1-9][0-9]?)(\.T|-USD)?|SPY", symbol)):
            raise UnknownSymbolError(symbol, f"the simulation has only {SYMBOLS}; use one of them")
        now, number, exchange = self.clock(), int(match[1] or 0), exchange_of(symbol)
        current = session_at(exchange, now=now)
        dates = sessions(exchange, first=FIRST_SESSION, last=max(through, current.session))
        drawn = _simulated(dates, self._seed(symbol, number), lead=self._lead(dates) if match[2] == ".T" else None)
        history = checked_history(drawn.bars, symbol=symbol, currency=currency_of(symbol), since=since, through=through)
        row = int(dates.searchsorted(pd.Timestamp(current.session)))
        if current.state not in (SessionState.OPEN, SessionState.SETTLING) or current.session <= through or row == 0:
            return history
        course = np.random.default_rng(self._seed(symbol, number, current.session.toordinal()))
        numbers = drawn.day(row).until(elapsed(exchange, current.session, now), course)
        return replace(history, quote=Quote(session=current.session, time=min(now, current.closes), ends=current.closes, **numbers))

    def _seed(self, symbol: str, number: int, *day: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self.seed, number, *symbol.removeprefix(f"SAMPLE{number}").encode(), *day])

    def _lead(self, dates: pd.DatetimeIndex) -> Array:
        """What the lead did between the close before each of these sessions and its open, in units of its volatility, (sessions,).

        Standardised to unit variance where one session of the lead lies in between. A session of New York ends before that of
        the next date in Tokyo opens.
        """
        led = sessions(exchange_of(LEAD), first=FIRST_SESSION, last=dates[-1].date()) if len(dates) else dates
        _, *streams = _streams(self._seed(LEAD, 0))
        news = _together(*_gaps_and_moves(streams, len(led)))
        total = np.concatenate([np.zeros(1), np.cumsum(news)])
        ended = np.searchsorted(led, dates)  # sessions of the lead before each date
        moves: Array = np.diff(total[ended], prepend=0.0)
        return moves


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Bars, and the volatility of each session's log return, (sessions,)."""

    bars: pd.DataFrame
    volatility: Array

    def day(self, row: int) -> Day:
        """The session of a row that has one before it."""
        opened, high, low, close, volume = self.bars.iloc[row]
        return Day(
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=volume,
            last_close=float(self.bars["close"].iloc[row - 1]),
            volatility=float(self.volatility[row]),
            trading_volatility=float(self.volatility[row]) * math.sqrt(1 - OVERNIGHT_SHARE),
        )


def _streams(seed: np.random.SeedSequence) -> list[np.random.Generator]:
    """One random stream per quantity, drawn in session order, so that a longer history begins with the shorter one."""
    return [np.random.default_rng(each) for each in seed.spawn(6)]


def _gaps_and_moves(streams: Sequence[np.random.Generator], count: int) -> tuple[Array, Array]:
    """News of each session overnight and while trading, of unit variance, (count,) each, from the first two streams."""
    return _fat_tailed(streams[0], count), _fat_tailed(streams[1], count)


def _together(overnight: Array, intraday: Array) -> Array:
    """All news of each session, of unit variance."""
    together: Array = math.sqrt(OVERNIGHT_SHARE) * overnight + math.sqrt(1 - OVERNIGHT_SHARE) * intraday
    return together


def _simulated(dates: pd.DatetimeIndex, seed: np.random.SeedSequence, *, lead: Array | None) -> _Drawn:
    character, *of_news, of_turbulence, of_prices, of_volume = _streams(seed)
    first_price, usual_volatility = _character(character)
    overnight, intraday = _gaps_and_moves(of_news, len(dates))
    if lead is not None:
        share = LEAD_CORRELATION**2 / OVERNIGHT_SHARE  # of the gap's variance
        overnight = math.sqrt(share) * lead + math.sqrt(1 - share) * overnight
    news = _together(overnight, intraday)
    turbulence = _turbulence(of_turbulence, news)
    volatility = usual_volatility * np.exp(turbulence)
    prices = _prices(of_prices, volatility, overnight, intraday)
    volume = _volume(of_volume, turbulence, news)
    columns = [*(np.round(first_price * np.exp(price), 2) for price in prices), volume]
    return _Drawn(pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), index=dates), volatility)


def _character(rng: np.random.Generator) -> tuple[float, float]:
    """First price and usual volatility per session of one symbol."""
    low, high = np.log(START_PRICE)
    return math.exp(rng.uniform(low, high)), rng.uniform(*ANNUAL_VOLATILITY) / math.sqrt(SESSIONS_PER_YEAR)


def _fat_tailed(rng: np.random.Generator, size: int) -> Array:
    """Samples of Student's t distribution, scaled to unit variance."""
    return rng.standard_t(TAIL, size) / math.sqrt(TAIL / (TAIL - 2))


def _turbulence(rng: np.random.Generator, news: Array) -> Array:
    """Log(volatility / usual volatility) of each session, determined by the session before: an AR(1) with leverage.

    Source: Taylor, Modelling Financial Time Series (1986), ch. 3, with shocks correlated to the last return.
    """
    own = rng.standard_normal(len(news))
    shocks = VOLATILITY_OF_VOLATILITY * (LEVERAGE * news + math.sqrt(1 - LEVERAGE**2) * own)
    return _autoregression(np.concatenate([np.zeros(1), shocks])[: len(news)], PERSISTENCE)


def _autoregression(shocks: Array, persistence: float) -> Array:
    return np.fromiter(accumulate(shocks.tolist(), lambda value, shock: persistence * value + shock), np.float64)


def _prices(rng: np.random.Generator, volatility: Array, overnight: Array, intraday: Array) -> Iterator[Array]:
    """Log open, high, low and close of each session, relative to the first price.

    High and low are the extremes of a Brownian bridge from open to close. For a level m above
    both ends a and b, P(maximum < m) = 1 - exp(-2 (m - a) (m - b) / v), with v the variance.
    """
    trading = volatility * math.sqrt(1 - OVERNIGHT_SHARE)
    gap, move = volatility * math.sqrt(OVERNIGHT_SHARE) * overnight, trading * intraday
    close = np.cumsum(gap + move)
    opening = close - move
    exponential = rng.standard_exponential((len(volatility), 2)).T
    above, below = (np.sqrt(move**2 + 2 * trading**2 * draw) for draw in exponential)
    middle = (opening + close) / 2
    yield from (opening, middle + above / 2, middle - below / 2, close)


def _volume(rng: np.random.Generator, turbulence: Array, news: Array) -> Array:
    """Shares traded per session: more at high volatility and on days of large moves."""
    own = _autoregression(0.25 * rng.standard_normal(len(news)), VOLUME_PERSISTENCE)
    return np.round(USUAL_VOLUME * np.exp(0.5 * turbulence + NEWS_VOLUME * np.abs(news) + own))
