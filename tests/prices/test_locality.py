"""Checks of newest bars, night by night, give the same result as a check of the whole history.

As in the service, the source sends the newest bars again each night. The gate checks them with the last `CONTEXT` stored ones, or
with all if a verdict on stored bars changed. Only the total number of wrong bars requires a whole history.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.bars import PRICES, BadBarsError
from forecasting.prices.quality import CONTEXT, check_bars
from tests.pipeline.market_data import session_bars
from tests.prices.defects import KINDS, Defect

COUNT, FIRST_NIGHT, LAST_ROW = 870, 735, 835  # bars at the end, bars on the first night, and the end of the defects
AGAIN = 10  # stored bars that the source sends again every night
DEFECTS = [defect for defects in KINDS.values() for defect in defects]


@dataclass(frozen=True, slots=True)
class Night:
    """Result of a night: the usable bars of the last two months, and whether newer ones wait."""

    newest: pd.DataFrame
    held: bool


def judged_whole(bars: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    checked = check_bars(bars, symbol="TEST", exchange="XNYS")
    return checked.bars, bool(checked.held)


def judged_newest(stored: pd.DataFrame, bars: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Stored bars after a night on which the source has `bars`, and whether the newest ones wait."""
    sent = bars[bars.index >= stored.index[-AGAIN]]
    before = stored[stored.index < sent.index[0]]
    context = before[-(CONTEXT - AGAIN) :]
    judged, held = judged_whole(pd.concat([context, sent]))
    if judged.index[judged.index < sent.index[0]].equals(context.index):
        return pd.concat([before, judged[judged.index >= sent.index[0]]]), held
    return judged_whole(pd.concat([before, sent]))


def night_of(bars: pd.DataFrame, judged: tuple[pd.DataFrame, bool]) -> Night:
    frame, held = judged
    return Night(frame[frame.index >= bars.index[-40]], held)


def assert_both_are_equal(bars: pd.DataFrame) -> None:
    """Results of every night from the first with stored bars."""
    stored, _ = judged_whole(bars[:FIRST_NIGHT])
    for night in range(FIRST_NIGHT + 1, len(bars) + 1):
        known = bars[:night]
        try:
            whole = night_of(known, judged_whole(known))
        except BadBarsError:
            with pytest.raises(BadBarsError):
                judged_newest(stored, known)
            continue
        stored, held = judged_newest(stored, known)
        newest = night_of(known, (stored, held))
        assert newest.held == whole.held, known.index[-1]
        pd.testing.assert_frame_equal(newest.newest, whole.newest, check_freq=False, obj=f"the bars of {known.index[-1]}")


def thin(bars: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The bars with trades on only a third of the days; the others repeat the previous close."""
    quiet = rng.random(len(bars)) >= 1 / 3
    quiet[0] = False
    last = bars["close"].mask(quiet).ffill()
    return bars.assign(**{column: bars[column].mask(quiet, last) for column in PRICES}, volume=bars["volume"].mask(quiet, 0.0))


def restless(bars: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The bars with a slowly varying volatility."""
    times = np.exp(np.cumsum(0.1 * rng.standard_normal(len(bars)))).clip(0.2, 4)
    price = 50 * np.exp(np.cumsum(times * np.log(bars["close"]).diff().fillna(0.0)))
    return bars.assign(**{column: bars[column] * price / bars["close"] for column in PRICES})


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_gives_the_same_result(kind: str) -> None:
    rng = np.random.default_rng([1, *kind.encode()])
    bars = session_bars(COUNT, seed=int(rng.integers(1000)))
    defect = KINDS[kind][int(rng.integers(len(KINDS[kind])))]
    assert_both_are_equal(defect(bars, int(rng.integers(FIRST_NIGHT + 5, LAST_ROW))))


@pytest.mark.parametrize("seed", range(6))
def test_two_defects_within_a_quarter_give_the_same_result(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars = session_bars(COUNT, seed=seed)
    bars = [lambda same, _: same, thin, restless][seed % 3](bars, rng)
    for row in rng.integers(FIRST_NIGHT + 5, LAST_ROW, 2):
        defect: Defect = DEFECTS[int(rng.integers(len(DEFECTS)))]
        bars = defect(bars, int(row))
    assert_both_are_equal(bars)
