"""The distribution between and beyond quantiles: probabilities, intervals, value at risk."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.pipeline.model.distribution import (
    COVERAGES,
    PriceDistribution,
    probability_below,
    probability_up,
    quantile_at,
    with_tails,
)

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
NORMAL = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


def price_distribution(volatility: float = 0.02, *, last_close: float = 50.0) -> PriceDistribution:
    prices = (last_close * np.exp(volatility * NORMAL)).tolist()
    return PriceDistribution(dict(zip(map(str, LEVELS), prices, strict=True)), last_close=last_close)


def test_each_quantile_has_its_level() -> None:
    for level, quantile in zip(LEVELS, NORMAL, strict=True):
        assert probability_below(NORMAL, LEVELS, quantile) == pytest.approx(level)
        assert quantile_at(NORMAL, LEVELS, level) == pytest.approx(quantile)


@pytest.mark.parametrize("value", [-2.2, -1.0, -0.3, 0.0, 0.4, 1.9])
def test_between_quantiles_of_a_normal_distribution_it_is_that_distribution(value: float) -> None:
    assert probability_below(NORMAL, LEVELS, value) == pytest.approx(NormalDist().cdf(value))


def test_beyond_the_outermost_quantiles_the_probability_falls_with_a_power_of_the_distance() -> None:
    exponent = math.log(5) / math.log(NORMAL[0] / NORMAL[1])

    assert probability_below(NORMAL, LEVELS, 2 * NORMAL[0]) == pytest.approx(0.01 * 0.5**exponent)
    assert 1 - probability_below(NORMAL, LEVELS, 2 * NORMAL[-1]) == pytest.approx(0.01 * 0.5**exponent)


def test_the_tail_of_a_pareto_distribution_is_found() -> None:
    """Both sides fall with the third power: half of the mass is beyond 1, a hundredth of that beyond 100 ** (1 / 3)."""
    values = np.array([-((0.5 / level) ** (1 / 3)) for level in LEVELS[:4]])
    quantiles = np.array([*values, 0.0, *-values[::-1]])

    assert probability_below(quantiles, LEVELS, -10.0) == pytest.approx(0.5 / 10**3)


def test_without_a_last_step_the_tail_is_empty() -> None:
    quantiles = np.array([-1.0, -1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0, 1.0])

    assert probability_below(quantiles, LEVELS, -1.1) == 0
    assert probability_below(quantiles, LEVELS, 1.1) == 1


@given(
    steps=st.lists(st.floats(0.0, 3.0), min_size=9, max_size=9),
    values=st.lists(st.floats(-30.0, 30.0), min_size=2, max_size=2),
)
def test_a_probability_never_falls_as_the_value_rises(steps: list[float], values: list[float]) -> None:
    quantiles = np.cumsum(steps) - 10
    low, high = (probability_below(quantiles, LEVELS, value) for value in sorted(values))

    assert 0 <= low <= high + 1e-12 <= 1 + 1e-12


def test_a_rise_is_as_likely_as_a_fall_around_zero() -> None:
    assert probability_up(NORMAL, LEVELS) == pytest.approx(0.5)


def test_a_rise_is_what_is_not_below_zero() -> None:
    assert probability_up(NORMAL + 0.3, LEVELS) == pytest.approx(NormalDist().cdf(0.3))
    assert probability_up(NORMAL + 0.3, LEVELS) == 1 - probability_below(NORMAL + 0.3, LEVELS, 0.0)


def test_the_probability_lies_between_those_of_several_quantiles_at_zero() -> None:
    """A tenth to half of the outcomes are at zero or below it."""
    quantiles = np.array([-4.0, -2.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0])

    assert probability_up(quantiles, LEVELS) == pytest.approx(1 - (0.1 + 0.5) / 2)


def test_quantiles_that_are_all_zero_give_no_direction() -> None:
    assert probability_up(np.zeros(9), LEVELS) == pytest.approx(0.5)


def test_tails_are_added_on_both_sides() -> None:
    extended = with_tails(0.3 + NORMAL[None, 1:-1], 1.5)[0]

    np.testing.assert_allclose(extended[1:-1], 0.3 + NORMAL[1:-1])
    np.testing.assert_allclose(extended[[0, -1]], 0.3 + 1.5 * NORMAL[[1, -2]])


@pytest.mark.parametrize("coverage", COVERAGES)
def test_an_interval_has_its_probability(coverage: float) -> None:
    distribution = price_distribution()

    low, high = distribution.interval(coverage)

    assert low < 50 < high
    assert distribution.probability_below(high) - distribution.probability_below(low) == pytest.approx(coverage)
    assert distribution.probability_below(low) == pytest.approx((1 - coverage) / 2)


def test_an_interval_beyond_the_outermost_quantiles_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the level 0\.005.* lies outside 0\.01 \.\.\. 0\.99"):
        price_distribution().interval(0.99)


def test_falls_and_rises_are_shares_of_the_last_close() -> None:
    distribution = price_distribution(0.02)

    assert distribution.probability_of_fall(2) == pytest.approx(NormalDist(0, 0.02).cdf(math.log(0.98)))
    assert distribution.probability_of_rise(2) == pytest.approx(1 - NormalDist(0, 0.02).cdf(math.log(1.02)))
    assert distribution.probability_of_fall(2) == distribution.probability_below(49.0)


def test_the_value_at_risk_is_the_loss_that_is_rarely_exceeded() -> None:
    distribution = price_distribution(0.02)

    assert distribution.value_at_risk(95) == pytest.approx(100 * (1 - math.exp(0.02 * NORMAL[1])))
    assert distribution.value_at_risk(99) == pytest.approx(100 * (1 - math.exp(0.02 * NORMAL[0])))
    for percent in (95, 99):
        assert distribution.probability_of_fall(distribution.value_at_risk(percent)) == pytest.approx(1 - percent / 100)


def test_a_forecast_that_only_rises_has_no_value_at_risk() -> None:
    sure = PriceDistribution({str(level): 60 + level for level in LEVELS}, last_close=50.0)

    assert sure.value_at_risk(99) == 0


def test_a_forecast_of_an_earlier_release_has_no_tails() -> None:
    assert price_distribution().has_tails
    assert not PriceDistribution({"0.05": 48.0, "0.5": 50.0, "0.95": 52.0}, last_close=50.0).has_tails
