"""Two simulated markets, of which Tokyo follows New York by a known amount."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from forecasting.pipeline.model.leads import ExchangeLeads, LeadTest
from tests.pipeline.market_data import session_bars

FIRST = date(2018, 1, 2)
LEAD_VOLATILITY, VOLATILITY = 0.01, 0.015  # log return per session, constant


def _bars(returns: np.ndarray, like: pd.DataFrame) -> pd.DataFrame:
    close = 50 * np.exp(np.cumsum(returns))
    scale = close / like["close"].to_numpy()
    return like.assign(**{column: like[column] * scale for column in ("open", "high", "low", "close")})


def lead_bars(count: int = 1_200, *, seed: int = 1, first: date = date(2016, 6, 1), exchange: str = "XNYS") -> pd.DataFrame:
    """A random walk on real sessions, long before FIRST as well, because the volatility of a lead needs a year."""
    rng = np.random.default_rng(seed)
    return _bars(LEAD_VOLATILITY * rng.standard_normal(count), session_bars(count, first=first, exchange=exchange, seed=seed))


def following_bars(lead: pd.DataFrame, beta: float, *, count: int = 700, seed: int = 1, own: float = 0.0) -> pd.DataFrame:
    """Bars in Tokyo. Each return follows what New York did on the dates from the last session there to the day before this one.

    In units of volatility it is `beta` times that, plus `own` times its last return, plus noise.
    """
    bars = session_bars(count, first=FIRST, exchange="XTKS", seed=100 + seed)
    rng = np.random.default_rng(200 + seed)
    led = np.log(lead["close"]).diff()
    moves = [
        led[(led.index >= before) & (led.index < day)].sum() / LEAD_VOLATILITY
        for before, day in zip(bars.index[:-1], bars.index[1:], strict=True)
    ]
    returns = np.zeros(count)
    for row in range(1, count):
        noise = np.sqrt(1 - beta**2) * rng.standard_normal()
        returns[row] = VOLATILITY * (beta * moves[row - 1] + noise) + own * returns[row - 1]
    return _bars(returns, bars)


def tokyo(lead: pd.DataFrame, betas: Sequence[float], *, count: int = 700) -> list[tuple[str, pd.DataFrame]]:
    """One symbol for each beta: 1000.T, 1001.T, ..."""
    return [(f"{1000 + number}.T", following_bars(lead, beta, count=count, seed=number)) for number, beta in enumerate(betas)]


def exchange_leads(*, leads: tuple[str, ...] = ("SPY",), through: date = date(2018, 12, 28), t: float = -3.0) -> ExchangeLeads:
    """Made-up coefficients of an exchange, and of the symbol 7203.T; with the default t it has passed the test."""
    return ExchangeLeads(
        region="Asia-Pacific",
        leads=leads,
        betas=(*(0.3 for _ in leads), -0.1),
        width=(0.8, *(0.1 for _ in leads)),
        symbols={"7203.T": (*(0.5 for _ in leads), 0.0)},
        test=LeadTest(days=200, t=t, region_t=-3.0),
        rows=5_000,
        first=date(2015, 1, 5),
        through=through,
    )
