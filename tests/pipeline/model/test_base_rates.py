"""Base rates of rising days: the fit, its shrinkage, and the test on later days."""

import json
from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.model.base_rates import (
    BaseRates,
    ClassRate,
    History,
    RateTest,
    brier_gain,
    daily_shares,
    fit_rates,
    shrunk,
)
from tests.pipeline.market_data import replaced, simulated_bars

DAYS = 2_000


def drifting(rates: Sequence[float], *, seed: int, count: int = DAYS) -> pd.DataFrame:
    """Bars that rise or fall by 1 %; in each equal stretch of days with one of these probabilities of a rise."""
    bars, rng = simulated_bars(count), np.random.default_rng(seed)
    probability = np.repeat(rates, count // len(rates))
    return bars.assign(close=50 * np.exp(np.cumsum(np.where(rng.random(count) < probability, 0.01, -0.01))))


def fitted(*rates: float, symbols: int = 3) -> ClassRate:
    return fit_rates(("XNYS", drifting(rates, seed=seed)) for seed in range(symbols)).classes["XNYS"]


def class_rate(*, moves: int = 1000, t: float | None = -3.0, rate: float = 0.53) -> ClassRate:
    """Made-up figures; with the default t they have passed the test."""
    test = RateTest(first=date(2015, 6, 1), days=300, rate=0.54, t=t)
    days = {"first": date(2010, 1, 5), "through": date(2018, 12, 31)}
    return ClassRate(rate=rate, share=0.535, test=test, days=1000, moves=moves, **days)


def test_a_rate_that_lasts_is_found_and_passes() -> None:
    found = fitted(0.56)

    assert found.rate == pytest.approx(0.56, abs=0.015)
    assert found.test.passed
    assert (found.days, found.moves, found.test.days) == (DAYS - 1, 3 * (DAYS - 1), 600)


@pytest.mark.parametrize("rates", [(0.5,), (0.56, 0.56, 0.56, 0.44)])
def test_a_coin_and_a_rate_that_ends_do_not_pass(rates: Sequence[float]) -> None:
    rates_found = BaseRates({"XNYS": fitted(*rates)})

    assert not rates_found.classes["XNYS"].test.passed
    assert rates_found.of("XNYS") is None


def test_falling_days_are_a_rate_as_well() -> None:
    found = fitted(0.42, symbols=6)

    assert found.test.passed
    assert found.rate == pytest.approx(0.42, abs=0.015)


@pytest.mark.parametrize(("t", "passed"), [(-1.65, True), (-1.64, False), (3.0, False), (None, False)])
def test_the_gate_is_one_sided(t: float | None, passed: bool) -> None:
    assert (BaseRates({"BVMF": class_rate(t=t)}).of("BVMF") is not None) is passed


def test_other_classes_have_no_rate() -> None:
    assert BaseRates({"BVMF": class_rate()}).of("XNYS") is BaseRates({"BVMF": class_rate()}).of(None) is None


def test_symbols_that_share_a_day_count_once_and_those_that_did_not_move_not_at_all() -> None:
    first = simulated_bars(5).assign(close=[10.0, 11.0, 12.0, 12.0, 11.0])
    second = simulated_bars(5).assign(close=[10.0, 11.0, 11.0, 11.0, 12.0])
    third = simulated_bars(5).assign(close=[10.0, 9.0, 9.0, 9.0, 10.0])
    days = daily_shares([("XNYS", first), ("XNYS", second), ("BVMF", first), ("XNYS", third)])

    assert days["XNYS"]["share"].tolist() == pytest.approx([2 / 3, 1.0, 2 / 3])
    assert days["XNYS"].index.tolist() == [first.index[1], first.index[2], first.index[4]]
    assert days["BVMF"]["share"].tolist() == [1.0, 1.0, 0.0]


def test_the_shrinkage_by_hand() -> None:
    """The mean is 0.6, its variance 0.24 * 10 / 9 / 10: the distance of 0.1 keeps 0.01 / (0.01 + 0.02667) of itself."""
    share = pd.Series([1.0] * 6 + [0.0] * 4)

    assert shrunk(share) == pytest.approx(0.5 + 0.1 * 0.01 / (0.01 + 0.24 / 9))
    assert shrunk(pd.Series([1.0, 0.0])) == 0.5


def test_the_gain_is_the_mean_brier_score_of_the_symbols_beside_that_of_a_coin() -> None:
    """Of four symbols that moved, three rose."""
    gain = brier_gain(pd.Series([0.75]), 0.6)

    assert gain.tolist() == pytest.approx([(3 * 0.4**2 + 0.6**2) / 4 - 0.25])


def test_a_class_with_few_days_has_no_rate() -> None:
    assert fit_rates([("XNYS", drifting([0.6], seed=1, count=250))]) == BaseRates({})
    assert fit_rates([("XNYS", drifting([0.6], seed=1, count=251))]).classes.keys() == {"XNYS"}


def test_of_two_fits_the_one_on_more_moves_stays() -> None:
    former = BaseRates({"XNYS": class_rate(moves=900), "BVMF": class_rate(moves=900, rate=0.51)})
    newer = BaseRates({"XNYS": class_rate(moves=800), "BVMF": class_rate(moves=900, rate=0.52), "XTKS": class_rate(moves=5)})

    both = former.extended_by(newer).classes
    assert (both["XNYS"].moves, both["BVMF"].rate, both["XTKS"].moves) == (900, 0.52, 5)


def test_json_gives_the_same_rates_back() -> None:
    rates = BaseRates({"XNYS": fitted(0.56), "BVMF": class_rate(t=None)})

    assert BaseRates.from_json(json.loads(json.dumps(rates.as_json()))) == rates


# Look-ahead


def histories(bars: pd.DataFrame) -> list[History]:
    return [("XNYS", bars), ("XNYS", drifting([0.56], seed=9))]


def test_the_rate_that_is_tested_depends_on_no_day_that_tests_it() -> None:
    bars = drifting([0.56], seed=1)
    original = fit_rates(histories(bars)).classes["XNYS"]
    later = int((bars.index < pd.Timestamp(original.test.first)).sum())
    changed = fit_rates(histories(replaced(bars, slice(later, None), close=1e6))).classes["XNYS"]

    assert changed.test.rate == original.test.rate
    assert changed.test.t != original.test.t


def test_days_after_the_end_of_the_fit_change_no_bit() -> None:
    """The bars of a fit are cut at its end; what follows in their file cannot matter, and earlier days do not know it."""
    bars, through = drifting([0.56], seed=1), 1_500
    changed = replaced(bars, slice(through, None), close=1e6)

    assert fit_rates([("XNYS", bars.iloc[:through])]) == fit_rates([("XNYS", changed.iloc[:through])])
    before, after = (daily_shares([("XNYS", each)])["XNYS"] for each in (bars, changed))
    pd.testing.assert_frame_equal(before.iloc[: through - 1], after.iloc[: through - 1], check_exact=True)
