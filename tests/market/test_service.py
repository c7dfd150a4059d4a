"""Symbols in and out of service, and symbols that are forgotten: what each change touches, and what it leaves."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from forecasting import market
from forecasting.models import Forecast, ModelVersion, PriceBar, Symbol, Training
from forecasting.models.locks import lock_symbols
from forecasting.models.trainings import TrainingState
from tests.factories import add_bars, make_claimed, make_forecast, make_restatement, make_symbol, make_training, make_version
from tests.racing import at_once

pytestmark = pytest.mark.django_db


def forget() -> list[str]:
    return market.forget(Symbol.objects.all())


# Out of service and back


def test_a_removed_symbol_keeps_its_history() -> None:
    add_bars(symbol := make_symbol())
    make_forecast(make_version(symbol), timezone.localdate())
    market.remove([symbol], by="somebody")
    assert Symbol.objects.get().removed_at
    for table in (PriceBar, ModelVersion, Forecast):
        assert table._default_manager.exists()


@pytest.mark.parametrize("make", [make_training, make_claimed])
def test_its_active_training_is_cancelled(make: Callable[[Symbol], Training]) -> None:
    training = make(symbol := make_symbol())
    other = make_training(make_symbol("SAMPLE2"))
    market.remove([symbol], by="somebody")
    training.refresh_from_db()
    other.refresh_from_db()
    assert (training.state, other.state) == (TrainingState.CANCELLED, TrainingState.QUEUED)


def test_a_second_removal_keeps_the_time_of_the_first() -> None:
    market.remove([symbol := make_symbol()], by="somebody")
    before = Symbol.objects.get().removed_at
    market.remove([symbol], by="somebody")
    assert Symbol.objects.get().removed_at == before


def test_it_is_neither_followed_nor_synced_nor_suggested() -> None:
    add_bars(symbol := make_symbol("PETR4.SA"))
    market.remove([symbol], by="somebody")
    assert not Symbol.objects.followed().exists()
    assert not Symbol.objects.worth_asking(now=timezone.now()).exists()
    assert not Symbol.objects.like(["PETR4"]).exists()


def test_a_restored_symbol_is_in_service() -> None:
    market.remove([symbol := make_symbol()], by="somebody")
    market.restore([symbol], by="somebody")
    assert Symbol.objects.in_service().get() == symbol


# Forgotten


def test_a_symbol_without_bars_is_forgotten_with_its_failed_trainings() -> None:
    make_training(make_symbol(), state=TrainingState.FAILED)
    assert forget() == ["SAMPLE1"]
    assert not Symbol.objects.exists()
    assert not Training.objects.exists()


@pytest.mark.parametrize("trace", [add_bars, make_version, make_training, make_restatement])
def test_a_symbol_of_which_something_exists_stays(trace: Callable[[Symbol], object]) -> None:
    trace(make_symbol())
    assert forget() == []


def test_a_symbol_with_forecasts_stays() -> None:
    make_forecast(make_version(None), timezone.localdate(), symbol=make_symbol())
    assert forget() == []


def test_a_removed_symbol_stays() -> None:
    market.remove([make_symbol()], by="somebody")
    assert forget() == []


@pytest.mark.django_db(transaction=True)
def test_a_symbol_that_is_being_synced_stays() -> None:
    with lock_symbols([make_symbol()]):
        assert at_once([forget]) == [[]]


def test_all_batches_are_forgotten() -> None:
    Symbol.objects.bulk_create(Symbol(ticker=f"NOPE{number}") for number in range(1001))
    assert len(forget()) == 1001


# By the daily job


def old_symbol(**values: object) -> Symbol:
    symbol = make_symbol()
    Symbol.objects.update(**({"created_at": timezone.now() - timedelta(days=2)} | values))
    return symbol


def forgotten_by_the_daily_job() -> list[str]:
    return market.forget(market.forgettable(now=timezone.now()))


def test_the_daily_job_forgets_an_old_symbol_without_anything() -> None:
    old_symbol()
    assert forgotten_by_the_daily_job() == ["SAMPLE1"]


def test_it_leaves_what_is_new_or_was_asked_for_lately() -> None:
    old_symbol(upstream_checked_at=timezone.now() - timedelta(hours=23))
    make_symbol("SAMPLE2")
    assert forgotten_by_the_daily_job() == []


def test_it_leaves_a_symbol_whose_training_failed() -> None:
    make_training(old_symbol(), state=TrainingState.FAILED)
    assert forgotten_by_the_daily_job() == []
