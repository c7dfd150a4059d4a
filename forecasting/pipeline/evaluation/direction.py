"""Brier scores of the probability of a rise: of a version's backtest, and of base rates on the days after their fit.

Sessions without a move do not count. Brier, Verification of Forecasts Expressed in Terms of Probability (1950).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecasting.pipeline.evaluation.quantiles import levels_of, quantile_column, quantile_columns
from forecasting.pipeline.model.base_rates import (
    COIN,
    BaseRates,
    ClassRate,
    History,
    brier_gain,
    daily_shares,
    dm_t,
    speaks_against,
)
from forecasting.pipeline.model.distribution import probability_up

FEWEST_LATER_DAYS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterDays:
    """How the base rate of a class did on days after its fit."""

    days: int
    share: float  # that rose
    brier: float  # of the rate, whether it is used or not; that of 0.5 is 0.25
    t: float | None  # Diebold-Mariano, negative if the rate is better than 0.5


def later_days(rates: BaseRates, histories: Iterable[History]) -> dict[str, LaterDays]:
    """By class, the days of these histories after the fit; a class with few of them is missing."""
    found = {}
    for name, days in daily_shares(histories).items():
        if (known := rates.classes.get(name)) is None:
            continue
        share = days.loc[days.index > pd.Timestamp(known.through), "share"]
        if len(share) >= FEWEST_LATER_DAYS:
            gain = brier_gain(share, known.rate)
            found[name] = LaterDays(days=len(share), share=float(share.mean()), brier=COIN + float(gain.mean()), t=dm_t(gain))
    return found


def direction_facts(closes: pd.Series, backtest: pd.DataFrame, known: ClassRate | None) -> dict[str, Any]:
    """What the metrics of a symbol's version say of direction: `brier`, and `against_base_rate`.

    The latter: whether all its closes speak against the rate of its class, `known`, as those of an inverse fund do. Then it is not
    used.
    """
    against = known is not None and speaks_against(closes, known.rate)
    return {"brier": backtest_brier(backtest, None if against else known), "against_base_rate": against}


def backtest_brier(backtest: pd.DataFrame, known: ClassRate | None) -> float | None:
    """Brier score of a backtest (columns: see artifacts.py), out of sample; that of 0.5 is 0.25. None if it always says 0.5.

    `known`: of the symbol's class, if that has passed its test. It is used if the point forecast is the last close, as live, but
    from the days before those held back, and sessions up to then do not count.
    """
    rows = backtest[backtest["actual_close"] != backtest["last_close"]]
    columns = quantile_columns(rows)
    is_still = (rows[quantile_column(0.5)] == rows["last_close"]).to_numpy()
    returns = np.log(rows[columns].to_numpy() / rows["last_close"].to_numpy()[:, None])
    said = np.array([probability_up(each, levels_of(columns)) for each in returns])
    said[is_still] = 0.5
    if known is not None:
        unseen = (rows["target_date"] >= pd.Timestamp(known.test.first)).to_numpy()
        said[is_still] = known.test.rate
        rows, said = rows[unseen | ~is_still], said[unseen | ~is_still]
    rose = (rows["actual_close"] > rows["last_close"]).to_numpy()
    return float(((rose - said) ** 2).mean()) if (said != 0.5).any() else None
