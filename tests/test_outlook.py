"""The outlook: forecasts of 5, 10 and 21 sessions ahead, issued once with the forecast of the next session."""

import math
from datetime import date

import pytest
from pytest_django import DjangoAssertNumQueries

from forecasting import market, scoring, serving
from forecasting.models import Forecast, ModelVersion, Symbol
from forecasting.models.forecasts import Basis
from forecasting.models.standing import STANDING, Identity, kept
from forecasting.pipeline.model.adaptation import horizon_factor
from forecasting.pipeline.serving.forecaster import Forecaster
from tests.factories import add_bar, add_bars, make_forecast, make_symbol
from tests.small_model import BARS_NEEDED, HORIZONS, publish_model, trained_model

pytestmark = pytest.mark.django_db

FRIDAY = date(2024, 6, 28)
TARGETS = {1: date(2024, 7, 1), 5: date(2024, 7, 8), 10: date(2024, 7, 15), 21: date(2024, 7, 30)}  # 4 July is a holiday


def served(ticker: str = "SAMPLE1", **values: object) -> ModelVersion:
    symbol = make_symbol(ticker, exchange="XNYS")
    add_bars(symbol, count=BARS_NEEDED, end=FRIDAY)
    return publish_model(symbol, **({"horizons": HORIZONS} | values))


def issue(*versions: ModelVersion) -> dict[Symbol, Forecast]:
    forecasts, errors = serving.serve({version.symbol: version for version in versions if version.symbol})
    assert errors == {}
    return forecasts


def issued(version: ModelVersion) -> Forecast:
    (forecast,) = issue(version).values()
    return forecast


def stored(version: ModelVersion) -> dict[int, Forecast]:
    return {forecast.horizon: forecast for forecast in version.forecasts.all()}


def test_all_horizons_are_issued_with_the_next_session() -> None:
    version = served()

    issued(version)

    assert {horizon: forecast.target_date for horizon, forecast in stored(version).items()} == TARGETS
    assert {forecast.as_of for forecast in stored(version).values()} == {FRIDAY}


def test_they_are_what_the_model_says_of_the_newest_bars() -> None:
    version = served()
    issued(version)
    assert version.symbol
    factors = {1: 1.0, 5: horizon_factor(400, 300, sessions=5, level=0.8), 10: 1.0, 21: 1.0}

    computed = Forecaster(trained_model(horizons=HORIZONS)).forecasts(market.bars(version.symbol), factors=factors)

    assert [each.horizon for each in computed] == [1, 5, 10, 21]
    for each in computed:
        row = stored(version)[each.horizon]
        assert {name: getattr(row, name) for name in each.__slots__} == {name: getattr(each, name) for name in each.__slots__}
        assert row.spread_factor == factors[each.horizon]


def test_their_median_is_the_last_close_and_their_width_grows_with_the_root_of_time() -> None:
    version = served(horizons=HORIZONS.with_records(dict.fromkeys((5, 10, 21), (0, 0))))
    issued(version)

    rows = stored(version)

    assert all(rows[horizon].price == rows[horizon].last_close for horizon in (5, 10, 21))
    widths = [math.log(rows[horizon].interval_high / rows[horizon].interval_low) for horizon in (5, 10, 21)]
    assert widths[1] / widths[0] == pytest.approx(math.sqrt(2))
    assert widths[2] / widths[0] == pytest.approx(math.sqrt(21 / 5))


def test_the_outlook_comes_with_a_new_forecast_with_a_stored_one_and_with_the_standing_one() -> None:
    version = served()
    assert version.symbol

    new, again = issued(version), issued(version)
    (found,) = STANDING.rows([version.symbol.ticker])
    standing = kept([Identity.of(found, Basis.CLOSE, found.close_id)])[found.close_id]

    assert [each.horizon for each in new.outlooks] == [5, 10, 21]
    assert new.outlooks == again.outlooks == standing.outlooks
    row = stored(version)[10]
    assert (new.outlooks[1].target_date, new.outlooks[1].interval_low) == (row.target_date.isoformat(), row.interval_low)
    assert new.outlooks[1].quantiles == row.quantiles


def test_a_version_of_an_earlier_release_has_no_outlook() -> None:
    version = served(horizons=None)
    assert version.symbol

    forecast = issued(version)
    (found,) = STANDING.rows([version.symbol.ticker])
    standing = kept([Identity.of(found, Basis.CLOSE, found.close_id)])[found.close_id]

    assert forecast.outlooks == standing.outlooks == []
    assert [*stored(version)] == [1]


def test_they_are_issued_once(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    version = served()
    issued(version)

    with django_assert_num_queries(1):
        issued(version)

    assert len(stored(version)) == 4


def test_the_number_of_queries_does_not_depend_on_the_symbols(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    few, many = [served("SAMPLE1")], [served(f"SAMPLE{number}") for number in range(2, 6)]
    with django_assert_num_queries(10) as first:
        issue(*few)
    with django_assert_num_queries(len(first)):
        issue(*many)


def test_hits_of_the_version_at_that_horizon_decide_the_factor() -> None:
    version = served()
    days = [date(2024, 5, day) for day in (6, 7, 8, 9)]
    for day, close in zip(days, (101.0, 250.0, 250.0, 102.0), strict=True):
        make_forecast(version, day, horizon=10, actual_close=close)
    make_forecast(version, date(2024, 6, 24), actual_close=250.0)  # of the next session

    issued(version)

    rows = stored_after(version)
    assert rows[10].spread_factor == horizon_factor(4, 2, sessions=10, level=0.8)
    assert rows[5].spread_factor == horizon_factor(400, 300, sessions=5, level=0.8)
    assert rows[21].spread_factor == 1


def stored_after(version: ModelVersion) -> dict[int, Forecast]:
    return {forecast.horizon: forecast for forecast in version.forecasts.filter(as_of=FRIDAY)}


def test_hits_of_another_version_or_symbol_do_not_matter() -> None:
    other, version = served("SAMPLE2"), served()
    for each in (other, publish_model(version.symbol)):
        make_forecast(each, date(2024, 5, 6), horizon=10, actual_close=250.0)

    issued(version)

    assert stored_after(version)[10].spread_factor == 1


def test_a_forecast_of_several_sessions_is_scored_when_they_have_passed() -> None:
    version = served()
    assert version.symbol
    issued(version)
    closes = dict(zip(("2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08"), range(101, 106), strict=True))

    for day, close in closes.items():
        add_bar(version.symbol, date.fromisoformat(day), float(close))
    scoring.score_due()

    rows = stored_after(version)
    assert (rows[1].scores.get().actual_close, rows[5].scores.get().actual_close) == (101, 105)
    assert not rows[10].scores.exists()


def test_after_a_split_it_is_in_the_units_of_its_forecast() -> None:
    forecast = issued(served())
    before = forecast.outlooks[0]
    forecast.last_close /= 2
    after = forecast.outlooks[0]
    assert (after.price, after.interval_high, after.quantiles["0.9"]) == pytest.approx(
        (before.price / 2, before.interval_high / 2, before.quantiles["0.9"] / 2)
    )
