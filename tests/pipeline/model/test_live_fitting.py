"""The fit of the live model on prices whose course is known."""

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.model.live import LEVELS, LiveModel
from forecasting.pipeline.model.live_fitting import fit_live
from forecasting.prices.hours import daily_bars
from tests.pipeline.live_data import GAP_SHARE, HOURS, hourly_bars, scrambled
from tests.pipeline.market_data import TINY, replaced, session_bars

HOURLY = {symbol: hourly_bars(560, seed=seed) for seed, symbol in enumerate(("AAA", "BBB", "CCC"))}
DAILY = [(symbol, daily_bars(bars)) for symbol, bars in HOURLY.items()]


@pytest.fixture(scope="module")
def fitted() -> LiveModel:
    return fit_live(DAILY, HOURLY, TINY)


@pytest.fixture(scope="module")
def alike() -> LiveModel:
    """Of days that do not differ in their volatility."""
    hours = {symbol: hourly_bars(560, seed=seed, turbulence=0.0) for seed, symbol in enumerate(HOURLY)}
    return fit_live([(symbol, daily_bars(bars)) for symbol, bars in hours.items()], hours, TINY)


def test_the_course_is_that_of_the_prices(alike: LiveModel) -> None:
    elapsed = {node.fraction: node.elapsed for node in alike.course.nodes}

    assert [*elapsed] == pytest.approx([0, *(np.arange(0.5, 6) / 6.5)], abs=1e-5)
    assert [*elapsed.values()] == pytest.approx([0, *np.cumsum([*HOURS.values()])[:-1]], abs=0.07)


def test_the_share_of_the_session_is_that_of_the_prices(alike: LiveModel) -> None:
    opening = alike.openings["XNYS"]

    assert opening.left == pytest.approx(np.sqrt(1 - GAP_SHARE), abs=0.03)
    assert opening.through == alike.hours_through == HOURLY["AAA"].index[-1].date()


def test_moves_so_far_tell_more_of_the_rest_the_later_it_is(fitted: LiveModel) -> None:
    first, second, *_, last = fitted.course.nodes

    assert first.response == 0 < second.response < last.response


def test_moves_so_far_tell_more_if_days_differ(fitted: LiveModel, alike: LiveModel) -> None:
    for mine, other in zip(fitted.course.nodes[2:], alike.course.nodes[2:], strict=True):
        assert mine.response > other.response + 0.1


def test_levels_are_symmetric_and_those_of_the_interval_are_half_widths(fitted: LiveModel) -> None:
    for node in fitted.course.nodes:
        assert node.levels == tuple(-level for level in reversed(node.levels))
        assert node.levels[LEVELS.index(0.9)] == pytest.approx(1, abs=0.1)


def test_an_exchange_whose_open_helps_passes_the_test(fitted: LiveModel) -> None:
    test = fitted.openings["XNYS"].test

    assert test.passed
    assert test.days == pytest.approx(0.3 * (560 - TINY.warm_up), abs=2)


def test_an_exchange_whose_opens_are_noise_fails_it() -> None:
    rng = np.random.default_rng(7)
    noisy = [
        (symbol, with_opens(bars, bars["close"].shift(1).bfill() * np.exp(0.05 * rng.standard_normal(560))))
        for symbol, bars in DAILY
    ]

    assert not fit_live(noisy, {}, TINY).openings["XNYS"].test.passed


def with_opens(bars: pd.DataFrame, opens: pd.Series) -> pd.DataFrame:
    high, low = np.maximum(bars["high"], opens), np.minimum(bars["low"], opens)
    return bars.assign(open=opens, high=high, low=low)


def test_opens_that_equal_the_last_close_count_as_unknown() -> None:
    unknown = [(symbol, with_opens(bars, bars["close"].shift(1).bfill())) for symbol, bars in DAILY]

    assert fit_live(unknown, {}, TINY).openings == {}


def test_each_exchange_has_an_opening_of_its_own() -> None:
    tokyo = [(f"{number}.T", session_bars(400, exchange="XTKS", seed=number)) for number in range(1000, 1003)]

    assert {*fit_live([*DAILY, *tokyo], {}, TINY).openings} == {"XNYS", "XTKS"}


def test_coins_and_currencies_are_not_fitted() -> None:
    coins = [(symbol, session_bars(900, exchange="24/7")) for symbol in ("BTC-USD", "EURUSD=X")]

    assert fit_live(coins, {}, TINY).openings == {}


def test_without_hours_it_knows_the_open_alone() -> None:
    model = fit_live(DAILY, {}, TINY)

    assert [node.fraction for node in model.course.nodes] == [0]
    assert model.hours_through is None


def test_few_bars_give_no_opening() -> None:
    assert fit_live([(symbol, bars.iloc[:100]) for symbol, bars in DAILY], {}, TINY).openings == {}


def test_a_gap_like_a_split_is_left_out(fitted: LiveModel) -> None:
    split = {symbol: scaled(bars, "2019-06-03", 0.5) for symbol, bars in HOURLY.items()}
    model = fit_live([(symbol, daily_bars(bars)) for symbol, bars in split.items()], {}, TINY)

    assert model.openings["XNYS"].rows == fitted.openings["XNYS"].rows - len(split)


def scaled(hours: pd.DataFrame, since: str, factor: float) -> pd.DataFrame:
    return replaced(hours, slice(0, 0)).assign(
        **{name: hours[name] * np.where(hours.index >= since, factor, 1.0) for name in ("open", "high", "low", "close")}
    )


def test_hours_after_the_fit_change_no_bit_of_it(fitted: LiveModel) -> None:
    end = pd.Timestamp("2019-06-03 17:00")
    known = {symbol: bars[bars.index < end] for symbol, bars in HOURLY.items()}
    changed = {symbol: scrambled(bars, end) for symbol, bars in HOURLY.items()}
    same = {symbol: bars[bars.index < end] for symbol, bars in changed.items()}

    def fit(hours: dict[str, pd.DataFrame]) -> LiveModel:
        return fit_live([(symbol, daily_bars(bars)) for symbol, bars in hours.items()], hours, TINY)

    assert fit(known) == fit(same) != fitted
