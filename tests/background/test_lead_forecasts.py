"""Forecasts that know other markets: issued once, after these have closed and before the target session opens."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from time_machine import TimeMachineFixture

from forecasting import scoring, serving
from forecasting.background import daily, lead_forecasts
from forecasting.models import Forecast, PriceBar, Symbol
from forecasting.models.forecasts import Basis
from forecasting.pipeline.model.lead_moves import BARS_NEEDED as LEAD_BARS
from tests.factories import add_bar, add_bars, make_symbol
from tests.fake_yahoo import FakeYahoo, generated_bars, scenarios
from tests.small_model import BARS_NEEDED, publish_model

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("folder")]

TUESDAY, WEDNESDAY = date(2025, 6, 3), date(2025, 6, 4)
CLOSE = datetime(2025, 6, 3, 20, 0, tzinfo=UTC)  # of New York
OPEN = datetime(2025, 6, 4, 0, 0, tzinfo=UTC)  # of Tokyo
KNOWN = CLOSE + timedelta(minutes=15)


@pytest.fixture(autouse=True)
def evening(time_machine: TimeMachineFixture) -> None:
    """An hour after the close of New York."""
    time_machine.move_to(CLOSE + timedelta(hours=1))


def listed(ticker: str = "7203.T", **values: Any) -> Symbol:
    """A symbol with bars up to Tuesday."""
    symbol = make_symbol(ticker, **values)
    add_bars(symbol, count=max(BARS_NEEDED, LEAD_BARS + 5), end=TUESDAY)
    return symbol


def test_a_forecast_knows_what_its_lead_did_since_the_last_close() -> None:
    tokyo, lead = listed(), listed("SPY", followed=False)
    assert lead_forecasts.issue_due() == 1
    alone, knowing = Forecast.objects.filter(horizon=1).order_by("basis")
    *_, before, last = PriceBar.objects.of(lead).values_list("close", flat=True)
    assert (knowing.basis, knowing.symbol, knowing.as_of, knowing.target_date) == (Basis.LEAD, tokyo, TUESDAY, WEDNESDAY)
    assert (knowing.known_until, knowing.target_opens) == (KNOWN, OPEN)
    (move,) = knowing.leads or []
    assert (move["symbol"], move["session"]) == ("SPY", "2025-06-03")
    assert move["percentage"] == pytest.approx(100 * (last / before - 1))
    assert (alone.basis, alone.price, alone.leads) == (Basis.CLOSE, knowing.last_close, None)
    assert (knowing.price > alone.price) == (move["percentage"] > 0)
    assert (knowing.probability_up > 0.5) == (move["percentage"] > 0)


def test_it_is_what_a_request_gets() -> None:
    listed(), listed("SPY", followed=False)
    lead_forecasts.issue_due()
    (prediction,) = serving.predict(["7203.T"], now=CLOSE + timedelta(hours=2), budget_s=5)
    assert prediction.forecast
    assert (prediction.forecast.basis, prediction.forecast.point_forecast) == (Basis.LEAD, "lead")


@pytest.mark.parametrize("moment", [KNOWN - timedelta(seconds=1), OPEN - timedelta(minutes=5), OPEN + timedelta(hours=1)])
def test_it_is_issued_neither_before_the_lead_is_known_nor_shortly_before_the_session(
    moment: datetime, time_machine: TimeMachineFixture
) -> None:
    listed(), listed("SPY", followed=False)
    time_machine.move_to(moment)
    assert lead_forecasts.issue_due() == 0
    assert not Forecast.objects.filter(basis=Basis.LEAD).exists()


def test_it_is_issued_once_and_never_revised() -> None:
    listed()
    lead = listed("SPY", followed=False)
    lead_forecasts.issue_due()
    issued = list(Forecast.objects.values())
    PriceBar.objects.filter(symbol=lead, date=TUESDAY).update(close=1.0, low=1.0)
    assert lead_forecasts.issue_due() == 0
    assert list(Forecast.objects.values()) == issued


def test_a_version_that_begins_to_serve_before_the_session_knows_the_leads_too() -> None:
    tokyo = listed()
    listed("SPY", followed=False)
    lead_forecasts.issue_due()
    version = publish_model(tokyo)
    assert lead_forecasts.issue_due() == 1
    (prediction,) = serving.predict(["7203.T"], now=CLOSE + timedelta(hours=2), budget_s=5)
    assert prediction.forecast
    assert (prediction.forecast.basis, prediction.forecast.version) == (Basis.LEAD, version)
    assert lead_forecasts.issue_due() == 0


def test_it_waits_for_the_bar_of_its_lead(folder: Path) -> None:
    listed()
    lead = listed("SPY", followed=False)
    PriceBar.objects.filter(symbol=lead, date=TUESDAY).delete()
    assert lead_forecasts.issue_due() == 0
    add_bar(lead, TUESDAY, 101.0)
    assert lead_forecasts.issue_due() == 1


def test_a_symbol_whose_own_last_bar_is_missing_waits_for_it() -> None:
    tokyo = listed()
    listed("SPY", followed=False)
    PriceBar.objects.filter(symbol=tokyo, date=TUESDAY).delete()
    assert lead_forecasts.issue_due() == 0
    add_bar(tokyo, TUESDAY, 101.0)
    assert lead_forecasts.issue_due() == 1


def test_exchanges_without_leads_have_none() -> None:
    for ticker in ("PETR4.SA", "AAPL", "THYAO.IS", "SPY"):
        listed(ticker)
    assert lead_forecasts.issue_due() == 0


def test_the_number_of_queries_does_not_depend_on_the_number_of_symbols() -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert lead_forecasts.issue_due() == Symbol.objects.followed().count()
        Forecast.objects.all().delete()
        return len(captured)

    listed("7203.T"), listed("SPY", followed=False)
    lead_forecasts.issue_due()  # installs the base
    Forecast.objects.all().delete()
    one = queries()
    for ticker in ("4063.T", "4502.T", "6758.T"):
        listed(ticker)
    assert queries() == one


def test_a_lead_whose_market_was_closed_is_not_taken_for_a_lead_that_did_not_move(time_machine: TimeMachineFixture) -> None:
    tokyo, lead = make_symbol("7203.T"), make_symbol("SPY", followed=False)
    for symbol in (tokyo, lead):
        add_bars(symbol, count=LEAD_BARS + 5, end=date(2025, 7, 4))  # a holiday in New York
    time_machine.move_to(datetime(2025, 7, 4, 21, tzinfo=UTC))
    assert lead_forecasts.issue_due() == 0


def test_outcomes_of_one_basis_do_not_change_the_width_of_the_other(time_machine: TimeMachineFixture) -> None:
    tokyo = listed()
    lead = listed("SPY", followed=False)
    lead_forecasts.issue_due()
    knowing = Forecast.objects.get(basis=Basis.LEAD)
    alone = Forecast.objects.of_next_close().get()
    add_bar(tokyo, WEDNESDAY, (alone.interval_low + alone.interval_high) / 2)
    add_bar(lead, WEDNESDAY, 100.0)
    assert scoring.score_due() == 2
    assert {score.basis for score in knowing.scores.all()} == {Basis.LEAD}
    time_machine.move_to(CLOSE + timedelta(days=1, hours=1))
    assert lead_forecasts.issue_due() == 1
    factors = {each.basis: each.spread_factor for each in Forecast.objects.filter(as_of=WEDNESDAY, horizon=1)}
    inside = {each.basis: each.scores.get().inside_interval for each in (alone, knowing)}
    assert (factors[Basis.LEAD] == factors[Basis.CLOSE]) == (inside[Basis.LEAD] == inside[Basis.CLOSE])


def test_the_daily_job_keeps_the_prices_of_leads_and_nothing_else_of_them(folder: Path) -> None:
    make_symbol("7203.T")
    for ticker in ("7203.T", "SPY"):
        generated_bars(ticker, first=date(2023, 9, 1), last=TUESDAY).to_csv(folder / f"{ticker}.csv")
    daily.run()
    lead = Symbol.objects.get(ticker="SPY")
    assert (lead.followed, PriceBar.objects.of(lead).exists(), lead.forecasts.exists()) == (False, True, False)
    assert lead_forecasts.issue_due() == 1


def test_a_run_without_anything_to_do_asks_little(django_assert_max_num_queries: Any) -> None:
    listed(), listed("SPY", followed=False)
    lead_forecasts.issue_due()
    with django_assert_max_num_queries(4):
        assert lead_forecasts.issue_due() == 0


@pytest.mark.parametrize(("last_trade", "issued"), [(CLOSE, 1), (CLOSE - timedelta(minutes=1), 0), (None, 0)])
def test_before_its_bar_settles_a_lead_is_known_if_the_source_says_that_its_session_is_over(
    yahoo: FakeYahoo, time_machine: TimeMachineFixture, last_trade: datetime | None, issued: int
) -> None:
    time_machine.move_to(KNOWN)
    listed()
    yahoo.bars["SPY"] = generated_bars("SPY", first=date(2023, 1, 3), last=TUESDAY)
    if last_trade:
        yahoo.scenarios["SPY"] = scenarios.last_traded(last_trade)
    make_symbol("SPY", followed=False)
    assert lead_forecasts.issue_due() == issued
