"""Moves of leads (see leads.py of prices) between the close of a session and the open of the next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from forecasting.pipeline.model.features import Array, ewma_volatility
from forecasting.prices.leads import LeadWindow, lead_window, leads_of
from forecasting.prices.markets import sessions_like

DECAY, RECENT, LONG = 0.94, 60, 250  # per session, of the EWMA variance; sessions of it; sessions of the mean square
BARS_NEEDED = LONG + 1  # bars of a lead up to the last session before its move


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadMove:
    """What a lead has done since the local close. Sessions that ended since then are added up."""

    symbol: str
    session: date  # the last one that is in the move
    percentage: float
    standardised: float  # log return / volatility of the lead at the local close

    @property
    def facts(self) -> dict[str, Any]:
        """What the ledger keeps of it."""
        return {"symbol": self.symbol, "session": self.session.isoformat(), "percentage": self.percentage}


class LeadHistory:
    """Closes and volatility of a lead. The values of a session depend on no later bar.

    The volatility of a session is the geometric mean of the EWMA of 60 returns and the root mean square of 250: the first alone
    makes too much of moves after calm weeks, the second too much of those in a crisis.
    """

    def __init__(self, bars: pd.DataFrame) -> None:
        """`bars`: a contract frame (see bars.py)."""
        self._days = bars.index.to_numpy().astype("datetime64[D]")
        self._log_close = np.log(np.ascontiguousarray(bars["close"], dtype=np.float64))
        self._volatility = np.full(len(bars), np.nan)
        if len(bars) >= BARS_NEEDED:
            returns = np.diff(self._log_close)
            recent = ewma_volatility(returns, decay=DECAY, sessions=RECENT)
            long = ewma_volatility(returns, decay=1.0, sessions=LONG)
            self._volatility[LONG:] = np.sqrt(recent[LONG - RECENT :] * long)

    def move(self, symbol: str, sessions: Sequence[date]) -> LeadMove | None:
        """The move from the close of the first of `sessions` to that of the last; None if any of them has no bar."""
        days = np.array(sessions, dtype="datetime64[D]")
        rows = np.searchsorted(self._days, days)
        if rows[-1] >= len(self._days) or (self._days[rows] != days).any() or np.isnan(self._volatility[rows[0]]):
            return None
        log_return = float(self._log_close[rows[-1]] - self._log_close[rows[0]])
        return LeadMove(
            symbol=symbol,
            session=sessions[-1],
            percentage=100 * float(np.expm1(log_return)),
            standardised=log_return / float(self._volatility[rows[0]]),
        )


class LeadMarkets:
    """The leads whose bars are at hand, and their moves between sessions of other exchanges."""

    def __init__(self, bars: Mapping[str, pd.DataFrame]) -> None:
        """`bars`: contract frames by symbol of the lead."""
        self._histories = {symbol: LeadHistory(each) for symbol, each in bars.items()}
        self._moves: dict[tuple[str, date], tuple[LeadMove, ...] | None] = {}  # the symbols of an exchange ask for the same ones

    def moves(self, exchange: str, as_of: date) -> tuple[LeadMove, ...] | None:
        """The moves of all leads of `exchange` between session `as_of` and the next one, in the order of `leads_of`.

        None unless each lead had a session in that time, and has a bar of each session of the window (see `lead_window`). Later
        bars change nothing.
        """
        key = (sessions_like(exchange), as_of)
        if key not in self._moves:
            self._moves[key] = self._found(lead_window(*key))
        return self._moves[key]

    def standardised(self, exchange: str, days: pd.DatetimeIndex) -> Array:
        """The standardised moves after each of `days`, (days, leads); a row without all of them is NaN."""
        leads = len(leads_of(exchange))
        each = [self.moves(exchange, day.date()) for day in days]
        rows = [[move.standardised for move in moves] if moves else [np.nan] * leads for moves in each]
        return np.array(rows).reshape(len(days), leads)

    def _found(self, window: LeadWindow | None) -> tuple[LeadMove, ...] | None:
        if window is None or not window.sessions.keys() <= self._histories.keys():
            return None
        moves = [self._histories[lead].move(lead, sessions) for lead, sessions in window.sessions.items()]
        found = tuple(move for move in moves if move is not None)
        return found if len(found) == len(moves) else None
