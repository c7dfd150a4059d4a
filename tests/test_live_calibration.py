"""The online calibration of forecasts during the session: one factor per exchange and part of it."""

from datetime import date

import pytest
from pytest_django import DjangoAssertNumQueries

from forecasting import live
from forecasting.models import LiveCalibration, ModelVersion
from forecasting.pipeline.model.live import next_live_factor
from tests.factories import make_forecast, make_live_forecast
from tests.test_live import FRIDAY, MONDAY, THURSDAY, followed

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    """The version of a symbol in New York."""
    return followed()


def scored(version: ModelVersion, as_of: date, *, fraction: float, close: float = 101.0) -> None:
    """A forecast at 101, 80 % between 99 and 103, after that share of the session."""
    make_live_forecast(version, as_of, hour=int(8 * fraction), fraction=fraction, actual_close=close)


def factors() -> dict[tuple[str, int], float]:
    return {(each.exchange, each.part): each.factor for each in LiveCalibration.objects.all()}


def test_a_calibration_is_of_one_exchange_and_part_of_the_session(version: ModelVersion) -> None:
    brazilian = followed("BBB.SA")
    scored(version, THURSDAY, fraction=0.1)
    scored(version, THURSDAY, fraction=0.8, close=110.0)
    scored(brazilian, THURSDAY, fraction=0.1, close=110.0)
    assert live.calibrate() == 3
    narrower, wider = next_live_factor(1.0, 1.0), next_live_factor(1.0, 0.0)
    assert narrower < 1 < wider
    assert factors() == {("XNYS", 1): narrower, ("XNYS", 4): wider, ("BVMF", 1): wider}


def test_the_symbols_of_an_exchange_count_together(version: ModelVersion) -> None:
    scored(version, THURSDAY, fraction=0.1)
    scored(followed("BBB"), THURSDAY, fraction=0.1, close=110.0)
    assert live.calibrate() == 1
    assert factors() == {("XNYS", 1): next_live_factor(1.0, 0.5)}


def test_each_session_counts_once_and_in_order(version: ModelVersion) -> None:
    scored(version, THURSDAY, fraction=0.1, close=110.0)
    live.calibrate()
    scored(version, FRIDAY, fraction=0.1)
    assert [live.calibrate(), live.calibrate()] == [1, 0]
    assert factors() == {("XNYS", 1): next_live_factor(next_live_factor(1.0, 0.0), 1.0)}
    assert LiveCalibration.objects.get().through == MONDAY


def test_forecasts_from_before_the_session_calibrate_nothing(version: ModelVersion) -> None:
    make_forecast(version, THURSDAY, actual_close=110.0)
    assert live.calibrate() == 0


def test_a_calibration_is_three_queries_whatever_the_number_of_sessions(
    version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for as_of in (THURSDAY, FRIDAY):
        scored(version, as_of, fraction=0.1)
    with django_assert_num_queries(3):
        live.calibrate()
