"""Live monitoring: finds models with far larger errors than in their backtest, with a cool-down and few queries."""

import re
from datetime import date, timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from forecasting import monitoring
from forecasting.models import ModelVersion, Symbol
from forecasting.models.trainings import TrainingReason, TrainingState
from tests.factories import make_forecast, make_symbol, make_training
from tests.small_model import publish_model
from tests.test_version_life import LEVELS, backtest

pytestmark = pytest.mark.django_db


def serving(symbol: Symbol, *, spread: float) -> ModelVersion:
    """A version whose 20 live forecasts are the last of its backtest, with wider quantiles."""
    version = publish_model(symbol, backtest=backtest(sessions=200)[:180])
    live = backtest(sessions=200, spread=spread)[180:]
    for number, row in enumerate(live.to_dict("records")):
        quantiles = {str(int(name[1:]) / 100): row[name] for name in LEVELS}
        as_of = date(2025, 6, 2) + timedelta(days=number)
        prices = {"last_close": row["last_close"], "price": row["q50"], "actual_close": row["actual_close"]}
        make_forecast(version, as_of, quantiles=quantiles, interval_low=row["q10"], interval_high=row["q90"], **prices)
    return version


def test_a_model_whose_loss_has_grown_has_lost_performance() -> None:
    lost, well, idle = (make_symbol(f"SAMPLE{number}") for number in (1, 2, 3))
    serving(lost, spread=4.0)
    serving(well, spread=1.0)
    publish_model(idle)
    ((symbol, figures),) = monitoring.lost_performance([lost, well, idle]).items()
    assert symbol == lost
    assert re.fullmatch(
        r"Version 1: in 20 sessions its quantile loss was \d\.\d\d times that of its backtest "
        r"\(Page's test: \d+\.\d\d, limit \d+\.\d\d\)\.",
        figures,
    )


def test_what_was_found_is_kept_with_the_version_if_asked() -> None:
    version = serving(symbol := make_symbol(), spread=1.0)
    monitoring.lost_performance([symbol])
    version.refresh_from_db()
    assert version.watch is None
    monitoring.lost_performance([symbol], keep=True)
    version.refresh_from_db()
    assert version.watch is not None
    assert version.watch["sessions"] == 20
    assert 0 <= version.watch["level"] < version.watch["limit"]


def test_it_is_left_alone_for_a_while_after_a_training_for_that_reason() -> None:
    serving(symbol := make_symbol(), spread=4.0)
    made = {"reason": TrainingReason.PERFORMANCE_LOST, "state": TrainingState.SUCCEEDED}
    training = make_training(symbol, **made, created_at=timezone.now() - monitoring.COOL_DOWN + timedelta(hours=1))
    assert monitoring.lost_performance([symbol]) == {}
    training.created_at -= timedelta(hours=2)
    training.save()
    assert monitoring.lost_performance([symbol]).keys() == {symbol}


def test_the_number_of_queries_does_not_depend_on_the_symbols(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(1, 5)]
    for symbol in symbols:
        serving(symbol, spread=1.0)
    for some in (symbols[:1], symbols):
        with django_assert_num_queries(2):
            monitoring.lost_performance(some)
