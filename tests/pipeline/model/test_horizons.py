"""Forecasts of several sessions ahead: sizes of a series with known volatility, and what a fit may know."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.features import FeatureTable, compute_features
from forecasting.pipeline.model.horizons import SESSIONS, Horizons, fit_horizons, outcomes
from tests.pipeline.market_data import TINY, simulated_bars

VOLATILITY = 0.02
CONFIG = ForecastConfig()
SHORT = replace(CONFIG, minimum_training_windows=128)


def table_of(seed: int, count: int = 1_500, config: ForecastConfig = CONFIG) -> FeatureTable:
    return compute_features(simulated_bars(count, seed=seed, volatility=VOLATILITY), config)


def fitted(tables: list[FeatureTable], config: ForecastConfig = CONFIG) -> Horizons:
    horizons = fit_horizons([(table, len(table.dates) - 1) for table in tables], config)
    assert horizons
    return horizons


@pytest.fixture(scope="module")
def horizons() -> Horizons:
    return fitted([table_of(seed) for seed in range(20)])


@pytest.fixture(scope="module")
def unseen() -> FeatureTable:
    return table_of(100, count=30_000)


@pytest.mark.parametrize("sessions", SESSIONS)
def test_the_interval_of_a_random_walk_grows_with_the_root_of_time(horizons: Horizons, unseen: FeatureTable, sessions: int) -> None:
    quantiles = horizons.quantiles(unseen, range(len(unseen.dates)), CONFIG)[sessions]

    half_width = quantiles[:, horizons.quantile_levels.index(0.9)]

    assert half_width.mean() == pytest.approx(1.2816 * VOLATILITY * math.sqrt(sessions), rel=0.04)
    assert half_width.std() < 0.06 * half_width.mean()  # today's EWMA volatility wanders by a sixth


@pytest.mark.parametrize("sessions", SESSIONS)
def test_each_level_holds_its_share_of_unseen_outcomes(horizons: Horizons, unseen: FeatureTable, sessions: int) -> None:
    rows = range(len(unseen.dates) - sessions)
    quantiles = horizons.quantiles(unseen, rows, CONFIG)[sessions]
    actual = outcomes(unseen, sessions)[: len(rows)]

    below = (actual[:, None] < quantiles).mean(axis=0)

    # Overlapping outcomes count as one per horizon: two standard errors are a hundredth to a fiftieth in the middle.
    np.testing.assert_allclose(below, horizons.quantile_levels, atol=0.035)
    assert below[0] == pytest.approx(0.01, abs=0.006)


def test_quantiles_ascend_around_the_last_close(horizons: Horizons, unseen: FeatureTable) -> None:
    for quantiles in horizons.quantiles(unseen, range(500), CONFIG).values():
        assert (np.diff(quantiles, axis=1) > 0).all()
        assert (quantiles[:, len(horizons.quantile_levels) // 2] == 0).all()
        np.testing.assert_array_equal(quantiles, -quantiles[:, ::-1])


def test_a_drift_of_the_past_does_not_move_the_quantiles() -> None:
    bars = simulated_bars(1_500)
    rising = bars.assign(**{name: bars[name] * np.exp(0.002 * np.arange(1_500)) for name in ("open", "high", "low", "close")})

    horizons = fitted([compute_features(rising, CONFIG)])

    assert all(each.levels == tuple(-level for level in reversed(each.levels)) for each in horizons.each)


def test_a_row_is_bit_identical_in_any_batch(horizons: Horizons, unseen: FeatureTable) -> None:
    together = horizons.quantiles(unseen, range(100, 164), CONFIG)

    for row in (100, 131, 163):
        alone = horizons.quantiles(unseen, range(row, row + 1), CONFIG)
        for sessions in SESSIONS:
            np.testing.assert_array_equal(alone[sessions][0], together[sessions][row - 100])


@pytest.mark.parametrize("last", [100, 150, 170])
def test_a_fit_knows_no_close_after_its_last_row(last: int) -> None:
    bars, other = simulated_bars(200), simulated_bars(200, seed=77, volatility=0.2)
    table = compute_features(bars, TINY)
    session = table.dates[last]
    changed = compute_features(pd.concat([bars[bars.index <= session], other[other.index > session]]), TINY)

    assert fit_horizons([(changed, last)], TINY) == fit_horizons([(table, last)], TINY)


def test_a_fit_uses_outcomes_up_to_its_last_row() -> None:
    table = table_of(1, count=300)
    close = table.close.copy()
    close[200] *= 1.5  # an outcome of the rows before, and no feature of theirs
    changed = replace(table, close=close)

    known, unknown = (fit_horizons([(changed, last)], SHORT) for last in (200, 199))

    assert known != fit_horizons([(table, 200)], SHORT)
    assert unknown == fit_horizons([(table, 199)], SHORT)


def test_the_last_rows_have_no_outcome_yet() -> None:
    table = table_of(1, count=100)

    moves = outcomes(table, 5)

    assert np.isnan(moves[-5:]).all()
    assert moves[0] == pytest.approx(math.log(table.close[5] / table.close[0]))


def test_too_few_rows_give_no_horizons() -> None:
    table = compute_features(simulated_bars(100), TINY)

    assert fit_horizons([(table, 79)], TINY) is None


def test_they_survive_storage(horizons: Horizons) -> None:
    stored = json.loads(json.dumps(horizons.with_records({5: (500, 400), 10: (490, 380), 21: (479, 370)}).to_dict()))

    read = Horizons.from_dict(stored)

    assert (read.of(5).outcomes, read.of(5).covered) == (500, 400)
    assert read.with_records(dict.fromkeys(SESSIONS, (0, 0))) == horizons


def test_features_of_a_later_release_do_not_matter(horizons: Horizons, unseen: FeatureTable) -> None:
    """Its regressors are found by name."""
    assert set(horizons.regressors) < {*CONFIG.features}
    assert "log_ewma_volatility" in horizons.regressors
