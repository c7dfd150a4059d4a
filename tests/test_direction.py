"""Base rates in forecasts that say nothing of direction."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from forecasting import direction, registry, serving
from forecasting.background import base_training
from forecasting.models import Forecast, ModelVersion, Symbol
from forecasting.models.forecasts import Basis
from forecasting.pipeline.model.base_rates import BaseRates
from forecasting.pipeline.model.calibration import Calibration
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import RATES
from tests.factories import METRICS, add_bars, make_symbol, make_version
from tests.pipeline.model.test_base_rates import class_rate
from tests.small_model import BARS_NEEDED, publish_model

pytestmark = pytest.mark.django_db

FRIDAY = date(2024, 6, 28)
NOW = datetime(2024, 6, 28, 22, tzinfo=UTC)
AT_LAST_CLOSE = Calibration(median_weight=0.0, spread=1.0)
TAILED = {
    "0.01": 95.0,
    "0.05": 97.0,
    "0.1": 98.0,
    "0.25": 99.0,
    "0.5": 100.0,
    "0.75": 101.0,
    "0.9": 102.0,
    "0.95": 103.0,
    "0.99": 105.0,
}


def with_rates(**rates: float) -> ModelVersion:
    """The shipped base with these base rates, which have passed their test."""
    base = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))
    classes = {name: class_rate(rate=rate) for name, rate in rates.items()}
    return registry.register_base(replace(base, rates=BaseRates(classes)), decision="Made by a test.")


def answered(symbol: Symbol, **values: Any) -> Forecast:
    """The forecast of a symbol with a version of its own."""
    publish_model(symbol, **values)
    (prediction,) = serving.predict([symbol.ticker], now=NOW, budget_s=5)
    assert prediction.forecast
    return prediction.forecast


def followed(ticker: str = "SAMPLE1", **values: Any) -> Symbol:
    symbol = make_symbol(ticker, **values)
    add_bars(symbol, count=BARS_NEEDED, end=FRIDAY)
    return symbol


def test_a_forecast_of_the_last_close_has_the_base_rate_of_its_class() -> None:
    with_rates(XNYS=0.52)
    forecast = answered(followed(), calibration=AT_LAST_CLOSE)
    assert (forecast.point_forecast, forecast.probability_up) == ("last_close", 0.52)


def test_a_fund_is_no_share() -> None:
    with_rates(XNYS=0.52, **{"index or fund": 0.53})
    assert answered(followed(instrument="ETF"), calibration=AT_LAST_CLOSE).probability_up == 0.53


def test_a_class_without_a_rate_has_a_half() -> None:
    with_rates(BVMF=0.52)
    assert answered(followed(), calibration=AT_LAST_CLOSE).probability_up == 0.5


def test_a_median_of_the_model_speaks_for_itself() -> None:
    with_rates(XNYS=0.52)
    forecast = answered(followed())
    assert forecast.point_forecast == "model"
    assert forecast.probability_up == pytest.approx(0.538, abs=0.001)


def test_a_version_whose_bars_speak_against_the_rate_has_a_half() -> None:
    with_rates(XNYS=0.52)
    metrics = METRICS | {"against_base_rate": True}
    assert answered(followed(), calibration=AT_LAST_CLOSE, metrics=metrics).probability_up == 0.5


def unsaved(**values: Any) -> Forecast:
    silent: dict[str, Any] = {"last_close": 100.0, "price": 100.0, "quantiles": TAILED, "probability_up": 0.5}
    symbol = make_symbol()
    return Forecast(symbol=symbol, version=make_version(symbol), **silent | values)


@pytest.mark.parametrize("other", [{"horizon": 5}, {"basis": Basis.LEAD}, {"price": 100.1}])
def test_other_horizons_and_bases_keep_their_probability(other: dict[str, Any]) -> None:
    with_rates(XNYS=0.52)
    direction.use_base_rates([row := unsaved(**other)])
    assert (row.probability_up, row.risk) == (0.5, None)


def test_the_risk_agrees_with_the_probability_of_a_rise() -> None:
    """A tenth lies below 98 and above 102; the halves have 48 and 52 % instead of 50 each."""
    with_rates(XNYS=0.52)
    direction.use_base_rates([row := unsaved()])
    assert row.risk
    assert [row.risk["below"]["2"], row.risk["above"]["2"]] == pytest.approx([0.1 * 0.96, 0.1 * 1.04])
    before = direction.risk(TAILED, last_close=100.0)
    assert before
    assert [before["below"]["2"], before["above"]["2"]] == pytest.approx([0.1, 0.1])
    assert row.risk["value_at_risk"]["95"] < before["value_at_risk"]["95"] == pytest.approx(3.0)
    assert row.quantiles == TAILED


def test_damaged_base_rates_leave_a_half() -> None:
    base = with_rates(XNYS=0.52)
    (registry.models_root() / base.folder / RATES).write_text("{}")
    assert answered(followed(), calibration=AT_LAST_CLOSE).probability_up == 0.5


def test_a_new_base_takes_the_rates_of_stored_bars_where_they_are_more() -> None:
    """The shipped fit of New York has seen more moves than one symbol, that of this exchange does not exist."""
    registry.base_version()
    add_bars(make_symbol("AAA"), count=600)
    add_bars(make_symbol("BBB.TO"), count=600)
    add_bars(make_symbol("BTC-USD"), count=600)
    shipped = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))
    rates = base_training.with_rates(replace(shipped, rates=None)).rates
    assert shipped.rates
    assert rates
    assert rates.classes.keys() == {*shipped.rates.classes, "XTSE"}
    assert rates.classes["XNYS"] == shipped.rates.classes["XNYS"]
    assert rates.classes["XTSE"].days == 599
