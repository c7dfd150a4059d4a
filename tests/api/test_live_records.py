"""During a session: which forecasts are kept, and how they are scored."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings
from time_machine import TimeMachineFixture

from forecasting import live, scoring
from forecasting.models import Forecast, LiveCalibration, Quote, Symbol
from tests.api.conftest import At, Send
from tests.api.live_session import CLOSE, FRIDAY, LONGER, MONDAY, RISE, followed, live_rows, monday, price_at
from tests.api.serving import serve
from tests.fake_yahoo import FakeYahoo, as_yahoo_adjusts, day_of_trades, trading
from tests.racing import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def symbol(yahoo: FakeYahoo, settings: Settings, time_machine: TimeMachineFixture) -> Symbol:
    """A symbol with a model and bars up to Friday, which trades on Monday."""
    settings.PREDICT_REFRESH_SECONDS = 5
    return followed("AAA", yahoo, time_machine)


def test_two_requests_at_once_keep_one_forecast(transactional_db: None, at: At, symbol: Symbol, post: Send) -> None:
    at(monday(14, 59))
    answers = at_once([lambda: post("predict", {"symbols": ["AAA"]})["predictions"]["AAA"]] * 2)
    assert answers[0] == answers[1]
    assert len(live_rows()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"issued_at": monday(20, 1), "quarter": monday(20)},  # after the close
        {"known_until": monday(16, 1)},  # later than issued
        {"known_until": monday(13)},  # before the open
        {"quarter": monday(15, 45)},  # of another quarter
        {"session_fraction": 1.5},
        {"price_now": None},
        {"known_until": None},
        {"target_closes": None},
    ],
)
def test_the_database_refuses_a_forecast_that_knows_too_much_or_nothing(at: At, symbol: Symbol, wrong: dict[str, Any]) -> None:
    at(monday(16))
    (row,) = live_rows()
    for name, value in wrong.items():
        setattr(row, name, value)
    row.pk, row._state.adding = None, True
    row.version = serve(symbol)
    with pytest.raises(IntegrityError, match="forecast_knows_the_past_only"), transaction.atomic():
        row.save()


def test_it_is_scored_at_the_close_and_calibrates_its_part_of_the_session(
    at: At, symbol: Symbol, yahoo: FakeYahoo, post: Send, time_machine: TimeMachineFixture
) -> None:
    at(monday(13, 31))
    at(monday(17))
    del yahoo.scenarios["AAA"]
    yahoo.bars["AAA"] = LONGER.assign(close=LONGER["close"].mask(LONGER.index == str(MONDAY), price_at(monday(20))))
    yahoo.bars["AAA"]["high"] = yahoo.bars["AAA"][["high", "close"]].max(axis=1)
    at(monday(21))
    scoring.score_due()
    scores = [row.scores.get() for row in live_rows()]
    assert [score.part for score in scores] == [0, 3]
    assert all(score.pinball_loss and score.reference_pinball_loss for score in scores)
    assert live.calibrate() == 2
    assert live.calibrate() == 0
    factors = {each.part: each.factor for each in LiveCalibration.objects.filter(exchange="XNYS")}
    for score in scores:
        assert (factors[score.part or 0] < 1) == score.inside_interval
    (metrics,) = post("metrics", {"symbols": ["AAA"]})
    assert metrics["metrics"]["by_basis"]["live"]["live"]["forecasts"] == 2
    assert metrics["metrics"]["by_part"]["0.5"]["forecasts"] == 1
    assert metrics["metrics"]["live"]["forecasts"] == 1


def test_a_dividend_of_the_session_that_comes_in_the_evening_does_not_change_the_close_it_is_scored_with(
    at: At, symbol: Symbol, yahoo: FakeYahoo
) -> None:
    at(monday(12))
    at(monday(17))
    del yahoo.scenarios["AAA"]
    traded = LONGER.assign(close=LONGER["close"].mask(LONGER.index == str(MONDAY), price_at(monday(20))))
    traded["high"] = traded[["high", "close"]].max(axis=1)
    yahoo.bars["AAA"] = as_yahoo_adjusts(traded, through=MONDAY, dividends={MONDAY: 0.5})
    at(monday(21))
    scoring.score_due()
    (row,) = live_rows()
    assert row.scores.get().actual_close == pytest.approx(price_at(monday(20)))
    before = Forecast.objects.get(basis="close", as_of=FRIDAY, horizon=1).scores.get()
    assert before.actual_close > price_at(monday(20))  # in the prices of Friday


def test_the_next_forecast_of_that_part_has_the_learned_width(at: At, symbol: Symbol) -> None:
    LiveCalibration.objects.create(exchange="XNYS", part=3, factor=1.2, through=FRIDAY)
    at(monday(15))
    at(monday(17))
    assert [row.spread_factor for row in live_rows()] == [1.0, 1.2]


def test_later_trades_do_not_change_a_forecast(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    first = at(monday(16))
    Forecast.objects.filter(basis="live")._raw_delete("default")
    Quote.objects.all().delete()
    wild = [*RISE[:2], 0.8 * CLOSE]
    yahoo.scenarios["AAA"] = trading(
        [trade for trade in day_of_trades("AAA", MONDAY, prices=RISE) if trade[0] <= monday(16)]
        + [trade for trade in day_of_trades("AAA", MONDAY, prices=wild) if trade[0] > monday(16)]
    )
    assert at(monday(16)) == first
