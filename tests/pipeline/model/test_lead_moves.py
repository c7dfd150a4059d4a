"""Moves of leads: added up over sessions, in percent and in units of volatility, and only if every bar is there."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.model.lead_moves import BARS_NEEDED, LeadMarkets
from forecasting.prices.leads import lead_window
from tests.pipeline.lead_data import lead_bars
from tests.pipeline.market_data import rescaled

SPY = lead_bars()
NIKKEI = lead_bars(exchange="XTKS", seed=2)
ORDINARY = date(2019, 3, 6)
GOLDEN_WEEK = date(2019, 4, 26)  # Tokyo opened again on 7 May


def moved(bars: pd.DataFrame, exchange: str = "XTKS", as_of: date = ORDINARY) -> tuple[float, float] | None:
    found = LeadMarkets({"SPY": bars}).moves(exchange, as_of)
    return (found[0].percentage, found[0].standardised) if found else None


def test_a_move_is_from_close_to_close() -> None:
    (move,) = LeadMarkets({"SPY": SPY}).moves("XTKS", ORDINARY) or ()
    closes = SPY["close"]

    assert (move.symbol, move.session) == ("SPY", ORDINARY)
    assert move.percentage == pytest.approx(100 * (closes["2019-03-06"] / closes["2019-03-05"] - 1))


def test_moves_on_holidays_of_the_exchange_are_added_up() -> None:
    (move,) = LeadMarkets({"SPY": SPY}).moves("XTKS", GOLDEN_WEEK) or ()

    assert move.session == date(2019, 5, 6)
    assert move.percentage == pytest.approx(100 * (SPY["close"]["2019-05-06"] / SPY["close"]["2019-04-25"] - 1))


def test_a_move_is_measured_by_the_volatility_before_it() -> None:
    percentage, standardised = moved(SPY) or (0.0, 0.0)
    returns = np.log(SPY["close"][: pd.Timestamp("2019-03-05")]).diff()
    weights = 0.94 ** np.arange(60)
    recent = np.sqrt((returns.to_numpy()[:-61:-1] ** 2 * weights).sum() / weights.sum())
    long = np.sqrt((returns.tail(250) ** 2).mean())

    assert standardised == pytest.approx(np.log1p(percentage / 100) / np.sqrt(recent * long))


def test_europe_has_the_moves_of_both_leads_in_the_order_of_the_table() -> None:
    moves = LeadMarkets({"^N225": NIKKEI, "SPY": SPY}).moves("XETR", ORDINARY) or ()

    assert [(move.symbol, move.session) for move in moves] == [("SPY", ORDINARY), ("^N225", date(2019, 3, 7))]


def test_there_are_no_moves_without_each_of_the_leads() -> None:
    assert LeadMarkets({"SPY": SPY}).moves("XETR", ORDINARY) is None
    assert LeadMarkets({}).moves("XTKS", ORDINARY) is None


def test_there_are_no_moves_if_a_lead_was_closed() -> None:
    assert lead_window("XTKS", date(2018, 7, 4)) is None
    assert moved(SPY, as_of=date(2018, 7, 4)) is None


@pytest.mark.parametrize("missing", ["2019-04-25", "2019-05-01", "2019-05-06"])
def test_there_are_no_moves_if_any_session_of_the_window_has_no_bar(missing: str) -> None:
    assert moved(SPY, as_of=GOLDEN_WEEK)
    assert moved(SPY.drop(pd.Timestamp(missing)), as_of=GOLDEN_WEEK) is None


def test_there_are_no_moves_from_bars_that_end_before_the_last_session() -> None:
    assert moved(SPY[: pd.Timestamp(ORDINARY)]) == moved(SPY)
    assert moved(SPY[: pd.Timestamp("2019-03-05")]) is None


def test_a_lead_needs_a_year_of_bars() -> None:
    upto = SPY[: pd.Timestamp(ORDINARY)]

    assert moved(upto.tail(BARS_NEEDED + 1)) == moved(SPY)
    assert moved(upto.tail(BARS_NEEDED)) is None


def test_bars_after_the_window_change_no_bit() -> None:
    later = slice(int((SPY.index <= pd.Timestamp(ORDINARY)).sum()), None)

    assert moved(rescaled(SPY, later, 1.3)) == moved(SPY)


def test_standardised_moves_of_sessions_without_moves_are_nan() -> None:
    days = pd.DatetimeIndex(["2018-07-03", "2018-07-04", "2018-07-05"])
    rows = LeadMarkets({"SPY": SPY}).standardised("XTKS", days)

    assert rows.shape == (3, 1)
    assert np.isnan(rows[:, 0]).tolist() == [False, True, False]
    assert LeadMarkets({}).standardised("XETR", days).shape == (3, 2)
