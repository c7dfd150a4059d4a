"""Scoring: against the source's final close of the session, on the forecast's price scale."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F

from forecasting import scoring
from forecasting.market import OVERLAP_BARS
from forecasting.models import Forecast, PriceBar, Restatement, Score, Symbol
from forecasting.models.restatements import RestatementReason
from forecasting.models.scores import ScoreReason
from forecasting.models.versions import VersionState
from forecasting.prices.bars import PRICES
from tests.factories import add_bar, make_forecast, make_restatement, make_symbol, make_version
from tests.racing import begin_behind_us

pytestmark = pytest.mark.django_db

THURSDAY, FRIDAY, MONDAY, TUESDAY, WEDNESDAY = (
    date(2024, 6, 27),
    date(2024, 6, 28),
    date(2024, 7, 1),
    date(2024, 7, 2),
    date(2024, 7, 3),
)
SATURDAY = date(2024, 6, 29)
LATER = [date(2024, 7, day) for day in (5, 8, 9, 10, 11, 12, 15, 16, 17, 18, 19, 22)]  # sessions after Wednesday


def make_due(symbol: Symbol, **values: Any) -> Forecast:
    """Friday's forecast for Monday: last close 100, forecast 101, interval 99 to 103."""
    add_bar(symbol, FRIDAY, 100.0)
    return make_forecast(make_version(symbol), FRIDAY, **values)


def restated(symbol: Symbol, ratio: float, *, before: date, **values: Any) -> Restatement:
    """Applies a split or dividend of session `before` to the stored bars."""
    bars = PriceBar.objects.filter(symbol=symbol, date__lt=before)
    bars.update(**{name: ratio * F(name) for name in PRICES})
    return make_restatement(symbol, date=before, ratio=ratio, **values)


def settled(symbol: Symbol, day: date, close: float) -> None:
    """Changes the source's close of one session."""
    PriceBar.objects.filter(symbol=symbol, date=day).update(open=close, high=close, low=close, close=close)


def corrected(symbol: Symbol, day: date, close: float) -> None:
    """Like `settled`, for a session outside a sync's overlap. Only a whole fetch finds it, and records a restatement."""
    settled(symbol, day, close)
    make_restatement(symbol, reason=RestatementReason.CORRECTION, date=day, ratio=1.01, bars_changed=1)


def scores(forecast: Forecast) -> list[tuple[str, date, float]]:
    """Reason, session and close of each, oldest first."""
    return [(each.reason, each.actual_date, round(each.actual_close, 6)) for each in forecast.scores.order_by("pk")]


# The first score


@pytest.mark.parametrize(("actual", "inside"), [(102.0, True), (99.0, True), (103.0, True), (103.01, False), (98.99, False)])
def test_a_forecast_is_scored_against_the_close_of_its_session(actual: float, inside: bool) -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, actual)
    assert scoring.score_due() == 1
    score = forecast.scores.get()
    assert (score.symbol, score.version) == (forecast.symbol, forecast.version)
    assert (score.reason, score.actual_date, score.latest) == (ScoreReason.FIRST, MONDAY, True)
    assert (score.actual_close, score.inside_interval) == (actual, inside)
    assert score.absolute_error == pytest.approx(abs(actual - 101))
    assert score.naive_absolute_error == pytest.approx(abs(actual - 100))


def test_a_forecast_is_not_scored_before_its_session() -> None:
    forecast = make_due(make_symbol("SAMPLE1"))
    add_bar(make_symbol("SAMPLE2"), MONDAY, 102.0)
    add_bar(forecast.symbol, THURSDAY, 102.0)
    assert scoring.score_due() == 0


def test_a_scored_forecast_is_not_scored_again() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    assert [scoring.score_due(), scoring.score_due()] == [1, 0]


def test_every_version_is_scored_by_itself() -> None:
    symbol = make_symbol()
    make_due(symbol)
    make_forecast(make_version(symbol, number=2, state=VersionState.RETIRED), FRIDAY, price=103.0)
    add_bar(symbol, MONDAY, 102.0)
    assert scoring.score_due() == 2
    assert list(Score.objects.order_by("forecast__price").values_list("absolute_error", flat=True)) == [1.0, 1.0]


def test_only_the_symbols_asked_for_are_scored() -> None:
    forecasts = [make_due(make_symbol(ticker)) for ticker in ("SAMPLE1", "SAMPLE2")]
    for forecast in forecasts:
        add_bar(forecast.symbol, MONDAY, 102.0)
    assert scoring.score_due([forecasts[0].symbol]) == 1
    assert not forecasts[1].scores.exists()


def test_a_forecast_that_was_left_open_long_ago_is_scored() -> None:
    symbol = make_symbol()
    forgotten = make_due(symbol)
    for day in (MONDAY, TUESDAY, WEDNESDAY, *LATER):
        add_bar(symbol, day, 100.0)
    make_forecast(forgotten.version, LATER[-2], actual_close=100.0)
    assert scoring.score_due() == 1
    assert scores(forgotten) == [("first", MONDAY, 100.0)]


# Splits and dividends


@pytest.mark.parametrize("ratio", [0.5, 10.0, 0.997], ids=["split", "reverse split", "dividend"])
@pytest.mark.parametrize("before", [MONDAY, TUESDAY], ids=["of the target", "after the target"])
def test_a_split_after_the_forecast_does_not_change_its_score(ratio: float, before: date) -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0 if before > MONDAY else 102.0 * ratio)
    restated(forecast.symbol, ratio, before=before)
    scoring.score_due()
    score = forecast.scores.get()
    assert score.actual_close == pytest.approx(102.0)
    assert score.absolute_error == pytest.approx(1.0)
    assert score.inside_interval


def test_a_split_that_the_forecast_already_knew_does_not_count() -> None:
    symbol = make_symbol()
    forecast = make_due(symbol, restatement=make_restatement(symbol, date=MONDAY))
    add_bar(symbol, MONDAY, 102.0)
    scoring.score_due()
    assert scores(forecast) == [("first", MONDAY, 102.0)]


def test_a_split_before_the_forecast_that_became_known_later_does_not_count() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    restated(forecast.symbol, 0.5, before=FRIDAY)
    scoring.score_due()
    assert scores(forecast) == [("first", MONDAY, 102.0)]


def test_a_correction_of_the_close_that_a_forecast_knew_does_not_change_its_score() -> None:
    forecast = make_due(make_symbol())
    corrected(forecast.symbol, FRIDAY, 98.0)
    add_bar(forecast.symbol, MONDAY, 102.0)
    scoring.score_due()
    assert scores(forecast) == [("first", MONDAY, 102.0)]


@pytest.mark.parametrize("ratio", [0.5, 0.997])
def test_a_split_after_the_score_appends_nothing(ratio: float) -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    scoring.score_due()
    restated(forecast.symbol, ratio, before=TUESDAY)
    assert scoring.score_due() == 0


def test_a_chain_of_dividends_in_rounded_prices_appends_nothing() -> None:
    symbol = make_symbol()
    forecast = make_due(symbol)
    add_bar(symbol, MONDAY, 102.0)
    scoring.score_due()
    for number in range(1, 101):
        restated(symbol, 0.995, before=TUESDAY, reason=RestatementReason.DIVIDEND)
        close = PriceBar.objects.get(symbol=symbol, date=MONDAY).close
        settled(symbol, MONDAY, close * (1 + 1e-6 * (-1) ** number))
        assert scoring.score_due() == 0
    assert forecast.scores.count() == 1


# Corrections


def test_a_close_that_settles_after_the_score_is_scored_again() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    scoring.score_due()
    settled(forecast.symbol, MONDAY, 103.06)
    assert [scoring.score_due(), scoring.score_due()] == [1, 0]
    assert scores(forecast) == [("first", MONDAY, 102.0), ("corrected", MONDAY, 103.06)]
    first, last = forecast.scores.order_by("pk")
    assert (first.latest, first.inside_interval) == (False, True)
    assert (last.latest, last.inside_interval) == (True, False)
    assert last.absolute_error == pytest.approx(2.06)


def test_a_close_that_moves_within_rounding_is_not_scored_again() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    scoring.score_due()
    settled(forecast.symbol, MONDAY, 102.0 * (1 + 5e-6))
    assert scoring.score_due() == 0


def test_a_correction_beside_a_dividend_is_in_the_prices_of_the_forecast() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    scoring.score_due()
    restated(forecast.symbol, 0.99, before=TUESDAY)
    settled(forecast.symbol, MONDAY, 0.99 * 104.0)
    scoring.score_due()
    assert scores(forecast) == [("first", MONDAY, 102.0), ("corrected", MONDAY, 104.0)]


def test_every_bar_that_a_sync_repeats_may_settle() -> None:
    symbol = make_symbol()
    days = [FRIDAY, MONDAY, TUESDAY, WEDNESDAY, *LATER]
    version = make_version(symbol)
    for day in days:
        add_bar(symbol, day, 100.0)
    forecasts = [make_forecast(version, day) for day in days[:-1]]
    scoring.score_due()
    for day in days[-OVERLAP_BARS:]:
        settled(symbol, day, 101.0)
    assert scoring.score_due([symbol]) == OVERLAP_BARS
    assert [len(scores(each)) for each in forecasts] == [1] * (len(forecasts) - OVERLAP_BARS) + [2] * OVERLAP_BARS


def test_a_session_of_long_ago_is_scored_again_once_the_source_corrects_it() -> None:
    symbol = make_symbol()
    forecast = make_due(symbol)
    for day in (MONDAY, TUESDAY, WEDNESDAY, *LATER):
        add_bar(symbol, day, 100.0)
    scoring.score_due()
    make_forecast(forecast.version, LATER[-2])
    scoring.score_due()
    corrected(symbol, MONDAY, 102.5)
    assert scoring.score_due([symbol]) == 1
    assert scores(forecast) == [("first", MONDAY, 100.0), ("corrected", MONDAY, 102.5)]


def test_a_history_that_now_begins_later_leaves_the_score_alone() -> None:
    symbol = make_symbol()
    forecast = make_due(symbol)
    for day in (MONDAY, TUESDAY, WEDNESDAY, *LATER):
        add_bar(symbol, day, 100.0)
    scoring.score_due()
    PriceBar.objects.filter(symbol=symbol, date__lt=WEDNESDAY).delete()
    make_restatement(symbol, reason=RestatementReason.CORRECTION, date=FRIDAY, ratio=None)
    assert scoring.score_due() == 0
    assert forecast.scores.count() == 1


# Sessions that did not take place


def test_a_forecast_waits_for_a_session_that_may_only_be_late() -> None:
    forecast = make_due(make_symbol())
    for day in (TUESDAY, WEDNESDAY):
        add_bar(forecast.symbol, day, 102.0)
        assert (scoring.score_due(), Forecast.objects.due().count()) == (0, 0)


def test_a_forecast_of_a_session_that_did_not_take_place_is_scored_with_the_next_bar() -> None:
    forecast = make_due(make_symbol())
    for day, close in ((TUESDAY, 102.0), (WEDNESDAY, 103.0), (LATER[0], 104.0)):
        add_bar(forecast.symbol, day, close)
    assert Forecast.objects.due().get() == forecast
    assert [scoring.score_due(), scoring.score_due()] == [1, 0]
    assert scores(forecast) == [("session_moved", TUESDAY, 102.0)]


def test_a_session_that_the_calendar_did_not_know_is_the_one_that_was_forecast() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, SATURDAY, 101.0)
    assert scoring.score_due() == 0
    add_bar(forecast.symbol, MONDAY, 102.0)
    scoring.score_due()
    assert scores(forecast) == [("session_moved", SATURDAY, 101.0)]


def test_a_session_that_appears_after_all_corrects_the_score() -> None:
    forecast = make_due(make_symbol())
    for day in (TUESDAY, WEDNESDAY, LATER[0]):
        add_bar(forecast.symbol, day, 102.0)
    scoring.score_due()
    add_bar(forecast.symbol, MONDAY, 100.5)
    scoring.score_due()
    assert scores(forecast) == [("session_moved", TUESDAY, 102.0), ("corrected", MONDAY, 100.5)]


def test_a_bar_that_the_source_takes_back_moves_the_session() -> None:
    forecast = make_due(make_symbol())
    for day, close in ((MONDAY, 900.0), (TUESDAY, 102.0), (WEDNESDAY, 102.0), (LATER[0], 102.0)):
        add_bar(forecast.symbol, day, close)
    scoring.score_due()
    PriceBar.objects.filter(date=MONDAY).delete()
    scoring.score_due()
    assert scores(forecast) == [("first", MONDAY, 900.0), ("corrected", TUESDAY, 102.0)]


# At once


@pytest.mark.django_db(transaction=True)
def test_scoring_at_once_scores_once() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            assert scoring.score_due() == 1
            theirs = begin_behind_us(threads, scoring.score_due)
        assert theirs.result() == 0


@pytest.mark.django_db(transaction=True)
def test_correcting_at_once_corrects_once() -> None:
    forecast = make_due(make_symbol())
    add_bar(forecast.symbol, MONDAY, 102.0)
    scoring.score_due()
    settled(forecast.symbol, MONDAY, 103.0)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            assert scoring.score_due() == 1
            theirs = begin_behind_us(threads, scoring.score_due)
        assert theirs.result() == 0
    assert len(scores(forecast)) == 2
