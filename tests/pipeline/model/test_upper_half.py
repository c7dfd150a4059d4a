"""A distribution whose upper half has another probability than 0.5."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.pipeline.model.distribution import PriceDistribution, outer_quantile, probability_below, reweighted, unweighted

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
NORMAL = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


def prices(upper_half: float) -> PriceDistribution:
    """Quantiles of a close of which the logarithm is normal, 2 % around 50."""
    quantiles = (50 * np.exp(0.02 * NORMAL)).tolist()
    return PriceDistribution(dict(zip(map(str, LEVELS), quantiles, strict=True)), last_close=50.0, upper_half=upper_half)


def test_each_half_has_its_probability() -> None:
    distribution = prices(0.55)

    assert distribution.probability_below(50.0) == pytest.approx(0.45)
    assert distribution.probability_of_rise(0) == pytest.approx(0.55)


def test_probabilities_of_moves_are_scaled_by_hand() -> None:
    """10 % lie below the quantile of 0.1 and above that of 0.9: 0.1 * 0.45 / 0.5 = 0.09, and 0.1 * 0.55 / 0.5 = 0.11."""
    low, high = (100 * (math.exp(0.02 * NORMAL[row]) - 1) for row in (2, 6))

    assert prices(0.55).probability_of_fall(-low) == pytest.approx(0.09)
    assert prices(0.55).probability_of_rise(high) == pytest.approx(0.11)


def test_the_value_at_risk_is_that_of_the_scaled_half() -> None:
    """5 % of all lie where 0.05 / 0.9 of the old distribution lie."""
    loss = prices(0.55).value_at_risk(95)

    assert loss == pytest.approx(-100 * math.expm1(0.02 * NormalDist().inv_cdf(0.05 / 0.9)))
    assert prices(0.55).probability_of_fall(loss) == pytest.approx(0.05)
    assert prices(0.45).value_at_risk(95) > prices(0.5).value_at_risk(95) > loss


def test_a_value_at_risk_beyond_the_quantiles_lies_in_the_tail() -> None:
    loss = prices(0.45).value_at_risk(99)

    assert loss > -100 * math.expm1(0.02 * NORMAL[0])
    assert prices(0.45).probability_of_fall(loss) == pytest.approx(0.01)


def test_the_quantiles_and_intervals_stay() -> None:
    assert [prices(half).interval(0.8) for half in (0.45, 0.55)] == [prices(0.5).interval(0.8)] * 2


@given(st.floats(0.0, 1.0))
def test_halves_of_one_half_change_no_bit(probability: float) -> None:
    assert reweighted(probability, 0.5) == probability


@given(st.floats(0.001, 0.999), st.floats(0.3, 0.7))
def test_one_is_the_inverse_of_the_other(probability: float, upper_half: float) -> None:
    assert unweighted(reweighted(probability, upper_half), upper_half) == pytest.approx(probability)


@pytest.mark.parametrize("level", [0.0001, 0.005, 0.0099])
def test_a_quantile_of_the_tail_has_its_probability(level: float) -> None:
    assert probability_below(NORMAL, LEVELS, outer_quantile(NORMAL, LEVELS, level)) == pytest.approx(level)


def test_without_a_tail_it_is_the_outermost_quantile() -> None:
    assert outer_quantile(np.array([-1.0, -1.0, 0.0, 1.0, 1.0]), (0.01, 0.05, 0.5, 0.95, 0.99), 0.005) == -1.0
