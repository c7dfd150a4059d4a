"""Forecasts of a session under way."""

import json
import math
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.pipeline.model.live import (
    LEVELS,
    LiveForecast,
    LiveModel,
    LiveTest,
    Today,
    next_live_factor,
    parts_of,
)
from tests.pipeline.live_data import NORMAL_LEVELS, live_model

HALF_WIDTH = 0.02
DAILY = {str(level): 100 * math.exp(HALF_WIDTH * each) for level, each in zip(LEVELS, NORMAL_LEVELS, strict=True)}
QUIET = {"price": 100.0, "open": 100.0, "high": 100.8, "low": 99.2}
FRACTIONS = (0.0, 0.01, 0.1, 0.3, 0.5, 0.8, 0.95, 0.999)


def forecast(model: LiveModel | None = None, /, daily: dict[str, float] = DAILY, **known: Any) -> LiveForecast | None:
    values = {"last_close": 100.0, "exchange": "XNYS", "fraction": 0.5, "reference": DAILY, **QUIET, **known}
    return (model or live_model()).forecast(daily, **values)


def made(**known: Any) -> LiveForecast:
    found = forecast(**known)
    assert found
    return found


def width(found: LiveForecast) -> float:
    return math.log(found.quantiles["0.9"] / found.quantiles["0.1"])


def test_the_median_is_the_price_now_and_the_levels_are_those_of_the_daily_forecast() -> None:
    found = made(price=100.5)

    assert found.price == found.quantiles["0.5"] == 100.5
    assert [*found.quantiles] == [*DAILY]


def test_a_daily_forecast_without_tails_gives_one_without_tails() -> None:
    inner = {level: price for level, price in DAILY.items() if level not in ("0.01", "0.99")}
    found = forecast(daily=inner)

    assert found
    assert [*found.quantiles] == [*inner]


def test_the_interval_closes_in_on_the_close() -> None:
    widths = [width(made(fraction=fraction, high=100.0, low=100.0)) for fraction in FRACTIONS]

    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.1 * widths[0]


def test_at_the_open_the_width_is_the_sessions_share_of_the_daily_one() -> None:
    assert width(made(fraction=0.0, high=100.0, low=100.0)) == pytest.approx(0.8 * 2 * HALF_WIDTH)


def test_a_gap_widens_the_interval_whatever_its_direction() -> None:
    down, none, up = (width(made(fraction=0.0, open=at, price=at, high=at, low=at)) for at in (100 / 1.03, 100.0, 103.0))

    assert down == pytest.approx(up)
    assert up > 1.2 * none


def test_large_moves_so_far_widen_the_interval_and_small_ones_narrow_it() -> None:
    calm, usual, wild = (width(made(high=100 * (1 + move), low=100 / (1 + move))) for move in (0.001, 0.0085, 0.03))

    assert calm < 0.9 * usual
    assert wild > 1.2 * usual


def test_a_price_outside_the_range_so_far_extends_it() -> None:
    assert width(made(price=103.0, high=100.8)) == pytest.approx(width(made(price=103.0, high=103.0)))


def test_the_factor_multiplies_distances_from_the_median() -> None:
    assert width(made(factor=1.3)) == pytest.approx(1.3 * width(made()))
    assert made(factor=1.3).price == made().price


@given(
    fraction=st.floats(0, 0.999),
    gap=st.floats(-0.2, 0.2),
    move=st.floats(-0.2, 0.2),
    reach=st.floats(0, 0.1),
    factor=st.floats(0.6, 1.7),
)
def test_quantiles_ascend_whatever_has_happened(fraction: float, gap: float, move: float, reach: float, factor: float) -> None:
    opened = 100 * math.exp(gap)
    price = opened * math.exp(move)
    high, low = max(opened, price) * math.exp(reach), min(opened, price) * math.exp(-reach)
    quantiles = [*made(fraction=fraction, open=opened, price=price, high=high, low=low, factor=factor).quantiles.values()]

    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles) > 0).all()


def test_the_reference_is_the_price_now_with_the_usual_moves_of_the_rest_of_the_session() -> None:
    first, later = made(fraction=0.0, price=102.0), made(fraction=0.25, price=102.0)

    assert first.reference["0.5"] == 102
    assert math.log(first.reference["0.9"] / 102) == pytest.approx(0.85 * HALF_WIDTH)
    assert math.log(later.reference["0.9"] / 102) == pytest.approx(0.85 * HALF_WIDTH * math.sqrt(0.5))


@pytest.mark.parametrize(
    "known",
    [{"exchange": "XLON"}, {"fraction": 1.0}, {"daily": {"0.5": 100.0}}, {"daily": dict.fromkeys(DAILY, 100.0)}],
    ids=["unknown exchange", "session over", "no interval", "no width"],
)
def test_without_what_it_needs_there_is_no_forecast(known: dict[str, Any]) -> None:
    assert forecast(**known) is None


@pytest.mark.parametrize("t", [-1.6, 2.0, None])
def test_an_exchange_that_has_not_passed_the_test_has_no_forecasts(t: float | None) -> None:
    assert forecast(live_model(t=t)) is None
    assert not LiveTest(days=200, t=t).passed


def test_exchanges_with_the_same_sessions_share_an_opening() -> None:
    assert forecast(exchange="XNAS") == forecast(exchange="XNYS")


@pytest.mark.parametrize("exchange", ["24/7", "24/5"])
def test_around_the_clock_as_much_variance_is_left_as_time(exchange: str) -> None:
    still = {"exchange": exchange, "high": 100.0, "low": 100.0}
    assert width(made(fraction=0.0, **still)) == pytest.approx(2 * HALF_WIDTH)
    # The size so far is the usual one, so that only time counts.
    usual = {"exchange": exchange, "fraction": 0.5} | sized(HALF_WIDTH * math.sqrt(0.5) * 0.75)
    assert width(made(**usual)) == pytest.approx(2 * HALF_WIDTH * math.sqrt(0.5))


def sized(size: float) -> dict[str, float]:
    """A high and a low with this size, at a price that equals the open."""
    return {"high": 100 * math.exp(size / math.sqrt(2)), "low": 100 * math.exp(-size / math.sqrt(2))}


def test_a_gap_means_nothing_around_the_clock() -> None:
    at = {"exchange": "24/7", "fraction": 0.0, "price": 103.0, "high": 103.0, "low": 103.0}

    assert width(made(open=103.0, **at)) == pytest.approx(2 * HALF_WIDTH)


def test_one_forecast_equals_that_of_many_rows_bit_for_bit() -> None:
    session = live_model().of("XNYS")
    assert session
    rng = np.random.default_rng(3)
    rows = [100 * np.exp(0.01 * rng.standard_normal(50)) for _ in range(5)]
    today = Today(rows[0], rows[1], np.maximum(rows[1], rows[2]), np.minimum(rows[1], rows[2]), rows[3], rng.uniform(0, 1, 50))
    many = session.moves(today, np.full(50, HALF_WIDTH))

    for row in range(50):
        single = Today(*(getattr(today, name)[row : row + 1] for name in Today.__slots__))
        assert np.array_equal(session.moves(single, np.array([HALF_WIDTH]))[0], many[row])


def test_it_survives_json() -> None:
    model = live_model()

    assert LiveModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model


def test_it_knows_the_last_session_of_any_fit() -> None:
    model = live_model(through=date(2018, 6, 29))

    assert model.through == date(2018, 6, 29)
    assert replace(model, hours_through=date(2019, 1, 4)).through == date(2019, 1, 4)
    assert replace(model, openings={}, hours_through=None).through is None


def test_parts_of_the_session_begin_with_the_open() -> None:
    hours = np.array([0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5]) / 6.5  # 09:30, 10:00, 11:00, ... 15:00

    assert parts_of(hours).tolist() == [0, 1, 1, 2, 3, 3, 4]


def test_too_many_closes_outside_widen_the_next_interval_and_too_many_inside_narrow_it() -> None:
    assert next_live_factor(1.0, 0.5) > 1 > next_live_factor(1.0, 1.0)
    assert next_live_factor(1.2, 0.8) == pytest.approx(1.2)


def test_the_factor_stays_within_bounds() -> None:
    factor = 1.0
    for _ in range(500):
        factor = next_live_factor(factor, 0.0)

    assert factor == pytest.approx(math.exp(0.5))
