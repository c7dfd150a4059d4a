"""Forecasts during the session: which quotes count, what is computed from them, and what is kept.

New York trades on Monday, 1 July 2024, from 13:30 to 20:00 UTC.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries
from time_machine import TimeMachineFixture

from forecasting import live, scoring, serving
from forecasting.models import Forecast, LiveCalibration, ModelVersion, PriceBar, Quote, Score, Symbol
from forecasting.models.forecasts import Basis
from forecasting.prices.session_state import SessionState
from tests.api.serving import add_steady_bars, serve
from tests.factories import add_bar, make_restatement, make_symbol
from tests.racing import at_once, slow

pytestmark = pytest.mark.django_db

THURSDAY, FRIDAY, MONDAY = date(2024, 6, 27), date(2024, 6, 28), date(2024, 7, 1)


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    """A time of Monday."""
    return datetime(2024, 7, 1, hour, minute, second, tzinfo=UTC)


NOW = at(15)


def followed(ticker: str = "AAA", *, end: date = FRIDAY) -> ModelVersion:
    """The version of a symbol whose last close is 100."""
    add_steady_bars(symbol := make_symbol(ticker), end=end)
    return serve(symbol)


def quoted(symbol: Symbol, **values: Any) -> Quote:
    """The symbol's stored quote: the price of NOW is 101."""
    defaults = {"asked_at": NOW, "session": MONDAY, "time": NOW, "price": 101.0}
    numbers = {"open": 100.5, "high": 102.0, "low": 100.0, "volume": 1e6}
    return Quote.objects.update_or_create(symbol=symbol, defaults=defaults | numbers | values)[0]


def session(symbol: Symbol, *, now: datetime = NOW, **values: Any) -> live.Session:
    return live.session_of(symbol, quoted(symbol, **values), now=now)


def issue(*versions: ModelVersion, now: datetime = NOW) -> list[Forecast]:
    """Issues forecasts from the newest bars and from the quotes; the latter ones of all times."""
    served = {version.symbol: version for version in versions if version.symbol}
    serving.serve(served)
    live.issue(served, now=now)
    return list(Forecast.objects.filter(basis=Basis.LIVE).order_by("quarter", "symbol"))


@pytest.fixture
def version(time_machine: TimeMachineFixture) -> ModelVersion:
    """The version of a symbol with a quote of NOW, which it is."""
    time_machine.move_to(NOW, tick=False)
    quoted((version := followed()).symbol)  # type: ignore[arg-type] # not the base
    return version


@pytest.fixture
def symbol(version: ModelVersion) -> Symbol:
    """The symbol of the version."""
    return Symbol.objects.get()


@pytest.fixture
def close(version: ModelVersion, symbol: Symbol) -> Forecast:
    """Its forecast from Friday's bar."""
    forecasts, _ = serving.serve({symbol: version})
    return forecasts[symbol]


# Sessions


def test_a_session_under_way_has_the_price_of_its_last_quote(symbol: Symbol) -> None:
    found = session(symbol, asked_at=NOW - timedelta(seconds=30))
    assert (found.is_priced, found.price, found.price_time, found.problem, found.delayed) == (True, 101.0, NOW, None, False)
    assert found.asked_at == NOW - timedelta(seconds=30)


def test_a_price_of_more_than_five_minutes_ago_is_called_delayed(symbol: Symbol) -> None:
    assert session(symbol, time=NOW - timedelta(minutes=15)).delayed is True


@pytest.mark.parametrize(("moment", "state"), [(at(13, 29), SessionState.PRE), (at(2), SessionState.CLOSED)])
def test_before_the_open_no_quote_counts(symbol: Symbol, moment: datetime, state: SessionState) -> None:
    found = session(symbol, now=moment, session=FRIDAY, time=moment - timedelta(days=3))
    assert (found.hours.state, found.quote, found.problem, found.asked_at) == (state, None, None, None)


def test_after_the_close_a_price_is_known_but_nothing_is_forecast_from_it(symbol: Symbol) -> None:
    found = session(symbol, now=at(20, 10), time=at(19, 59))
    assert (found.hours.state, found.price, found.is_priced) == (SessionState.SETTLING, 101.0, False)


def test_a_refused_quote_withholds_the_one_before(symbol: Symbol) -> None:
    found = session(symbol, problem="two units are mixed")
    assert (found.price, found.problem) == (None, "two units are mixed")


def test_a_quote_that_has_become_old_does_not_count_however_often_it_is_asked_for(symbol: Symbol) -> None:
    found = session(symbol, time=NOW - timedelta(minutes=31))
    assert (found.price, found.is_priced) == (None, False)
    assert found.problem == "no trade known since 10:29 EDT: halted, barely traded or not reported"


@pytest.mark.parametrize(
    ("asked_at", "reason"),
    [
        (NOW, "Yahoo Finance has no price"),
        (NOW - timedelta(days=3), live.NO_PRICE_YET),
    ],
    ids=["of today", "of the session before"],
)
def test_a_quote_of_the_session_before_is_no_price_of_this_one(symbol: Symbol, asked_at: datetime, reason: str) -> None:
    found = session(symbol, session=FRIDAY, time=NOW - timedelta(days=3), asked_at=asked_at, problem="Yahoo Finance has no price")
    assert (found.price, found.problem) == (None, reason)


def test_a_price_that_nobody_has_asked_for_is_not_known_yet(symbol: Symbol) -> None:
    assert live.session_of(symbol, None, now=NOW).problem == live.NO_PRICE_YET


def test_an_exchange_without_a_live_model_is_never_under_way_and_lacks_no_price() -> None:
    swiss = make_symbol("NESN.SW")
    assert live.under_way([swiss], now=NOW) == []
    assert live.session_of(swiss, None, now=NOW).problem is None


# Forecasts


def computed(close: Forecast, *, issued_at: datetime = NOW, last_close: float = 100.0, **values: Any) -> Forecast:
    forecast = live.forecast(
        close,
        session(close.symbol, now=issued_at, **values),
        last_close=last_close,
        factor=1.0,
        restatement_id=None,
        issued_at=issued_at,
    )
    assert forecast
    return forecast


def test_the_median_is_the_price_now_and_the_interval_comes_from_the_quantiles(close: Forecast) -> None:
    forecast = computed(close)
    assert forecast.price == forecast.quantiles["0.5"] == 101.0
    assert (forecast.interval_low, forecast.interval_high) == pytest.approx((forecast.quantiles["0.1"], forecast.quantiles["0.9"]))
    assert (forecast.as_of, forecast.target_date) == (FRIDAY, MONDAY)
    assert forecast.session_fraction == pytest.approx(90 / 390)
    assert (forecast.target_opens, forecast.target_closes, forecast.quarter) == (at(13, 30), at(20), NOW)
    assert forecast.probability_up > 0.5


def test_a_split_in_between_changes_the_units_and_nothing_else(close: Forecast) -> None:
    before = computed(close)
    after = computed(close, last_close=50.0, price=50.5, open=50.25, high=51.0, low=50.0)
    assert after.quantiles == pytest.approx({level: price / 2 for level, price in before.quantiles.items()})
    assert after.reference == pytest.approx({level: price / 2 for level, price in (before.reference or {}).items()})
    assert after.probability_up == pytest.approx(before.probability_up)


def test_a_trade_in_the_future_by_a_clock_that_is_ahead_counts_as_of_now(close: Forecast) -> None:
    forecast = computed(close, issued_at=at(19, 59, 50), time=at(20, 0, 20))
    assert forecast.known_until == forecast.issued_at == at(19, 59, 50)
    assert forecast.session_fraction == pytest.approx(1 - 10 / (390 * 60))


def test_nothing_is_computed_for_an_exchange_without_a_live_model(close: Forecast) -> None:
    known = session(close.symbol)
    close.symbol.exchange = "XSWX"
    assert live.forecast(close, known, last_close=100.0, factor=1.0, restatement_id=None, issued_at=NOW) is None


# Beside the kept one


def test_the_same_quote_means_the_kept_forecast(version: ModelVersion, symbol: Symbol, close: Forecast) -> None:
    (kept,) = issue(version)
    assert live.newest(kept, close, session(symbol), now=at(15, 5)) == (kept, True)


def test_another_price_means_another_forecast_of_the_same_width_that_is_not_kept(
    version: ModelVersion, symbol: Symbol, close: Forecast
) -> None:
    LiveCalibration.objects.create(exchange="XNYS", part=1, factor=1.2, through=THURSDAY)
    (kept,) = issue(version)
    later, recorded = live.newest(kept, close, session(symbol, price=101.5, time=at(15, 1)), now=at(15, 1))
    assert (recorded, later._state.adding, later.price, later.spread_factor) == (False, True, 101.5, 1.2)
    assert (later.known_until, later.quarter, kept.price) == (at(15, 1), kept.quarter, 101.0)
    assert Forecast.objects.filter(basis=Basis.LIVE).count() == 1


def test_a_forecast_that_is_not_kept_has_the_same_outlook(version: ModelVersion, symbol: Symbol, close: Forecast) -> None:
    (kept,) = issue(version)
    close.outlook = [{"horizon": 5}]
    later, _ = live.newest(kept, close, session(symbol, price=101.5), now=NOW)
    assert later.outlook == close.outlook


def test_it_is_computed_once_for_each_quote(version: ModelVersion, symbol: Symbol, close: Forecast) -> None:
    (kept,) = issue(version)
    first, again, other = (live.newest(kept, close, session(symbol, price=price), now=NOW)[0] for price in (101.5, 101.5, 101.6))
    assert first is again
    assert (first.price, other.price) == (101.5, 101.6)


def test_a_clock_that_is_ahead_is_no_reason_to_forecast_anew(version: ModelVersion, symbol: Symbol, close: Forecast) -> None:
    quoted(symbol, time=NOW + timedelta(seconds=30))
    (kept,) = issue(version)
    assert live.newest(kept, close, session(symbol, time=NOW + timedelta(seconds=30)), now=at(15, 5)) == (kept, True)


# Keeping


def test_one_is_kept_of_each_quarter_of_an_hour(version: ModelVersion, symbol: Symbol, time_machine: TimeMachineFixture) -> None:
    for moment in (NOW, at(15, 14, 59), at(15, 15), at(15, 16)):
        time_machine.move_to(moment, tick=False)
        quoted(symbol, asked_at=moment, time=moment)
        rows = issue(version, now=moment)
    assert [(row.quarter, row.issued_at, row.known_until) for row in rows] == [(NOW, NOW, NOW), (at(15, 15),) * 3]


def test_two_at_once_keep_one(transactional_db: None, version: ModelVersion, symbol: Symbol, close: Forecast) -> None:
    with slow("INSERT", Forecast):
        at_once([lambda: live.issue({symbol: version}, now=NOW)] * 2)
    assert Forecast.objects.filter(basis=Basis.LIVE).count() == 1


def test_what_was_forecast_before_the_session_stays_as_it_was(version: ModelVersion, close: Forecast) -> None:
    before = list(Forecast.objects.order_by("pk").values())
    assert len(issue(version)) == 1
    assert list(Forecast.objects.exclude(basis=Basis.LIVE).order_by("pk").values()) == before


def test_none_is_kept_once_the_session_has_closed_meanwhile(version: ModelVersion, time_machine: TimeMachineFixture) -> None:
    quoted(Symbol.objects.get(), time=at(19, 59), asked_at=at(19, 59, 59))
    time_machine.move_to(at(20, 0, 1), tick=False)
    assert issue(version, now=at(19, 59, 59)) == []


def test_none_is_kept_if_a_bar_is_missing(time_machine: TimeMachineFixture) -> None:
    time_machine.move_to(NOW, tick=False)
    version = followed(end=THURSDAY)
    quoted(Symbol.objects.get())
    assert issue(version) == []


def test_none_is_kept_if_a_bar_comes_meanwhile(version: ModelVersion, symbol: Symbol, close: Forecast) -> None:
    add_bar(symbol, MONDAY, 101.0)
    live.issue({symbol: version}, now=NOW)
    assert not Forecast.objects.filter(basis=Basis.LIVE).exists()


def test_it_knows_the_last_restatement_and_the_last_close_in_its_units(
    version: ModelVersion, symbol: Symbol, close: Forecast
) -> None:
    PriceBar.objects.of(symbol).update(open=50.0, high=50.0, low=50.0, close=50.0)
    restatement = make_restatement(symbol, date=MONDAY, ratio=0.5)
    quoted(symbol, price=50.5, open=50.25, high=51.0, low=50.0)
    (row,) = issue(version)
    assert (row.restatement, row.last_close, row.price) == (restatement, 50.0, 50.5)
    assert 0.95 * 50.5 < row.interval_low < row.interval_high < 1.05 * 50.5


def test_before_and_after_a_split_each_is_scored_in_its_own_units(version: ModelVersion, symbol: Symbol, close: Forecast) -> None:
    PriceBar.objects.of(symbol).update(open=50.0, high=50.0, low=50.0, close=50.0)
    make_restatement(symbol, date=MONDAY, ratio=0.5)
    quoted(symbol, price=50.5, open=50.25, high=51.0, low=50.0)
    issue(version)
    add_bar(symbol, MONDAY, 51.0)
    assert scoring.score_due() == 2
    assert {score.basis: score.actual_close for score in Score.objects.all()} == {"close": 102.0, "live": 51.0}


def test_later_prices_do_not_change_one(version: ModelVersion, symbol: Symbol) -> None:
    (first,) = issue(version)
    again = computed(serving.serve({symbol: version})[0][symbol])
    quoted(symbol, price=150.0, high=150.0, time=at(15, 1))
    names = ("price", "quantiles", "reference", "interval_low", "interval_high", "probability_up", "risk")
    assert [getattr(issue(version)[0], name) for name in names] == [getattr(first, name) for name in names]
    assert [getattr(again, name) for name in names] == [getattr(first, name) for name in names]


@pytest.mark.parametrize("count", [1, 5])
def test_the_number_of_queries_does_not_depend_on_the_number_of_symbols(
    time_machine: TimeMachineFixture, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(live, "MODEL_SECONDS", 10**9)  # the minute may turn meanwhile
    time_machine.move_to(NOW, tick=False)
    versions = {version.symbol: version for version in map(followed, [f"A{number}" for number in range(count)]) if version.symbol}
    serving.serve(versions)
    for symbol in versions:
        quoted(symbol)
    live.current_model()
    with CaptureQueriesContext(connection) as captured:
        live.issue(versions, now=NOW)
    assert (len(captured), Forecast.objects.filter(basis=Basis.LIVE).count()) == (7, count)


def test_it_is_no_query_while_the_market_is_closed(
    version: ModelVersion, symbol: Symbol, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        live.issue({symbol: version}, now=at(13))


def test_the_next_forecast_has_the_learned_width(version: ModelVersion, symbol: Symbol) -> None:
    (first,) = issue(version)
    Forecast.objects.filter(pk=first.pk)._raw_delete("default")
    LiveCalibration.objects.create(exchange="XNYS", part=1, factor=1.2, through=FRIDAY)
    LiveCalibration.objects.create(exchange="XNYS", part=2, factor=3.0, through=FRIDAY)
    (second,) = issue(version)
    assert second.interval_high / 101.0 == pytest.approx((first.interval_high / 101.0) ** 1.2)
