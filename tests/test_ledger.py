"""The ledger: one forecast per session and version for all callers."""

from collections.abc import Iterable
from datetime import date
from functools import partial

import pandas as pd
import pytest
from django.db import connection
from django.db.models import F
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting import market, registry, scoring, serving
from forecasting.models import Forecast, ModelVersion, PriceBar, Symbol
from forecasting.pipeline.model.adaptation import next_factor
from forecasting.pipeline.serving.forecaster import Forecaster
from tests.factories import add_bar, add_bars, make_forecast, make_restatement, make_symbol
from tests.racing import at_once, slow
from tests.small_model import BARS_NEEDED, publish_model, trained_model

pytestmark = pytest.mark.django_db

THURSDAY, FRIDAY, MONDAY = date(2024, 6, 27), date(2024, 6, 28), date(2024, 7, 1)


def followed(ticker: str = "SAMPLE1", *, end: date = FRIDAY, count: int = BARS_NEEDED) -> Symbol:
    """A symbol with bars."""
    symbol = make_symbol(ticker)
    add_bars(symbol, count=count, end=end)
    return symbol


def served(ticker: str = "SAMPLE1", *, end: date = FRIDAY) -> ModelVersion:
    """The version of a symbol with bars."""
    return publish_model(followed(ticker, end=end))


def issue(*versions: ModelVersion) -> tuple[dict[Symbol, Forecast], dict[Symbol, str]]:
    return serving.serve({version.symbol: version for version in versions if version.symbol})


def issued(version: ModelVersion) -> Forecast:
    forecasts, errors = issue(version)
    assert errors == {}
    (forecast,) = forecasts.values()
    return forecast


# Issuing


def test_a_forecast_is_what_the_model_says_of_the_newest_bars() -> None:
    version = served()
    forecast = issued(version)
    assert version.symbol
    computed = Forecaster(trained_model()).forecast(market.bars(version.symbol))
    assert {name: getattr(forecast, name) for name in computed.__slots__} == {
        name: getattr(computed, name) for name in computed.__slots__
    }


def test_a_forecast_knows_from_the_calendar_how_far_its_session_is() -> None:
    symbol = followed(end=date(2024, 7, 3), count=400)  # the next day is a holiday
    version = registry.base_version()
    assert version
    forecasts, _ = serving.serve({symbol: version})
    model = registry.load_forecaster(version)
    by_calendar, by_week = (model.forecast(market.bars(symbol), exchange=name) for name in ("XNYS", "WEEKDAYS"))
    assert forecasts[symbol].target_date == date(2024, 7, 5)
    assert forecasts[symbol].quantiles == by_calendar.quantiles != by_week.quantiles


def test_a_forecast_is_of_the_session_after_the_newest_bar() -> None:
    forecast = issued(served())
    assert (forecast.as_of, forecast.target_date) == (FRIDAY, MONDAY)


def test_a_forecast_knows_the_last_restatement_of_its_bars() -> None:
    version = served()
    assert version.symbol
    make_restatement(version.symbol)
    make_restatement(make_symbol("SAMPLE2"))
    last = make_restatement(version.symbol)
    assert issued(version).restatement == last


def test_a_restatement_that_commits_while_the_bars_are_read_does_not_count_as_later(monkeypatch: pytest.MonkeyPatch) -> None:
    version = served(end=THURSDAY)
    assert version.symbol
    read = market.recent_bars

    def restated_before(symbols: Iterable[Symbol], *, count: int) -> dict[int, pd.DataFrame]:
        """A sync that commits first: a dividend on Friday, and Friday's bar."""
        assert version.symbol
        PriceBar.objects.of(version.symbol).update(**{name: 0.5 * F(name) for name in ("open", "high", "low", "close")})
        add_bar(version.symbol, FRIDAY, 50.0)
        make_restatement(version.symbol, date=FRIDAY)
        return read(symbols, count=count)

    monkeypatch.setattr(market, "recent_bars", restated_before)
    forecast = issued(version)
    add_bar(version.symbol, MONDAY, 51.0)
    scoring.score_due()
    assert (forecast.as_of, forecast.last_close) == (FRIDAY, 50.0)
    assert forecast.scores.get().actual_close == 51.0


def test_a_forecast_is_issued_once(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    version = served()
    first = issued(version)
    with django_assert_num_queries(1):
        assert issued(version) == first
    assert Forecast.objects.count() == 1


def test_a_new_bar_means_a_new_forecast() -> None:
    version = served()
    assert version.symbol
    first = issued(version)
    add_bar(version.symbol, MONDAY, 100.0)
    assert (issued(version).as_of, Forecast.objects.count()) == (MONDAY, 2)
    first.refresh_from_db()
    assert first.as_of == FRIDAY


def test_a_new_version_makes_its_own_forecast_of_the_same_session() -> None:
    version = served()
    first = issued(version)
    second = issued(publish_model(version.symbol))
    assert (second.as_of, second.version.number) == (first.as_of, 2)


def test_a_forecast_that_exists_and_a_new_one_are_served_together() -> None:
    first, second = served("SAMPLE1"), served("SAMPLE2")
    known = issued(first)
    forecasts, errors = issue(first, second)
    assert (set(forecasts), errors) == ({first.symbol, second.symbol}, {})
    assert forecasts[known.symbol] == known


def test_the_newest_score_and_all_recent_hits_decide_the_width_of_the_next_forecast() -> None:
    version = served()
    outcomes = [(1.1, 101.0), (1.2, 250.0), (1.3, 102.0), (1.25, 250.0)]
    for day, (factor, close) in zip(("2024-06-18", "2024-06-20", "2024-06-21", "2024-06-24"), outcomes, strict=True):
        make_forecast(version, date.fromisoformat(day), spread_factor=factor, actual_close=close)
    forecast = issued(version)
    assert forecast.spread_factor == pytest.approx(next_factor(1.25, [True, False, True, False], level=0.8), rel=1e-12)
    widened = Forecaster(trained_model()).forecast(market.bars(forecast.symbol), factor=forecast.spread_factor)
    assert (forecast.interval_low, forecast.interval_high) == (widened.interval_low, widened.interval_high)


def test_the_base_forecasts_several_symbols() -> None:
    base = publish_model(None)
    symbols = [followed("SAMPLE1"), followed("SAMPLE2")]
    forecasts, errors = serving.serve(dict.fromkeys(symbols, base))
    assert (list(forecasts), errors) == (symbols, {})


def test_a_forecast_by_the_base_is_not_taken_for_the_own_versions() -> None:
    base, own = publish_model(None), served("SAMPLE1")
    assert own.symbol
    other = followed("SAMPLE2")
    serving.serve({own.symbol: base, other: base})
    forecasts, _ = serving.serve({own.symbol: own, other: base})
    assert {symbol: forecast.version for symbol, forecast in forecasts.items()} == {own.symbol: own, other: base}


def test_nothing_to_issue_is_no_forecast() -> None:
    assert serving.serve({}) == ({}, {})


@pytest.mark.django_db(transaction=True)
def test_callers_at_once_get_the_same_forecasts() -> None:
    versions = [served(f"SAMPLE{number}") for number in range(3)]
    orders = [versions, versions[::-1]] * 4
    with slow("INSERT", Forecast):
        answers = at_once([partial(issue, *order) for order in orders])
    assert Forecast.objects.count() == 3
    assert all(answer == answers[0] for answer in answers)


def test_a_bar_that_comes_while_a_forecast_is_made_does_not_lose_it() -> None:
    version = served()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE FUNCTION bar_comes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO forecasting_pricebar (symbol_id, date, open, high, low, close, volume)
                VALUES (NEW.symbol_id, '2024-07-01', 100, 100, 100, 100, 1);
                RETURN NEW;
            END $$;
            CREATE TRIGGER bar_comes AFTER INSERT ON forecasting_forecast FOR EACH ROW EXECUTE FUNCTION bar_comes();
            """
        )
    assert issued(version).as_of == FRIDAY


def test_a_damaged_model_gives_way_to_the_base_and_the_others_forecast_as_ever() -> None:
    good, damaged = served("SAMPLE1"), served("SAMPLE2")
    (registry.models_root() / damaged.folder / "meta.json").write_text("{}")
    forecasts, errors = issue(good, damaged)
    assert errors == {}
    assert {symbol.ticker: each.version.kind for symbol, each in forecasts.items()} == {"SAMPLE1": "symbol", "SAMPLE2": "base"}


def test_a_damaged_model_gives_way_to_the_version_before_it() -> None:
    first = served("SAMPLE1")
    second = publish_model(first.symbol)
    (registry.models_root() / second.folder / "model.onnx").unlink()
    forecasts, errors = issue(second)
    assert errors == {}
    assert [each.version for each in forecasts.values()] == [first]


def test_where_nothing_is_left_that_serves_the_error_says_why(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecasting.registry.base_model.SHIPPED_BASE", settings.MEDIA_ROOT / "nowhere")
    lost, first = served("SAMPLE1"), served("SAMPLE2")
    second = publish_model(first.symbol)
    for damaged in (lost, second):
        (registry.models_root() / damaged.folder / "model.onnx").unlink()
    forecasts, errors = issue(lost, second)
    assert {symbol: forecast.version for symbol, forecast in forecasts.items()} == {first.symbol: first}
    assert errors == {lost.symbol: "The model's files cannot be used: model.onnx is missing."}


def test_too_few_bars_do_not_keep_the_others_from_forecasting() -> None:
    good = served("SAMPLE1")
    young = publish_model(followed("SAMPLE2", count=BARS_NEEDED - 1))
    empty = publish_model(make_symbol("SAMPLE3"))
    forecasts, errors = issue(good, young, empty)
    assert list(forecasts) == [good.symbol]
    found = {symbol.ticker: error for symbol, error in errors.items()}
    assert found == {
        "SAMPLE2": "No forecast: This history has 125 bars; at least 126 are needed.",
        "SAMPLE3": "No forecast: This history has 0 bars; at least 126 are needed.",
    }


def test_a_damaged_model_of_too_few_bars_is_told_so_by_the_base() -> None:
    damaged = publish_model(followed(count=BARS_NEEDED - 1))
    (registry.models_root() / damaged.folder / "model.onnx").unlink()
    forecasts, errors = issue(damaged)
    assert forecasts == {}
    assert list(errors.values()) == ["No forecast: This history has 125 bars; at least 126 are needed."]


def test_a_damaged_base_is_replaced_once_for_all_its_symbols() -> None:
    base = registry.base_version()
    assert base
    (registry.models_root() / base.folder / "model.onnx").unlink()
    forecasts, errors = serving.serve({followed(f"SAMPLE{number}"): base for number in range(3)})
    assert errors == {}
    assert [forecast.version.number for forecast in forecasts.values()] == [2, 2, 2]
