"""Answers to requests: a forecast, a training, or the reason for neither."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries

from forecasting import market, serving
from forecasting.models import Forecast, ModelVersion, Symbol, Training
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingState
from forecasting.serving import NotTrainableError, Prediction
from tests import fake_yahoo
from tests.factories import make_symbol, make_training, make_version
from tests.fake_yahoo import FakeYahoo, generated_bars
from tests.racing import at_once
from tests.small_model import BARS_NEEDED, publish_model
from tests.task_queue import queued_tasks
from tests.test_ledger import FRIDAY, MONDAY, THURSDAY, followed, served

pytestmark = pytest.mark.django_db

NOW = datetime(2024, 6, 28, 22, tzinfo=UTC)  # New York has closed


def predict(*tickers: str, now: datetime = NOW, budget_s: float = 5) -> list[Prediction]:
    return serving.predict(tickers, now=now, budget_s=budget_s)


def test_a_symbol_with_a_model_gets_its_forecast() -> None:
    version = served()
    (prediction,) = predict("SAMPLE1")
    assert prediction == Prediction(Symbol.objects.get(), forecast=Forecast.objects.get(), session=prediction.session)
    assert prediction.forecast
    assert prediction.forecast.version == version


@pytest.mark.django_db(transaction=True)
def test_threads_that_find_a_new_bar_at_once_make_its_forecasts_once() -> None:
    served()
    body = "'BEGIN PERFORM nextval(''made''); RETURN NEW; END'"
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE made")
        cursor.execute(f"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS {body}")
        cursor.execute("CREATE TRIGGER note BEFORE INSERT ON forecasting_forecast FOR EACH ROW EXECUTE FUNCTION note()")
        try:
            answers = at_once([partial(predict, "SAMPLE1")] * 4)
            cursor.execute("SELECT last_value FROM made")
            assert cursor.fetchone() == (1,)
        finally:
            cursor.execute("DROP FUNCTION note CASCADE")
            cursor.execute("DROP SEQUENCE made")
    assert {answer.forecast for (answer,) in answers} == {Forecast.objects.get()}


def test_a_check_looks_up_only_symbols_that_a_local_source_did_not_have(folder: Path) -> None:
    lost, other = (make_symbol(ticker, upstream_state=UpstreamState.UNKNOWN) for ticker in ("AAA", "CCC"))
    known = followed("BBB", end=THURSDAY)
    for ticker in ("AAA", "BBB", "CCC"):
        generated_bars(ticker, first=date(2023, 9, 1), last=FRIDAY).to_csv(folder / f"{ticker}.csv")
    serving.standing(["AAA", "BBB"], now=NOW, budget_s=5)
    assert (market.bars(lost).index[-1].date(), market.bars(known).index[-1].date()) == (FRIDAY, THURSDAY)
    assert market.bars(other).empty


def test_a_base_is_not_installed_before_a_symbol_needs_it() -> None:
    version = served()
    predict("SAMPLE1")
    assert ModelVersion.objects.get() == version


def test_a_symbol_with_neither_a_model_nor_a_base_waits_for_its_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("forecasting.registry.base_model.SHIPPED_BASE", tmp_path / "nowhere")
    symbol = followed()
    (prediction,) = predict("SAMPLE1")
    assert prediction == Prediction(symbol, training=Training.objects.get(), started=True)


def test_predictions_come_in_the_order_of_the_request() -> None:
    predict(served("SAMPLE2").symbol.ticker)  # type: ignore[union-attr] # not the base
    for ticker in ("SAMPLE1", "SAMPLE3"):
        served(ticker)
    assert [each.symbol.ticker for each in predict("SAMPLE3", "SAMPLE2", "SAMPLE1")] == ["SAMPLE3", "SAMPLE2", "SAMPLE1"]


@pytest.mark.usefixtures("broken_source")
def test_a_symbol_without_a_model_gets_a_training() -> None:
    make_symbol()
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
    assert (len(first_time), len(again)) == (18, 1)


@pytest.fixture
def broken_source(folder: Path) -> None:
    """A price source that cannot be reached."""
    folder.rmdir()


@pytest.mark.usefixtures("broken_source")
def test_old_bars_serve_while_the_source_is_out_of_reach_and_are_called_stale() -> None:
    served(end=THURSDAY)
    (prediction,) = predict("SAMPLE1")
    assert prediction.forecast
    assert (prediction.forecast.as_of, prediction.stale) == (THURSDAY, True)


@pytest.mark.usefixtures("broken_source")
def test_a_stale_forecast_is_one_query_while_the_source_may_not_be_asked_again(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    served(end=THURSDAY)
    predict("SAMPLE1")
    with django_assert_num_queries(1):
        (prediction,) = predict("SAMPLE1", now=NOW + timedelta(seconds=1))
    assert prediction.stale


def test_bars_that_are_behind_are_brought_up_to_date_first() -> None:
    symbol = make_symbol()
    market.sync(symbol, now=NOW - timedelta(days=2))
    publish_model(symbol)
    (prediction,) = predict("SAMPLE1", now=NOW + timedelta(days=3))
    assert prediction.forecast
    assert (prediction.forecast.as_of, prediction.stale) == (MONDAY, False)


def test_prices_that_come_too_late_are_fetched_in_the_background(yahoo: FakeYahoo) -> None:
    version = served(end=THURSDAY)
    yahoo.scenarios["SAMPLE1"] = fake_yahoo.slow
    (first,), (second,) = predict("SAMPLE1", budget_s=0.1), predict("SAMPLE1", budget_s=0.1)
    assert first.stale
    assert second.stale
    assert queued_tasks("short") == ["forecasting.background.tasks.sync_symbols"]
    assert OrmQ.objects.get(key="short").args() == ([version.symbol_id],)


def test_names_over_the_callers_budget_are_refused_and_the_rest_is_answered() -> None:
    served()

    def admit(names: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(names, "one new symbol a day is allowed")

    new, known = serving.predict(["NEW", "SAMPLE1"], now=NOW, budget_s=5, admit=admit)
    assert (new.error, new.refused) == ("Training not started: one new symbol a day is allowed.", True)
    assert known.forecast
    (status,) = serving.standing(["NEW"], now=NOW, budget_s=5, admit=admit)
    assert (status.refusal, status.refused) == ("one new symbol a day is allowed", True)
    with pytest.raises(NotTrainableError) as error:
        serving.trainable("NEW", now=NOW, budget_s=5, admit=admit)
    assert error.value.refused
