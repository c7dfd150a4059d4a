"""Brier scores of backtests and of base rates on later days."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.evaluation.direction import backtest_brier, direction_facts, later_days
from forecasting.pipeline.model.base_rates import BaseRates, ClassRate, fit_rates
from tests.pipeline.model.test_base_rates import class_rate, drifting

SPREAD = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
COLUMNS = ["q05", "q10", "q25", "q50", "q75", "q90", "q95"]
KNOWN = class_rate()  # 0.54 before 2015-06-01


def backtest(closes: list[float], *, medians: list[float] | None = None, first: date = date(2020, 1, 1)) -> pd.DataFrame:
    """Forecasts of all closes but the first one; the median is the last close, if not given."""
    days = pd.bdate_range(first, periods=len(closes))
    last = np.array(closes[:-1])
    quantiles = np.array(medians or last)[:, None] + SPREAD
    frame = pd.DataFrame({"as_of": days[:-1], "target_date": days[1:], "last_close": last, "actual_close": closes[1:]})
    return frame.assign(**dict(zip(COLUMNS, quantiles.T, strict=True)))


def test_it_is_null_if_the_probability_is_always_a_half() -> None:
    assert backtest_brier(backtest([50.0, 51.0, 50.0]), None) is None


def test_the_base_rate_by_hand_without_the_session_that_did_not_move() -> None:
    closes = [50.0, 51.0, 51.0, 52.0, 51.5]

    assert backtest_brier(backtest(closes), KNOWN) == pytest.approx((0.46**2 + 0.46**2 + 0.54**2) / 3)


def test_sessions_that_the_rate_had_seen_do_not_count() -> None:
    """The rate is that of the days before 1 June 2015, a Monday."""
    frame = backtest([50.0, 51.0, 52.0, 51.0], first=date(2015, 5, 28))

    assert frame["target_date"].iloc[1] == pd.Timestamp("2015-06-01")
    assert backtest_brier(frame, KNOWN) == pytest.approx((0.46**2 + 0.54**2) / 2)
    assert backtest_brier(backtest([50.0, 51.0], first=date(2010, 1, 1)), KNOWN) is None


def test_a_median_of_the_model_has_the_probability_of_its_quantiles() -> None:
    """Where the quantile of 25 % is the last close, a rise has 75 %, whatever the class."""
    frame = backtest([50.0, 51.0, 50.0], medians=[51.0, 52.0])

    for known in (KNOWN, None):
        assert backtest_brier(frame, known) == pytest.approx((0.25**2 + 0.75**2) / 2)


@pytest.mark.parametrize(("share", "against"), [(0.54, False), (0.52, False), (0.42, True)])
def test_a_symbol_that_falls_while_its_class_rises_does_without_the_rate(share: float, against: bool) -> None:
    closes = drifting([share], seed=4)["close"]
    facts = direction_facts(closes, backtest([50.0, 51.0, 50.0]), KNOWN)

    assert facts["against_base_rate"] is against
    assert (facts["brier"] is None) is against
    assert direction_facts(closes, backtest([50.0, 51.0, 50.0]), None) == {"brier": None, "against_base_rate": False}


def of_classes(*rates: float) -> dict[str, ClassRate]:
    return fit_rates([("XNYS", drifting(rates, seed=seed).iloc[:1_500]) for seed in range(3)]).classes


def test_later_days_are_those_after_the_fit() -> None:
    rates = BaseRates(of_classes(0.56))
    found = later_days(rates, [("XNYS", drifting([0.56], seed=seed)) for seed in range(3)])["XNYS"]

    assert found.days == 500
    assert found.share == pytest.approx(0.56, abs=0.04)
    p, share = rates.classes["XNYS"].rate, found.share
    assert found.brier == pytest.approx(share * (1 - p) ** 2 + (1 - share) * p**2)


def test_without_later_days_or_a_fit_there_is_nothing_to_say() -> None:
    rates = BaseRates(of_classes(0.56))

    assert later_days(rates, [("XNYS", drifting([0.56], seed=1).iloc[:1_540])]) == {}
    assert later_days(rates, [("BVMF", drifting([0.56], seed=1))]) == {}
