"""Backtests with leads: two bases, what each knows, their online calibration, and the tables about them."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.evaluation.backtest import BaseKnowsTooMuchError, Period, best, historical_forecasts, in_one
from forecasting.pipeline.evaluation.bases import by_exchange, reliability
from forecasting.pipeline.model.lead_fitting import fit_leads
from forecasting.pipeline.model.lead_moves import LeadMarkets
from forecasting.pipeline.model.leads import LeadModel
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.trained import BaseModel
from forecasting.prices.bars import between
from forecasting.prices.leads import lead_window
from tests.pipeline.lead_data import exchange_leads, following_bars, lead_bars, tokyo
from tests.pipeline.market_data import TINY, rescaled, session_bars
from tests.pipeline.serving.models import base_model
from tests.pipeline.small_trees import trees_onnx

SPY = lead_bars()
MARKETS = LeadMarkets({"SPY": SPY})
HISTORIES = [*tokyo(SPY, [0.5] * 3), ("KO", session_bars(700, first=date(2018, 1, 2)))]
DAYS = HISTORIES[0][1].index
PERIOD = Period(through=DAYS[450].date(), first=DAYS[451].date(), last=DAYS[690].date())
QUANTILES = ["q05", "q10", "q25", "q50", "q75", "q90", "q95"]
KNOWN = [(symbol, between(bars, first=None, last=PERIOD.through)) for symbol, bars in HISTORIES]


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return replace(base_model(), trees=trees_onnx(), data_end=PERIOD.through, leads=fit_leads(KNOWN, MARKETS, TINY))


def run(
    base: BaseModel, markets: LeadMarkets | None = MARKETS, histories: list[tuple[str, pd.DataFrame]] = HISTORIES
) -> pd.DataFrame:
    each = historical_forecasts(
        histories, PERIOD, TINY, base=base, own_versions=False, skipped=lambda symbol, reason: None, markets=markets
    )
    return in_one([*each])


@pytest.fixture(scope="module")
def forecasts(base: BaseModel) -> pd.DataFrame:
    return run(base)


def of(forecasts: pd.DataFrame, symbol: str, basis: str) -> pd.DataFrame:
    return forecasts[(forecasts["symbol"] == symbol) & (forecasts["basis"] == basis)].set_index("as_of")


def test_there_is_a_lead_forecast_of_each_session_whose_leads_were_known(forecasts: pd.DataFrame) -> None:
    expected = [day for day in DAYS[451:691] if lead_window("XTKS", day.date())]

    assert of(forecasts, "1000.T", "close").index.tolist() == DAYS[451:691].tolist()
    assert of(forecasts, "1000.T", "lead").index.tolist() == expected
    assert 200 < len(expected) < 240
    assert of(forecasts, "KO", "lead").empty


def test_leads_change_nothing_in_forecasts_without_them(base: BaseModel, forecasts: pd.DataFrame) -> None:
    without = run(base, None)

    assert {*without["basis"]} == {"close"}
    pd.testing.assert_frame_equal(without, forecasts[forecasts["basis"] == "close"].reset_index(drop=True), check_exact=True)


@pytest.mark.parametrize("leads", [None, LeadModel({}), LeadModel({"XTKS": exchange_leads(t=2.0)})])
def test_without_coefficients_that_passed_there_are_no_lead_forecasts(base: BaseModel, leads: LeadModel | None) -> None:
    assert {*run(replace(base, leads=leads))["basis"]} == {"close"}


def test_a_backtest_forecasts_as_live(base: BaseModel, forecasts: pd.DataFrame) -> None:
    row = of(forecasts, "1001.T", "lead").iloc[100]
    bars, as_of = HISTORIES[1][1], of(forecasts, "1001.T", "lead").index[100]
    assert base.leads
    lead = base.leads.lead("1001.T", "XTKS", MARKETS.moves("XTKS", as_of.date()))
    live = Forecaster(base).forecast(bars[:as_of], lead=lead)
    ratio = np.log(row["q90"] / row["q50"]) / np.log(live.quantiles["0.9"] / live.price)  # the online factor

    assert row["q50"] == pytest.approx(live.price)
    assert np.log(row["q05"] / row["q50"]) == pytest.approx(ratio * np.log(live.quantiles["0.05"] / live.price))
    assert ratio != pytest.approx(1.0, abs=1e-4)


def test_each_basis_adapts_to_its_own_outcomes(base: BaseModel, forecasts: pd.DataFrame) -> None:
    assert base.leads
    wide = replace(base.leads.exchanges["XTKS"], width=(2.0, 0.0))
    other = run(replace(base, leads=LeadModel({"XTKS": wide})))

    pd.testing.assert_frame_equal(of(other, "1000.T", "close"), of(forecasts, "1000.T", "close"), check_exact=True)
    assert (of(other, "1000.T", "lead")["q90"].iloc[-50:] > of(forecasts, "1000.T", "lead")["q90"].iloc[-50:]).all()


def test_the_best_forecast_of_a_session_is_that_with_leads(forecasts: pd.DataFrame) -> None:
    served = best(forecasts)

    assert not served.duplicated(["symbol", "as_of"]).any()
    assert (served["basis"] == "lead").sum() == (forecasts["basis"] == "lead").sum()
    assert len(served) == (forecasts["basis"] == "close").sum()


def test_a_lead_model_that_saw_later_bars_is_refused(base: BaseModel) -> None:
    later = exchange_leads(through=PERIOD.through + timedelta(days=1))

    with pytest.raises(BaseKnowsTooMuchError, match=r"leads\.json has seen bars up to"):
        run(replace(base, leads=LeadModel({"XTKS": later})))


@pytest.mark.parametrize("position", [500, 600])
def test_what_a_lead_does_after_a_forecast_changes_no_bit_of_it(base: BaseModel, forecasts: pd.DataFrame, position: int) -> None:
    window = lead_window("XTKS", DAYS[position].date())
    assert window
    known = SPY.index <= pd.Timestamp(window.sessions["SPY"][-1])
    changed = run(base, LeadMarkets({"SPY": rescaled(SPY, slice(int(known.sum()), None), 1.5)}))
    until = forecasts["as_of"] <= DAYS[position]

    pd.testing.assert_frame_equal(changed[changed["as_of"] <= DAYS[position]], forecasts[until], check_exact=True)
    assert not changed["q50"].equals(forecasts["q50"])


@pytest.mark.parametrize("position", [500, 600])
def test_bars_after_a_session_change_no_bit_of_its_forecasts(base: BaseModel, forecasts: pd.DataFrame, position: int) -> None:
    changed = run(base, histories=[(symbol, rescaled(bars, slice(position + 1, None), 1.5)) for symbol, bars in HISTORIES[:3]])
    until = (forecasts["as_of"] <= DAYS[position]) & (forecasts["symbol"] != "KO")

    pd.testing.assert_frame_equal(
        changed[changed["as_of"] <= DAYS[position]].reset_index(drop=True),
        forecasts[until].reset_index(drop=True),
        check_exact=True,
    )


def test_bars_after_the_fit_change_no_bit_of_the_lead_model(base: BaseModel) -> None:
    after = int((SPY.index < pd.Timestamp(PERIOD.through)).sum())
    changed = LeadMarkets({"SPY": rescaled(SPY, slice(after, None), 1.5)})

    assert fit_leads(KNOWN, changed, TINY) == base.leads


def test_the_table_by_exchange_shows_the_gain_where_there_is_one(forecasts: pd.DataFrame) -> None:
    table = by_exchange(forecasts, dict(HISTORIES), TINY)

    figures = table.to_dict("index")
    tokyo, new_york = figures["XTKS"], figures["XNYS"]
    assert tokyo["MAE / naive"] < 0.95
    assert tokyo["best"] < tokyo["close"]
    assert tokyo["t"] < -3
    assert tokyo["coverage"] == pytest.approx(0.8, abs=0.06)
    assert (new_york["with leads"], new_york["best"]) == (0, new_york["close"])


def test_probabilities_of_a_rise_come_true(forecasts: pd.DataFrame) -> None:
    table = reliability(forecasts, dict(HISTORIES))

    assert table["forecasts"].sum() == pytest.approx((forecasts["basis"] == "lead").sum(), abs=3)
    assert table["probability"].is_monotonic_increasing
    assert np.corrcoef(table["probability"], table["rose"])[0, 1] > 0.9


def test_there_are_no_tables_without_outcomes(forecasts: pd.DataFrame) -> None:
    until = {symbol: bars[: DAYS[690]] for symbol, bars in HISTORIES}
    assert by_exchange(forecasts[forecasts["as_of"] == DAYS[690]], until, TINY).empty
    assert reliability(forecasts[forecasts["basis"] == "close"], dict(HISTORIES)).empty


def test_a_symbol_that_was_not_in_the_fit_is_forecast_with_its_exchanges_coefficients(base: BaseModel) -> None:
    assert not of(run(base, histories=[("9999.T", following_bars(SPY, 0.5, seed=9))]), "9999.T", "lead").empty
