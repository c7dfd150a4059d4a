"""Quotes: what a symbol costs now, in a session that is under way. A quote is never a bar."""

import math
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction

from forecasting.prices.bars import FLOAT_NOISE
from forecasting.prices.price_digits import written
from forecasting.prices.schedules import schedule_of
from forecasting.prices.session_state import SessionState, session_at, traded_for

CLOCK_SKEW = timedelta(minutes=1)  # by which the clock of a source may be ahead
HALTED_AFTER = timedelta(minutes=30)  # of trading time without a trade; feeds are delayed by up to 20
DELAYED_AFTER = timedelta(minutes=5)  # age of the last trade from which a quote is shown as delayed
RANGE_MISSED = 0.005  # share of the price by which a range may miss it: some sources update it late, or leave out auctions
HUNDRED = (80.0, 125.0)  # ratios to the last close that count as a wrong unit, and their inverses
LARGEST_RISE, LARGEST_FALL = 2.0, 0.5  # ratios to the last close; larger moves are refused
# New shares per old share, of reverse splits inverted. Splits nearer to 1:1, such as 5:4, cannot be told from a move.
REVERSE_SPLITS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0)
SPLITS = (1.5, 2.5, *REVERSE_SPLITS)
SPLIT_MISSED = 0.04  # largest log distance of the open / last close from a split's ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The last trade of a session under way, and the session's prices and volume until then, in the units of the symbol's bars."""

    session: date
    time: datetime  # of the last trade, with time zone; a delayed source sends an old one
    price: float
    open: float
    high: float
    low: float
    volume: float  # shares or contracts
    ends: datetime | None = None  # the session, as the source says; calendars do not know every change of an exchange's hours


class QuoteFault(StrEnum):
    """Why a quote cannot be used."""

    PRICES = "prices"  # one of its numbers is none, or they contradict each other
    TIME = "time"  # it is not of the session under way
    HALTED = "halted"  # no trade for too long
    SPLIT = "split"  # the bars seem to lack a split: they must be synced
    UNIT = "unit"  # pence and pounds are mixed
    MOVE = "move"  # too far from the last close


@dataclass(frozen=True, slots=True)
class QuoteProblem:
    """Why a quote cannot be used; `text` is a sentence that names what was found."""

    fault: QuoteFault
    text: str


def quote_problem(quote: Quote, *, exchange: str, last_bar: date, last_close: float, now: datetime) -> QuoteProblem | None:
    """Why a forecast must not use the quote; None if it may.

    `last_bar`, `last_close`: session and close of the newest bar. A quote of a session that settles is good: it is near the close.
    """
    return (
        _contradiction(quote)
        or _wrong_time(quote, exchange=exchange, last_bar=last_bar, now=now)
        or halt(quote, exchange=exchange, now=now)
        or _implausible_level(quote, last_close=last_close)
    )


def is_delayed(quote: Quote, *, now: datetime) -> bool:
    """Whether the last trade is more than `DELAYED_AFTER` ago, for display."""
    return now - quote.time > DELAYED_AFTER


def widened(quote: Quote) -> Quote:
    """The quote with a range that includes its open and price, if it misses them by at most `RANGE_MISSED`."""
    high, low = max(quote.high, quote.open, quote.price), min(quote.low, quote.open, quote.price)
    if high > quote.high * (1 + RANGE_MISSED) or low < quote.low * (1 - RANGE_MISSED):
        return quote
    return replace(quote, high=high, low=low)


def _contradiction(quote: Quote) -> QuoteProblem | None:
    numbers = {name: getattr(quote, name) for name in ("price", "open", "high", "low")}
    for name, number in numbers.items():
        if not (math.isfinite(number) and number > 0):
            return QuoteProblem(QuoteFault.PRICES, f"{name} is {written(number)}, which is not a price")
    if not (math.isfinite(quote.volume) and quote.volume >= 0):
        return QuoteProblem(QuoteFault.PRICES, f"volume is {quote.volume:g}, which is not a volume")
    for name in ("price", "open"):
        if not quote.low * (1 - FLOAT_NOISE) <= numbers[name] <= quote.high * (1 + FLOAT_NOISE):
            span = f"{written(quote.low)} to {written(quote.high)}"
            return QuoteProblem(QuoteFault.PRICES, f"{name} is {written(numbers[name])}, outside of the day's range {span}")
    return None


def _wrong_time(quote: Quote, *, exchange: str, last_bar: date, now: datetime) -> QuoteProblem | None:
    found, traded = session_at(exchange, now=now), f"the last trade was at {_local(quote.time, exchange)}"
    if found.state not in (SessionState.OPEN, SessionState.SETTLING) or found.opens is None:
        text = f"{exchange} is closed; its next session is {found.session}"
    elif quote.session != found.session:
        text = f"the quote is of {quote.session}, not of the session under way, {found.session}"
    elif quote.session <= last_bar:
        text = f"the quote is of {quote.session}, but there are bars until {last_bar}"
    elif quote.time > now + CLOCK_SKEW:
        text = f"{traded}, in the future; check the clocks"
    elif quote.time < found.opens:
        text = f"{traded}, before the open at {_local(found.opens, exchange)}"
    elif found.state == SessionState.OPEN and quote.ends and quote.time >= quote.ends:
        text = f"{traded}, and the session ended at {_local(quote.ends, exchange)}, says the price source"  # so it may be the close
    else:
        return None
    return QuoteProblem(QuoteFault.TIME, text)


def halt(quote: Quote, *, exchange: str, now: datetime) -> QuoteProblem | None:
    """That no trade of the share is known for too long until `now`; None if there is one."""
    quiet = traded_for(exchange, quote.session, now) - traded_for(exchange, quote.session, quote.time)
    if quiet <= HALTED_AFTER:
        return None
    text = f"no trade known since {_local(quote.time, exchange)}: halted, barely traded or not reported"
    return QuoteProblem(QuoteFault.HALTED, text)


def _implausible_level(quote: Quote, *, last_close: float) -> QuoteProblem | None:
    """Compares with the last close. A split shows at the open; later moves may have changed the ratio of the price."""
    opened, ratio = quote.open / last_close, quote.price / last_close
    prices = f"{written(quote.price)} after a last close of {written(last_close)}"
    if HUNDRED[0] <= max(ratio, 1 / ratio) <= HUNDRED[1]:
        times = "about a hundred times that" if ratio > 1 else "about a hundredth of that"
        return QuoteProblem(QuoteFault.UNIT, f"price is {prices}, {times}: two units are mixed")
    if split := _split(opened):
        text = f"open is {written(quote.open)} after a last close of {written(last_close)}"
        return QuoteProblem(QuoteFault.SPLIT, f"{text}: {split}, which the bars do not know yet")
    if not LARGEST_FALL <= ratio <= LARGEST_RISE:
        return QuoteProblem(QuoteFault.MOVE, f"price is {prices}, {100 * (ratio - 1):+.3g} %: implausible")
    return None


def _split(ratio: float) -> str:
    """The split that this ratio of the open to the last close looks like; "" if none."""
    size = abs(math.log(ratio))
    nearest = min(SPLITS if ratio < 1 else REVERSE_SPLITS, key=lambda shares: abs(math.log(shares) - size))
    if abs(math.log(nearest) - size) > SPLIT_MISSED:
        return ""
    new, old = Fraction(nearest).as_integer_ratio()
    return f"a split of {new}:{old}" if ratio < 1 else f"a reverse split of {old}:{new}"


def _local(moment: datetime, exchange: str) -> str:
    return f"{moment.astimezone(schedule_of(exchange).timezone):%H:%M %Z}"
