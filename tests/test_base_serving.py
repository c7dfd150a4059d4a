"""The base model in the service: it serves symbols without their own version, and is the start of their trainings."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting import registry, serving
from forecasting.background import daily
from forecasting.models import Forecast, ModelVersion, PriceBar, Symbol, Training
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.models.versions import VersionState
from forecasting.pipeline.model.adaptation import next_factor
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import EARLIER
from forecasting.pipeline.serving.verified import ArtifactError
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests
from forecasting.training.positions import positions_of
from tests.factories import add_bars, make_score, make_symbol, make_training, make_version
from tests.small_model import BARS_NEEDED, trained_model

pytestmark = pytest.mark.django_db

FRIDAY, MONDAY = date(2024, 6, 28), date(2024, 7, 1)
NOW = datetime(2024, 6, 28, 22, tzinfo=UTC)  # New York has closed


def followed(ticker: str = "SAMPLE1", *, count: int = BARS_NEEDED) -> Symbol:
    """A symbol with bars but no model."""
    symbol = make_symbol(ticker)
    add_bars(symbol, count=count, end=FRIDAY)
    return symbol


def predict(ticker: str = "SAMPLE1", *, now: datetime = NOW) -> serving.Prediction:
    (prediction,) = serving.predict([ticker], now=now, budget_s=5)
    return prediction


def published(symbol: Symbol) -> ModelVersion:
    """Runs the training that was requested for the symbol."""
    training = training_queue.claim()
    assert training
    assert training.symbol == symbol
    return registry.publish(trained_model(symbol=symbol.ticker), training_id=training.pk, fence=training.fence)


def test_trainings_use_the_configured_seed(settings: Settings) -> None:
    settings.SEED = 7
    assert registry.forecast_config().seed == 7


def test_a_symbol_with_bars_and_no_model_is_served_by_the_base_while_its_training_is_queued() -> None:
    symbol = followed()
    prediction = predict()
    assert prediction.forecast
    assert prediction.forecast.version.kind == "base"
    assert prediction.forecast.as_of == FRIDAY
    assert Training.objects.get().symbol == symbol


def test_a_forecast_of_the_base_that_stands_is_one_query_while_the_training_is_queued(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    followed()
    first = predict()
    with django_assert_num_queries(1):
        assert predict() == first


@pytest.mark.parametrize("state", [TrainingState.FAILED, TrainingState.CANCELLED])
def test_a_symbol_that_the_base_serves_is_trained_again_some_time_after_a_training_without_success(state: TrainingState) -> None:
    followed()
    predict()
    Training.objects.update(state=state, error="It has 10 bars.", finished_at=NOW)
    predict(now=NOW + timedelta(minutes=50))
    assert Training.objects.count() == 1
    predict(now=NOW + timedelta(minutes=61))
    assert Training.objects.active().count() == 1


def test_a_symbol_whose_only_version_was_retired_is_trained_again_though_the_forecast_of_the_base_stands() -> None:
    symbol = followed()
    predict()
    ModelVersion.objects.filter(pk=published(symbol).pk).update(state=VersionState.RETIRED)
    prediction = predict()
    assert prediction.forecast
    assert prediction.forecast.version.kind == "base"
    assert Training.objects.active().count() == 1


def test_a_lead_is_neither_listed_nor_forecast_until_somebody_asks_for_it() -> None:
    symbol = make_symbol(followed=False)
    add_bars(symbol, count=BARS_NEEDED, end=FRIDAY)
    serving.current(["SAMPLE1"], now=NOW, budget_s=5)
    assert not Symbol.objects.followed().exists()
    assert predict().forecast
    assert (Symbol.objects.followed().get(), Training.objects.get().symbol) == (symbol, symbol)


def test_its_own_version_takes_over_from_the_base() -> None:
    symbol = followed()
    predict()
    version = published(symbol)
    prediction = predict()
    assert prediction.forecast
    assert prediction.forecast.version == version
    assert Forecast.objects.of_next_close().count() == 2


@pytest.mark.usefixtures("folder")
def test_a_symbol_with_fewer_bars_than_the_base_needs_waits_for_its_training() -> None:
    followed(count=BARS_NEEDED - 1)
    prediction = predict()
    assert prediction.forecast is None
    assert prediction.started


def test_a_symbols_version_is_not_taken_for_the_base() -> None:
    make_version(make_symbol())
    first, second = registry.base_version(), registry.base_version()
    assert first
    assert (first.kind, first.number, second) == ("base", 1, first)


@pytest.mark.django_db(transaction=True)
def test_a_base_that_was_trained_at_a_terminal_replaces_the_one_before_it() -> None:
    base = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))
    first, second = (registry.register_base(base, decision="Trained at a terminal.") for _ in range(2))
    first.refresh_from_db()
    assert (first.state, second.state, second.decision) == (VersionState.RETIRED, VersionState.ACTIVE, "Trained at a terminal.")


def test_a_damaged_base_is_named_and_trainings_start_from_scratch() -> None:
    version = registry.base_version()
    assert version
    (registry.models_root() / version.folder / EARLIER).write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"earlier\.weights\.h5 should have"):
        registry.load_base(version)


def test_each_outcome_moves_the_spread_of_the_next_forecast() -> None:
    symbol = followed()
    first = predict().forecast
    assert first
    assert first.spread_factor == 1.0
    far = first.interval_high * 1.2
    PriceBar.objects.create(symbol=symbol, date=MONDAY, open=far, high=far, low=far, close=far, volume=1e6)
    second = predict(now=NOW + timedelta(days=3)).forecast
    assert second
    assert Forecast.objects.scored().get() == first
    assert second.spread_factor == next_factor(1.0, [False], level=first.interval_level) > 1
    assert second.quantiles.keys() == first.quantiles.keys()


def test_forecasts_of_another_version_do_not_move_the_spread() -> None:
    symbol = followed()
    predict()
    forecast = Forecast.objects.of_next_close().get()
    make_score(forecast, 2 * forecast.last_close)
    published(symbol)
    own = predict().forecast
    assert own
    assert own.spread_factor == 1.0


def test_the_daily_job_asks_for_a_new_base_where_it_is_old_and_enough_symbols_have_bars(settings: Settings) -> None:
    settings.BASE_MIN_SYMBOLS = 2
    assert registry.base_version()
    with_long_histories("SAMPLE1", "SAMPLE2")
    base_known_until(FRIDAY - timedelta(days=settings.BASE_MAX_AGE_DAYS - 1))
    assert not daily.refresh_base()
    base_known_until(FRIDAY - timedelta(days=settings.BASE_MAX_AGE_DAYS))
    settings.BASE_MIN_SYMBOLS = 3
    assert not daily.refresh_base()
    settings.BASE_MIN_SYMBOLS = 2
    assert daily.refresh_base()
    assert daily.refresh_base()
    training = Training.objects.get()
    assert (training.subject, training.reason) == ("base", TrainingReason.TOO_OLD)


def with_long_histories(*tickers: str) -> None:
    for ticker in tickers:
        add_bars(make_symbol(ticker), count=registry.forecast_config().minimum_bars, end=FRIDAY)


def base_known_until(day: date) -> None:
    ModelVersion.objects.update(data_start=day - timedelta(days=1), data_end=day)


def test_an_old_base_is_left_alone_if_the_stored_prices_are_as_old(settings: Settings) -> None:
    settings.BASE_MIN_SYMBOLS = 2
    registry.base_version()
    with_long_histories("SAMPLE1", "SAMPLE2")
    base_known_until(FRIDAY)  # years ago
    assert not daily.refresh_base()


def test_a_base_that_was_trained_here_is_not_trained_again_every_day_whatever_its_data(settings: Settings) -> None:
    settings.BASE_MIN_SYMBOLS = 2
    with_long_histories("SAMPLE1", "SAMPLE2")
    training = make_training(None, state=TrainingState.SUCCEEDED)
    old = FRIDAY - timedelta(days=2 * settings.BASE_MAX_AGE_DAYS)
    make_version(None, training=training, data_start=old, data_end=old)
    assert not daily.refresh_base()
    ModelVersion.objects.update(trained_at=timezone.now() - timedelta(days=settings.BASE_MAX_AGE_DAYS))
    assert daily.refresh_base()


def test_a_person_sees_the_trainings_of_the_base_like_any_other() -> None:
    training = training_requests.request_base(reason=TrainingReason.TOO_OLD)
    assert positions_of([training])[training.pk].number == 1
    claimed = training_queue.claim()
    assert claimed == training
    assert training_queue.cancel(training, by="a person")
