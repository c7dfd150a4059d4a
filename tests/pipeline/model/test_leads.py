"""The lead model's coefficients: what they change in a forecast, the gate, and their JSON."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from forecasting.pipeline.model.features import compute_features
from forecasting.pipeline.model.lead_moves import LeadMove
from forecasting.pipeline.model.leads import LeadModel, LeadTest, SymbolLeads, own_returns
from tests.pipeline.lead_data import exchange_leads
from tests.pipeline.market_data import TINY, simulated_bars

QUANTILES = np.array([[-1.6, -1.0, -0.5, 0.1, 0.6, 1.0, 1.6]])
SPY = LeadMove(symbol="SPY", session=date(2024, 7, 3), percentage=1.0, standardised=2.0)
TOKYO = exchange_leads()
MODEL = LeadModel({"XTKS": TOKYO})


def shifted(symbol: str, *, exchange: str = "XTKS", own: float = 1.0) -> list[float]:
    lead = MODEL.lead(symbol, exchange, (SPY,))
    assert lead
    return [float(value) for value in lead.apply(QUANTILES, np.array([own]))[0]]


def test_the_quantiles_move_with_the_median_and_their_distance_from_it_is_multiplied() -> None:
    median, factor = 0.1 + 0.3 * 2.0 - 0.1 * 1.0, 0.8 + 0.1 * 2.0

    assert shifted("9984.T") == pytest.approx((median + factor * (QUANTILES[0] - 0.1)).tolist())


def test_a_symbol_of_the_fit_has_betas_of_its_own() -> None:
    assert shifted("7203.T")[3] == pytest.approx(0.1 + 0.5 * 2.0)


def test_extreme_moves_are_clipped_and_the_width_is_bounded() -> None:
    coefficients = SymbolLeads(leads=("SPY",), betas=(0.3, -0.1), width=(0.8, 0.5))
    moves = np.array([[-50.0], [-8.0], [0.0]])

    assert coefficients.factor(moves).tolist() == [2.0, 2.0, 0.8]
    wild, clipped, _ = coefficients.apply(np.repeat(QUANTILES, 3, axis=0), moves, np.array([30.0, 8.0, 0.0]))
    np.testing.assert_array_equal(wild, clipped)


def test_quantiles_stay_in_order() -> None:
    rng = np.random.default_rng(0)
    coefficients = SymbolLeads(leads=("SPY",), betas=(0.3, -0.1), width=(0.1, -0.5))
    rows = np.sort(rng.standard_normal((500, 7)), axis=1)

    assert (np.diff(coefficients.apply(rows, 5 * rng.standard_normal((500, 1)), rng.standard_normal(500)), axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("t", "region_t", "passed"),
    [
        (-1.65, 0.0, True),
        (-1.64, 0.0, False),
        (-0.2, -1.65, True),
        (1.0, -3.8, True),
        (1.01, -3.8, False),
        (-0.2, -1.6, False),
        (None, -3.8, False),
    ],
)
def test_an_exchange_passes_by_itself_or_with_its_region(t: float | None, region_t: float, passed: bool) -> None:
    assert LeadTest(days=200, t=t, region_t=region_t).passed is passed


def test_an_exchange_that_has_not_passed_has_no_effect() -> None:
    failed = LeadModel({"XTKS": exchange_leads(t=2.0)})

    assert failed.of("7203.T", "XTKS") is None
    assert failed.lead("7203.T", "XTKS", (SPY,)) is None


def test_without_all_moves_or_coefficients_there_is_no_lead() -> None:
    nikkei = replace(SPY, symbol="^N225")

    assert MODEL.lead("7203.T", "XTKS", None) is None
    assert MODEL.lead("7203.T", "XTKS", (nikkei,)) is None
    assert MODEL.lead("7203.T", "XTKS", (SPY, nikkei)) is None
    assert MODEL.lead("PETR4.SA", "BVMF", (SPY,)) is None


def test_an_exchange_with_the_sessions_of_another_one_has_its_coefficients() -> None:
    assert LeadModel({"XBOM": TOKYO}).of("INFY.NS", "XNSE") == TOKYO.of("INFY.NS")


def test_json_gives_the_same_model_back() -> None:
    assert LeadModel.from_json(json.loads(json.dumps(MODEL.as_json()))) == MODEL
    assert MODEL.through == date(2018, 12, 28)
    assert LeadModel({}).through is None


def test_own_returns_are_in_units_of_that_days_volatility() -> None:
    bars = simulated_bars(60)
    table = compute_features(bars, TINY)

    expected = np.log(bars["close"]).diff().to_numpy()[-len(table.dates) :] / table.volatility
    np.testing.assert_allclose(own_returns(table, TINY), expected)
