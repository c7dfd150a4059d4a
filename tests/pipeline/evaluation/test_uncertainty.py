"""Deviations of a track record: chance alone seldom makes one that counts as real."""

from typing import Any

import numpy as np
import pytest

from forecasting.pipeline.evaluation.uncertainty import FEWEST, LIKELY, chance_of_mean, deviation_of_share, excess_of_ratio


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers for each test, in whichever order they run."""
    return np.random.default_rng(42)


@pytest.mark.parametrize("count", [1, 2, 5, 20, 100, 1000])
def test_at_most_two_of_a_hundred_calibrated_records_look_like_a_fault(count: int, rng: np.random.Generator) -> None:
    shares = rng.binomial(count, 0.8, 20_000) / count
    real = [deviation_of_share(share, promised=0.8, count=count).is_likely_real for share in shares.tolist()]
    assert np.mean(real) <= 0.02


def test_a_share_that_is_far_off_is_real_and_with_more_outcomes_nearly_certain() -> None:
    few, many = (deviation_of_share(0.6, promised=0.8, count=count) for count in (40, 400))
    assert (few.is_likely_real, few.is_nearly_certain) == (True, False)
    assert many.is_nearly_certain


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_mean_of_days_in_which_symbols_move_together_seldom_looks_like_a_fault(horizon: int, rng: np.random.Generator) -> None:
    far = []
    for _ in range(2_000):
        shocks = np.convolve(rng.normal(size=120 + horizon - 1), np.ones(horizon) / np.sqrt(horizon), mode="valid")
        shares = np.clip(0.8 - 0.1 * shocks, 0.0, 1.0)  # common to all symbols, so their number does not help
        far.append(abs(shares[-20:].mean() - 0.8) > chance_of_mean(shares.tolist(), days=20, horizon=horizon))
    assert np.mean(far) <= 0.02


@pytest.mark.parametrize(("sessions", "horizon"), [(FEWEST - 1, 1), (120, 21)])
def test_too_few_days_tell_nothing(sessions: int, horizon: int) -> None:
    assert chance_of_mean([0.7, 0.9] * (sessions // 2) + [0.8] * (sessions % 2), days=20, horizon=horizon) == float("inf")


def sums(losses: np.ndarray, references: np.ndarray) -> dict[str, Any]:
    return {
        "count": len(losses),
        "reference": float(references.sum()),
        "squared": float((losses**2).sum()),
        "product": float((losses * references).sum()),
        "reference_squared": float((references**2).sum()),
    }


def test_the_uncertainty_of_a_ratio_is_that_of_repeated_records(rng: np.random.Generator) -> None:
    references = rng.gamma(1.0, size=(4000, 300))
    losses = references * rng.uniform(0.5, 1.5, references.shape)
    ratios = losses.sum(axis=1) / references.sum(axis=1)
    rows = zip(ratios.tolist(), losses, references, strict=True)
    claimed = [excess_of_ratio(ratio, **sums(loss, reference)).chance for ratio, loss, reference in rows]
    assert np.mean(claimed) == pytest.approx(LIKELY * ratios.std(), rel=0.05)


def test_only_a_loss_above_the_references_is_a_fault(rng: np.random.Generator) -> None:
    references = rng.gamma(1.0, size=500)
    worse, better = (factor * references * rng.uniform(0.9, 1.1, 500) for factor in (1.3, 0.7))
    assert excess_of_ratio(1.3, **sums(worse, references)).is_nearly_certain
    assert not excess_of_ratio(0.7, **sums(better, references)).is_likely_real


def test_few_sessions_prove_nothing(rng: np.random.Generator) -> None:
    references = rng.gamma(1.0, size=FEWEST)
    few, enough = (excess_of_ratio(2.0, **sums(2 * references[:count], references[:count])) for count in (FEWEST - 1, FEWEST))
    assert (few.is_likely_real, enough.is_likely_real) == (False, True)


@pytest.mark.parametrize("count", [FEWEST, 60, 250])
def test_at_most_two_of_a_hundred_records_like_the_reference_look_like_a_fault(count: int, rng: np.random.Generator) -> None:
    references = rng.gamma(1.0, size=(4000, count))
    losses = references * rng.uniform(0.5, 1.5, references.shape)
    ratios = losses.sum(axis=1) / references.sum(axis=1)
    rows = zip(ratios.tolist(), losses, references, strict=True)
    assert np.mean([excess_of_ratio(ratio, **sums(loss, reference)).is_likely_real for ratio, loss, reference in rows]) <= 0.02


def test_a_loss_that_equals_the_references_has_no_uncertainty(rng: np.random.Generator) -> None:
    references = rng.gamma(1.0, size=50)
    same = excess_of_ratio(1.0, **sums(references, references))
    assert same.chance == pytest.approx(0.0, abs=1e-6)
