"""The course of a simulated session: it ends at the session's bar, and what it shows does not tell what follows."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.prices.simulated_day import STEPS, Day

DAY = Day(
    last_close=50.0,
    open=50.2,
    high=51.5,
    low=49.6,
    close=50.9,
    volume=2_000_000.0,
    volatility=0.015,
    trading_volatility=0.0134,
)
SHARES = [(step + 0.5) / STEPS for step in range(STEPS)]


def shown(share: float, *, day: Day = DAY, seed: int = 1) -> dict[str, float]:
    return day.until(share, np.random.default_rng(seed))


def drawn_days(count: int) -> list[Day]:
    """Days with the moves, highs and lows of the simulation, at a volatility of 1 %."""
    rng = np.random.default_rng(7)
    moves = 0.01 * rng.standard_t(5, count) / np.sqrt(5 / 3)
    above, below = np.sqrt(moves**2 + 2e-4 * rng.standard_exponential((2, count)))
    close, high, low = 100 * np.exp([moves, (moves + above) / 2, (moves - below) / 2])
    prices = {"open": 100.0, "last_close": 100.0, "volume": 1e6, "volatility": 0.01, "trading_volatility": 0.01}
    return [Day(**prices, high=h, low=w, close=c) for h, w, c in zip(high.tolist(), low.tolist(), close.tolist(), strict=True)]


def test_it_begins_with_the_open_and_no_volume() -> None:
    assert shown(0.0) == {"price": 50.2, "open": 50.2, "high": 50.2, "low": 50.2, "volume": 0.0}


@pytest.mark.parametrize("seed", range(20))
def test_it_ends_at_the_bar(seed: int) -> None:
    assert shown(1.0, seed=seed) == {"price": 50.9, "open": 50.2, "high": 51.5, "low": 49.6, "volume": 2_000_000.0}


def test_what_was_shown_stays_true() -> None:
    seen = [shown(share) for share in SHARES]
    prices = np.array([each["price"] for each in seen])
    assert [each["high"] for each in seen] == np.maximum.accumulate(prices).tolist()
    assert [each["low"] for each in seen] == np.minimum.accumulate(prices).tolist()
    assert (np.diff([each["volume"] for each in seen]) >= 0).all()


@given(seed=st.integers(0, 1_000), share=st.floats(0, 1))
def test_prices_stay_within_the_range_of_the_bar(seed: int, share: float) -> None:
    found = shown(share, seed=seed)
    assert DAY.low <= found["low"] <= found["price"] <= found["high"] <= DAY.high


def test_a_day_without_a_range_can_be_shown() -> None:
    flat = replace(DAY, open=50.0, high=50.0, low=50.0, close=50.0)
    assert shown(0.5, day=flat)["price"] == 50.0


@cache
def days_at(share: float) -> tuple[np.ndarray, np.ndarray]:
    """Log returns of many days: from the open until then, and from then to the close."""
    days = drawn_days(600)
    now = np.log([shown(share, day=day, seed=seed)["price"] / day.open for seed, day in enumerate(days)])
    return now, np.log([day.close / day.open for day in days]) - now


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_the_move_so_far_does_not_improve_on_the_price_now(share: float) -> None:
    moved, left = days_at(share)
    slope = (moved @ left) / (moved @ moved)
    assert np.abs(left - slope * moved).mean() > 0.985 * np.abs(left).mean()


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_the_move_that_is_left_shrinks_with_the_time_that_is_left(share: float) -> None:
    assert days_at(share)[1].std() == pytest.approx(0.01 * np.sqrt(1 - share), rel=0.15)
