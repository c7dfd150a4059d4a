"""Scores of forecasts of later sessions: against the close of the target, whatever happened in between."""

from datetime import date

import numpy as np
import pytest

from forecasting import scoring
from forecasting.models import Forecast, Score
from forecasting.pipeline.evaluation.quantiles import pinball_loss
from forecasting.scorecards import Record
from tests.factories import add_bar, make_forecast, make_restatement, make_symbol, make_version

pytestmark = pytest.mark.django_db

FRIDAY = date(2024, 6, 28)
WEEK = [date(2024, 7, day) for day in (1, 2, 3, 5)]  # the fourth is a holiday
TARGET = date(2024, 7, 8)


def make_forecasts() -> tuple[Forecast, Forecast]:
    """Friday's forecasts for the next session and for the fifth one."""
    version = make_version(symbol := make_symbol())
    add_bar(symbol, FRIDAY, 100.0)
    return make_forecast(version, FRIDAY), make_forecast(version, FRIDAY, horizon=5, target_date=TARGET)


def test_each_horizon_is_scored_against_its_own_session() -> None:
    next_one, fifth = make_forecasts()
    for day in WEEK:
        add_bar(fifth.symbol, day, 102.0)
    assert scoring.score_due() == 1
    add_bar(fifth.symbol, TARGET, 90.0)
    assert scoring.score_due([fifth.symbol]) == 1
    found = {score.horizon: (score.actual_date, score.actual_close) for score in Score.objects.all()}
    assert found == {1: (WEEK[0], 102.0), 5: (TARGET, 90.0)}
    assert next_one.scores.get().basis == "close"


def test_a_bar_that_was_left_out_in_between_does_not_move_the_target() -> None:
    _, fifth = make_forecasts()
    for day in (*WEEK[1:], TARGET):
        add_bar(fifth.symbol, day, 102.0)
    scoring.score_due()
    assert (fifth.scores.get().actual_date, fifth.scores.get().reason) == (TARGET, "first")


def test_a_split_in_between_does_not_change_the_score() -> None:
    _, fifth = make_forecasts()
    add_bar(fifth.symbol, TARGET, 51.0)
    make_restatement(fifth.symbol, date=WEEK[1], ratio=0.5)
    scoring.score_due()
    assert fifth.scores.get().actual_close == pytest.approx(102.0)


def test_a_score_has_the_loss_of_the_quantiles_beside_that_of_the_reference() -> None:
    version = make_version(symbol := make_symbol())
    levels = {"0.1": 98.0, "0.5": 100.0, "0.9": 103.0}
    reference = {"0.1": 95.0, "0.5": 100.0, "0.9": 104.0}
    add_bar(symbol, FRIDAY, 100.0)
    forecast = make_forecast(version, FRIDAY, quantiles=levels, reference=reference, probability_up=0.6)
    add_bar(symbol, WEEK[0], 104.0)
    scoring.score_due()
    score = forecast.scores.get()
    actual, probabilities = np.array([np.log(104 / 100)]), np.array([0.1, 0.5, 0.9])
    losses = [pinball_loss(actual, np.log(np.array([list(each.values())]) / 100), probabilities) for each in (levels, reference)]
    assert [score.pinball_loss, score.reference_pinball_loss] == pytest.approx(losses)
    assert score.brier_score == pytest.approx(0.16)
    record = Record.of(Score.objects.sums())
    assert record.pinball_ratio == pytest.approx(losses[0] / losses[1])
    assert record.brier == pytest.approx(0.16)


def test_what_is_constant_or_unknown_is_not_scored() -> None:
    version = make_version(symbol := make_symbol())
    add_bar(symbol, FRIDAY, 100.0)
    forecast = make_forecast(version, FRIDAY, probability_up=0.5)  # of an earlier release: without a reference
    add_bar(symbol, WEEK[0], 104.0)
    scoring.score_due()
    score = forecast.scores.get()
    assert (score.brier_score, score.reference_pinball_loss) == (None, None)
    record = Record.of(Score.objects.sums())
    assert (record.forecasts, record.pinball_ratio, record.brier) == (1, None, None)


def test_later_sessions_are_not_part_of_the_track_record() -> None:
    next_one, fifth = make_forecasts()
    for day in (*WEEK, TARGET):
        add_bar(next_one.symbol, day, 102.0)
    scoring.score_due()
    assert [record["forecasts"] for record in Score.objects.track_record()] == [1]
    assert fifth.scores.count() == 1


def test_a_close_that_did_not_move_says_nothing_of_the_probability_of_a_rise() -> None:
    version = make_version(symbol := make_symbol())
    add_bar(symbol, FRIDAY, 100.0)
    forecast = make_forecast(version, FRIDAY, probability_up=0.6)
    add_bar(symbol, WEEK[0], 100.0)
    scoring.score_due()
    assert forecast.scores.get().brier_score is None
