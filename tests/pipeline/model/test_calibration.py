"""Calibration: weight of the median, spread of the interval."""

from dataclasses import asdict

import numpy as np
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.calibration import (
    UNCALIBRATED,
    Calibration,
    MedianTest,
    told_median,
)
from forecasting.pipeline.model.conformal import NONE_CHOSEN, NOT_BETTER
from forecasting.pipeline.model.features import Array

CONFIG = ForecastConfig()
LEVELS = np.array(CONFIG.quantile_levels)
NORMAL = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])  # quantiles of the standard normal


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def forecasts(rng: np.random.Generator, rows: int = 200) -> Array:
    """Ordered quantiles with different locations and widths."""
    quantiles: Array = rng.normal(0, 0.3, (rows, 1)) + rng.uniform(0.5, 2, (rows, 1)) * NORMAL
    return quantiles


def test_no_calibration_changes_nothing(rng: np.random.Generator) -> None:
    quantiles = forecasts(rng)

    np.testing.assert_allclose(UNCALIBRATED.apply(quantiles), quantiles)


def test_the_median_moves_towards_the_last_close(rng: np.random.Generator) -> None:
    quantiles = forecasts(rng)

    calibrated = Calibration(median_weight=0.25, spread=1.0).apply(quantiles)

    np.testing.assert_allclose(calibrated[:, 3], 0.25 * quantiles[:, 3])


def test_the_distances_from_the_median_are_stretched() -> None:
    calibrated = Calibration(median_weight=1.0, spread=1.5).apply(1 + NORMAL[None])

    np.testing.assert_allclose(calibrated[0], 1 + 1.5 * NORMAL)


@pytest.mark.parametrize("median_weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_the_quantiles_stay_in_order(rng: np.random.Generator, median_weight: float, spread: float) -> None:
    far_from_zero = 5 + forecasts(rng)

    calibrated = Calibration(median_weight=median_weight, spread=spread).apply(far_from_zero)

    assert (np.diff(calibrated, axis=1) >= 0).all()


def test_a_quantile_beyond_the_moved_median_becomes_the_median() -> None:
    above, below = 1 + 0.1 * NORMAL, -1 + 0.1 * NORMAL

    calibrated = Calibration(median_weight=0.0, spread=2.0).apply(np.stack([above, below]))

    np.testing.assert_allclose(calibrated[0], [0, 0, 0, 0, *(2 * above[4:])])
    np.testing.assert_allclose(calibrated[1], [*(2 * below[:3]), 0, 0, 0, 0])


def test_a_calibration_survives_storage() -> None:
    test = MedianTest(reason=NOT_BETTER, tried=0.431, p=0.3123, p_by_exchange={"BVMF": 0.62})
    calibration = Calibration(median_weight=0.3, spread=1.1, factor=0.9, median_test=test)

    assert Calibration.from_dict(asdict(calibration)) == calibration


def test_a_calibration_of_an_earlier_release_has_no_test_and_no_factor() -> None:
    calibration = Calibration.from_dict({"median_weight": 0.3, "spread": 1.1})

    assert calibration == Calibration(median_weight=0.3, spread=1.1, factor=1.0, median_test=MedianTest())


def test_applying_it_does_not_change_its_input(rng: np.random.Generator) -> None:
    quantiles = forecasts(rng)
    before = quantiles.copy()

    Calibration(median_weight=0.0, spread=2.0).apply(quantiles)

    np.testing.assert_array_equal(quantiles, before)


def test_the_text_about_a_median_gives_the_tried_weight_and_every_p_value() -> None:
    test = MedianTest(reason=NOT_BETTER, tried=0.431, p=0.3123, p_by_exchange={"BVMF": 0.62, "XNYS": 0.181})
    calibration = Calibration(median_weight=0.0, spread=1.0, median_test=test)

    told = told_median(**calibration.median_facts)

    assert told == (
        "0.00; tried 0.43: not significantly better than the last close on later validation days (p 0.312; BVMF 0.620, XNYS 0.181)"
    )


def test_the_text_about_a_single_symbols_median_gives_one_p_value() -> None:
    calibration = Calibration(median_weight=0.5, spread=1.0, median_test=MedianTest(reason="better", tried=0.5, p=0.01))

    assert told_median(**calibration.median_facts) == "0.50; tried 0.50: better (p 0.010)"


def test_the_text_about_an_untested_median_gives_only_the_reason() -> None:
    unknown = Calibration(median_weight=0.0, spread=1.0)
    unwanted = Calibration(median_weight=0.0, spread=1.0, median_test=MedianTest(reason=NONE_CHOSEN, tried=0.0))

    assert told_median(**unknown.median_facts) == "0.00; the reason is not recorded"
    assert told_median(**unwanted.median_facts) == "0.00; no weight was better than the last close on earlier validation days"
