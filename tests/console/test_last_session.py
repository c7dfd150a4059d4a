"""The last session of each exchange."""

from datetime import timedelta

import pytest

from forecasting.console.last_session import last_sessions
from forecasting.models import Score
from tests.console.scored import LAST, score_days
from tests.factories import make_forecast, make_score, make_symbol, make_version

pytestmark = pytest.mark.django_db


def score(ticker: str, close: float, *, back: int = 0, **values: object) -> Score:
    """One score of a forecast of 101, between 99 and 103, so many days before LAST."""
    day = LAST - timedelta(days=back)
    version = make_version(make_symbol(ticker))
    return make_score(make_forecast(version, day - timedelta(days=1), target_date=day, **values), close)


def test_each_exchange_has_its_last_session() -> None:
    score_days(make_version(make_symbol("PETR4.SA")), [False, False, True])
    score("AAPL", 90.9, back=1)
    assert [(each.exchange, each.date, each.share) for each in last_sessions()] == [
        ("BVMF", LAST, 1.0),
        ("XNYS", LAST - timedelta(days=1), 0.0),
    ]


def test_the_largest_misses_are_named_first_and_at_most_five() -> None:
    for number in range(7):
        score(f"A{number}", 104.0 + number)
    score("INSIDE", 102.0)
    (session,) = last_sessions()
    assert [miss.ticker for miss in session.misses] == ["A6", "A5", "A4", "A3", "A2"]
    assert session.misses[0].error == pytest.approx(9.0)
    assert (session.inside, session.count, session.level) == (1, 8, 0.8)


def test_the_median_error_is_in_percent_of_the_last_close() -> None:
    score("A", 102.0)
    score("B", 98.0)
    score("C", 1010.0, last_close=1000.0, price=1000.0, interval_low=990.0, interval_high=1020.0)
    assert last_sessions()[0].median_error == pytest.approx(1.0)


@pytest.mark.parametrize(("inside", "verdict"), [(16, "usual"), (5, "a rough session")])
def test_a_session_is_rough_only_if_chance_does_not_explain_it(inside: int, verdict: str) -> None:
    for number in range(20):
        score(f"A{number}", 101.0 if number < inside else 110.0)
    assert last_sessions()[0].verdict == verdict


def test_an_exchange_without_a_recent_session_is_left_out() -> None:
    score("AAPL", 101.0)
    score("PETR4.SA", 101.0, back=10)
    assert [each.exchange for each in last_sessions()] == ["XNYS"]


def test_corrected_scores_and_later_horizons_do_not_count() -> None:
    first = score("AAPL", 110.0)
    Score.objects.filter(pk=first.pk).update(latest=False)
    make_score(first.forecast, 101.0, reason="corrected")
    make_forecast(first.version, LAST - timedelta(days=5), target_date=LAST, horizon=5, actual_close=110.0)
    assert [(each.count, each.inside) for each in last_sessions()] == [(1, 1)]


def test_there_is_no_session_before_the_first_score() -> None:
    assert last_sessions() == []
