"""The ledger: one forecast for each session and version, whoever asks; scored once, in the units it was made in."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting import ledger, market, registry
from forecasting.ledger import Prediction, Scorecard
from forecasting.models import Forecast, ModelVersion, PriceBar, Symbol, Training
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import VersionState
from forecasting.pipeline.forecaster import Forecaster
from tests import fake_yahoo
from tests.factories import add_bars, make_forecast, make_symbol, make_training, make_version
from tests.fake_yahoo import FakeYahoo
from tests.racing import at_once, begin_behind_us, slow
from tests.small_model import BARS_NEEDED, publish_model, trained_model
from tests.task_queue import queued_tasks

pytestmark = pytest.mark.django_db

THURSDAY, FRIDAY, MONDAY = date(2024, 6, 27), date(2024, 6, 28), date(2024, 7, 1)
NOW = datetime(2024, 6, 28, 22, tzinfo=UTC)  # New York has closed


def followed(ticker: str = "SAMPLE1", *, end: date = FRIDAY, count: int = BARS_NEEDED) -> Symbol:
    """A symbol with bars."""
    symbol = make_symbol(ticker)
    add_bars(symbol, count=count, end=end)
    return symbol


def served(ticker: str = "SAMPLE1", *, end: date = FRIDAY) -> ModelVersion:
    """The version of a symbol with bars."""
    return publish_model(followed(ticker, end=end))


def issue(*versions: ModelVersion) -> tuple[dict[Symbol, Forecast], dict[Symbol, str]]:
    return ledger.issue({version.symbol: version for version in versions if version.symbol})


def issued(version: ModelVersion) -> Forecast:
    forecasts, errors = issue(version)
    assert errors == {}
    (forecast,) = forecasts.values()
    return forecast


def add_bar(symbol: Symbol, day: date, close: float) -> None:
    PriceBar.objects.create(symbol=symbol, date=day, open=close, high=close, low=close, close=close, volume=1e6)


def predict(*tickers: str, now: datetime = NOW, budget_s: float = 5) -> list[Prediction]:
    return ledger.predict(tickers, now=now, budget_s=budget_s)


# Issuing


def test_a_forecast_is_what_the_model_says_of_the_newest_bars() -> None:
    version = served()
    forecast = issued(version)
    assert version.symbol
    computed = Forecaster(trained_model()).forecast(market.bars(version.symbol))
    assert {name: getattr(forecast, name) for name in computed.__slots__} == {
        name: getattr(computed, name) for name in computed.__slots__
    }


def test_a_forecast_is_of_the_session_after_the_newest_bar() -> None:
    forecast = issued(served())
    assert (forecast.as_of, forecast.target_date) == (FRIDAY, MONDAY)


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


def test_the_base_forecasts_several_symbols() -> None:
    base = publish_model(None)
    symbols = [followed("SAMPLE1"), followed("SAMPLE2")]
    forecasts, errors = ledger.issue(dict.fromkeys(symbols, base))
    assert (list(forecasts), errors) == (symbols, {})


def test_a_forecast_by_the_base_is_not_taken_for_the_own_versions() -> None:
    base, own = publish_model(None), served("SAMPLE1")
    assert own.symbol
    other = followed("SAMPLE2")
    ledger.issue({own.symbol: base, other: base})
    forecasts, _ = ledger.issue({own.symbol: own, other: base})
    assert {symbol: forecast.version for symbol, forecast in forecasts.items()} == {own.symbol: own, other: base}


def test_nothing_to_issue_is_no_forecast() -> None:
    assert ledger.issue({}) == ({}, {})


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
    damaged = served("SAMPLE1")
    (registry.models_root() / damaged.folder / "model.onnx").unlink()
    monkeypatch.setattr("forecasting.registry.base.SHIPPED_BASE", settings.MEDIA_ROOT / "nowhere")
    forecasts, errors = issue(damaged)
    assert forecasts == {}
    assert list(errors.values()) == ["The model's files cannot be used: model.onnx is missing."]


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


# Scoring


def make_due(symbol: Symbol, **values: float) -> Forecast:
    """Friday's forecast: last close 100, forecast 101, interval 99 to 103."""
    add_bar(symbol, FRIDAY, 100.0)
    return make_forecast(make_version(symbol), FRIDAY, **values)


@pytest.mark.parametrize(("actual", "inside"), [(102.0, True), (99.0, True), (103.0, True), (103.01, False), (98.99, False)])
def test_a_forecast_is_scored_against_the_close_of_its_session(actual: float, inside: bool) -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, actual)
    assert ledger.score_due() == 1
    forecast.refresh_from_db()
    assert forecast.scored_at
    assert (forecast.actual_close, forecast.inside_interval) == (actual, inside)
    assert forecast.absolute_error == pytest.approx(abs(actual - 101))
    assert forecast.naive_absolute_error == pytest.approx(abs(actual - 100))


def test_a_forecast_is_not_scored_before_its_session() -> None:
    forecast = make_due(make_symbol("SAMPLE1"))
    other = make_symbol("SAMPLE2")
    add_bar(other, MONDAY, 102.0)
    add_bar(forecast.symbol, THURSDAY, 102.0)
    assert ledger.score_due() == 0


def test_a_forecast_is_not_scored_against_a_later_session() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, date(2024, 7, 2), 102.0)
    assert ledger.score_due() == 0


def test_a_scored_forecast_is_not_scored_again() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    assert [ledger.score_due(), ledger.score_due()] == [1, 0]


@pytest.mark.parametrize("factor", [0.5, 10.0, 0.997], ids=["split", "reverse split", "dividend"])
def test_a_split_after_the_forecast_does_not_change_its_score(factor: float) -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    prices = {name: factor * F(name) for name in ("open", "high", "low", "close")}
    PriceBar.objects.of(forecast.symbol).update(**prices)
    ledger.score_due()
    forecast.refresh_from_db()
    assert forecast.actual_close == pytest.approx(102.0)
    assert forecast.absolute_error == pytest.approx(1.0)
    assert forecast.inside_interval


def test_every_version_is_scored_by_itself() -> None:
    symbol = make_symbol()
    make_due(symbol)
    make_forecast(make_version(symbol, number=2, state=VersionState.RETIRED), FRIDAY, price=103.0)
    add_bar(symbol, MONDAY, 102.0)
    assert ledger.score_due() == 2
    assert list(Forecast.objects.order_by("price").values_list("price", "absolute_error")) == [(101.0, 1.0), (103.0, 1.0)]


@pytest.mark.django_db(transaction=True)
def test_scoring_at_once_scores_once() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            assert ledger.score_due() == 1
            theirs = begin_behind_us(threads, ledger.score_due)
        assert theirs.result() == 0


# Scorecards


def test_a_scorecard_sums_up_the_forecasts_of_all_versions_of_a_symbol() -> None:
    symbol = make_symbol()
    old, active = make_version(symbol, number=1, state=VersionState.RETIRED), make_version(symbol, number=2)
    make_forecast(old, THURSDAY, actual_close=102.0)
    make_forecast(active, FRIDAY, actual_close=105.0)
    make_forecast(active, MONDAY)
    assert ledger.scorecards(["SAMPLE1", "SAMPLE2"]) == {
        "SAMPLE1": Scorecard(active, forecasts=2, mae=2.5, naive_mae=3.5, coverage=0.5)
    }


def test_a_model_without_a_record_has_an_empty_scorecard() -> None:
    version = make_version(make_symbol())
    assert ledger.scorecards(["SAMPLE1"]) == {"SAMPLE1": Scorecard(version)}


def test_scorecards_are_two_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(4):
        make_forecast(make_version(make_symbol(f"SAMPLE{number}")), FRIDAY, actual_close=102.0)
    with django_assert_num_queries(2):
        assert len(ledger.scorecards([f"SAMPLE{number}" for number in range(4)])) == 4


# Prediction


def test_a_symbol_with_a_model_gets_its_forecast() -> None:
    version = served()
    (prediction,) = predict("SAMPLE1")
    assert prediction == Prediction(Symbol.objects.get(), forecast=Forecast.objects.get())
    assert prediction.forecast
    assert prediction.forecast.version == version


@pytest.mark.usefixtures("broken_source")
def test_a_symbol_without_a_model_gets_a_training() -> None:
    (prediction,) = predict("SAMPLE1")
    assert prediction == Prediction(Symbol.objects.get(), training=Training.objects.get(), started=True)


@pytest.mark.usefixtures("broken_source")
def test_a_symbol_whose_training_failed_is_told_why() -> None:
    make_training(make_symbol(), state=TrainingState.FAILED, error="SAMPLE1 has 3 bars.", finished_at=NOW)
    (prediction,) = predict("SAMPLE1")
    assert prediction.error == "Training not started: SAMPLE1 has 3 bars."


def test_a_symbol_whose_model_is_damaged_is_forecast_by_the_base() -> None:
    served("SAMPLE1")
    make_version(followed("SAMPLE2"))
    first, second = predict("SAMPLE1", "SAMPLE2")
    assert first.forecast
    assert second.forecast
    assert second.forecast.version.kind == "base"


def test_a_symbol_of_too_few_bars_is_told_so() -> None:
    publish_model(followed(count=BARS_NEEDED - 1))
    (prediction,) = predict("SAMPLE1")
    assert prediction.error == "No forecast: This history has 125 bars; at least 126 are needed."


@pytest.mark.parametrize("count", [1, 6])
def test_the_number_of_queries_does_not_depend_on_the_number_of_symbols(count: int) -> None:
    tickers = [served(f"SAMPLE{number}").symbol.ticker for number in range(count)]  # type: ignore[union-attr] # not the base
    with CaptureQueriesContext(connection) as first_time:
        predict(*tickers)
    with CaptureQueriesContext(connection) as again:
        predict(*tickers)
    assert (len(first_time), len(again)) == (12, 1)


@pytest.fixture
def broken_source(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """A price source that cannot be reached."""
    settings.PRICE_SOURCE, settings.PRICE_DIR = "csv", tmp_path / "not there"
    market.price_source.cache_clear()
    yield
    market.price_source.cache_clear()


@pytest.mark.usefixtures("broken_source")
def test_old_bars_serve_while_the_source_is_out_of_reach_and_are_called_stale() -> None:
    served(end=THURSDAY)
    (prediction,) = predict("SAMPLE1")
    assert prediction.forecast
    assert (prediction.forecast.as_of, prediction.stale) == (THURSDAY, True)


def test_bars_that_are_behind_are_brought_up_to_date_first(settings: Settings) -> None:
    market.price_source.cache_clear()
    symbol = make_symbol()
    market.sync(symbol, now=NOW - timedelta(days=2))
    publish_model(symbol)
    (prediction,) = predict("SAMPLE1", now=NOW + timedelta(days=3))
    assert prediction.forecast
    assert (prediction.forecast.as_of, prediction.stale) == (MONDAY, False)


def test_prices_that_come_too_late_are_fetched_in_the_background(settings: Settings, tmp_path: Path) -> None:
    version = served(end=THURSDAY)
    with FakeYahoo() as fake:
        fake.scenarios["SAMPLE1"] = fake_yahoo.slow
        settings.PRICE_SOURCE, settings.YAHOO_URL, settings.STATE_DIR = "yahoo", fake.url, tmp_path
        market.price_source.cache_clear()
        (first,), (second,) = predict("SAMPLE1", budget_s=0.1), predict("SAMPLE1", budget_s=0.1)
        market.price_source.cache_clear()
    assert first.stale
    assert second.stale
    assert queued_tasks("short") == ["forecasting.tasks.sync_symbols"]
    assert OrmQ.objects.get(key="short").args() == ([version.symbol_id],)
