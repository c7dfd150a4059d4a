"""The fit of the lead model recovers what a simulated market does, and trusts only what held-back days confirm."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.model.features import compute_features
from forecasting.pipeline.model.lead_fitting import fit_leads
from forecasting.pipeline.model.lead_moves import LeadMarkets
from forecasting.pipeline.model.leads import ExchangeLeads, LeadModel, own_returns
from tests.pipeline.lead_data import following_bars, lead_bars, tokyo
from tests.pipeline.market_data import TINY, rescaled

SPY = lead_bars()
MARKETS = LeadMarkets({"SPY": SPY})
BETA = 0.4


def fitted(histories: list[tuple[str, pd.DataFrame]], markets: LeadMarkets = MARKETS) -> ExchangeLeads:
    return fit_leads(histories, markets, TINY).exchanges["XTKS"]


@pytest.fixture(scope="module")
def model() -> ExchangeLeads:
    return fitted(tokyo(SPY, [BETA] * 6))


def test_the_true_beta_is_recovered(model: ExchangeLeads) -> None:
    assert model.leads == ("SPY",)
    assert model.betas == pytest.approx((BETA, 0.0), abs=0.03)
    assert model.test.passed
    assert model.test.t is not None
    assert model.test.t < -5


def test_the_effect_of_the_own_last_return_is_recovered() -> None:
    bars = [(f"{1000 + seed}.T", following_bars(SPY, BETA, seed=seed, own=-0.2)) for seed in range(6)]

    assert fitted(bars).betas == pytest.approx((BETA, -0.2), abs=0.04)


def test_betas_of_a_symbol_are_shrunk_to_its_exchanges(model: ExchangeLeads) -> None:
    mixed = fitted(tokyo(SPY, [0.2] * 5 + [0.7]))
    common, stronger = mixed.betas[0], mixed.symbols["1005.T"][0]

    assert common == pytest.approx((5 * 0.2 + 0.7) / 6, abs=0.05)
    assert common + 0.1 < stronger < 0.65
    assert mixed.of("9999.T").betas == mixed.betas
    assert mixed.of("1005.T").betas == mixed.symbols["1005.T"]


def test_a_symbol_with_few_rows_stays_closer_to_its_exchange() -> None:
    few = fitted([*tokyo(SPY, [0.2] * 5), ("2000.T", following_bars(SPY, 0.7, count=150, seed=5))])
    many = fitted([*tokyo(SPY, [0.2] * 5), ("2000.T", following_bars(SPY, 0.7, count=700, seed=5))])

    assert few.betas[0] < few.symbols["2000.T"][0] < many.symbols["2000.T"][0] - 0.1


def test_the_width_shrinks_by_what_the_leads_explain_and_keeps_the_coverage(model: ExchangeLeads) -> None:
    moves = np.array([[0.0], [1.0], [2.0]])
    assert model.of("9999.T").factor(moves) == pytest.approx(np.full(3, np.sqrt(1 - BETA**2)), abs=0.06)

    table = compute_features(following_bars(SPY, BETA, seed=50), TINY)
    known = MARKETS.standardised("XTKS", table.dates)[:, 0]
    rows = np.isfinite(known) & np.isfinite(table.target)
    normal = np.repeat([[-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645]], rows.sum(), axis=0)
    led = model.of("9999.T").apply(normal, known[rows, None], own_returns(table, TINY)[rows])
    inside = (led[:, 1] <= table.target[rows]) & (table.target[rows] <= led[:, 5])
    assert inside.mean() == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_a_market_that_follows_nothing_does_not_pass(seed: int) -> None:
    noise = LeadMarkets({"SPY": lead_bars(seed=50 + seed)})

    assert not fitted(tokyo(SPY, [BETA] * 4), noise).test.passed


def test_a_market_that_ceases_to_follow_before_the_held_back_days_does_not_pass() -> None:
    histories = [
        (symbol, pd.concat([bars.iloc[:490], _continued(other.iloc[490:], bars["close"].iloc[489])]))
        for (symbol, bars), (_, other) in zip(tokyo(SPY, [BETA] * 6), tokyo(SPY, [-0.3] * 6), strict=True)
    ]

    assert not fitted(histories).test.passed


def _continued(bars: pd.DataFrame, last_close: float) -> pd.DataFrame:
    return rescaled(bars, slice(None), last_close / bars["open"].iloc[0])


def test_exchanges_without_leads_and_short_histories_are_left_out() -> None:
    bars = following_bars(SPY, BETA)
    assert fit_leads([("AKBNK.IS", bars), ("PETR4.SA", bars), ("7203.T", bars.tail(60))], MARKETS, TINY) == LeadModel({})


def test_without_bars_of_the_leads_there_is_no_fit() -> None:
    assert fit_leads(tokyo(SPY, [BETA]), LeadMarkets({}), TINY) == LeadModel({})


def test_the_model_says_which_days_it_has_seen(model: ExchangeLeads) -> None:
    days = following_bars(SPY, BETA).index
    assert date(2018, 1, 2) < model.first < model.through == days[-1].date()
    assert {*model.symbols} == {f"{1000 + number}.T" for number in range(6)}


def test_bars_of_leads_after_the_last_target_change_no_bit(model: ExchangeLeads) -> None:
    later = int((SPY.index < pd.Timestamp(model.through)).sum())  # the same date ends after Tokyo's last session
    changed = LeadMarkets({"SPY": rescaled(SPY, slice(later, None), 1.4)})

    assert fitted(tokyo(SPY, [BETA] * 6), changed) == model
