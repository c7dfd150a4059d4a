"""Quotes: what a symbol costs now, in a session that is under way. A quote is never a bar."""

from dataclasses import dataclass
from datetime import date, datetime


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
