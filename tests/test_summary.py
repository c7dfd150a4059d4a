"""The record of an exchange: its coverage and the band in which that may lie by chance."""

from typing import Any

import pytest

from forecasting.summary import record


def days(*shares: float, forecasts: int = 100) -> list[dict[str, Any]]:
    """Sessions with these shares of closes inside the interval."""
    return [
        {"forecasts": forecasts, "inside": round(share * forecasts), "losses": 1.0, "reference_losses": 2.0} for share in shares
    ]


def test_only_the_last_sessions_count() -> None:
    found = record("XNYS", days(*[0.0] * 10, *[0.8] * 20), sessions=20)
    assert (found.seen, found.forecasts, found.coverage, found.pinball_ratio) == (20, 2000, 0.8, 0.5)


def test_sessions_that_all_cover_too_little_are_outside_the_band() -> None:
    assert not record("XNYS", days(*[0.6, 0.65] * 125), sessions=250).is_inside


def test_one_wild_session_is_no_evidence() -> None:
    found = record("XNYS", days(*[0.8] * 19, 0.0), sessions=20)
    assert found.coverage == pytest.approx(0.76)
    assert found.is_inside


def test_a_difference_that_nobody_notices_is_inside_however_certain() -> None:
    assert record("XNYS", days(*[0.78] * 250), sessions=250).is_inside


def test_a_few_sessions_are_not_judged() -> None:
    assert record("XNYS", days(*[0.0] * 19), sessions=20).is_inside


def test_without_a_reference_there_is_no_ratio() -> None:
    assert record("XNYS", [day | {"reference_losses": None} for day in days(0.8)], sessions=20).pinball_ratio is None
