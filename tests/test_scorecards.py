"""Scorecards: how the forecasts of each symbol turned out."""

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from forecasting.models.versions import VersionState
from forecasting.scorecards import Record, Scorecard, scorecards
from tests.factories import make_forecast, make_live_forecast, make_symbol, make_version
from tests.test_ledger import FRIDAY, MONDAY, THURSDAY

pytestmark = pytest.mark.django_db


def test_a_scorecard_sums_up_the_forecasts_of_all_versions_of_a_symbol() -> None:
    symbol = make_symbol()
    old, active = make_version(symbol, number=1, state=VersionState.RETIRED), make_version(symbol, number=2)
    make_forecast(old, THURSDAY, actual_close=102.0)
    make_forecast(active, FRIDAY, actual_close=105.0)
    make_forecast(active, MONDAY)
    cards = scorecards(["SAMPLE1", "SAMPLE2"])
    assert {ticker: (card.version, card.live) for ticker, card in cards.items()} == {
        "SAMPLE1": (active, Record(forecasts=2, mae=2.5, naive_mae=3.5, coverage=0.5))
    }


def test_a_scorecard_tells_bases_and_horizons_apart() -> None:
    version = make_version(make_symbol())
    opens = datetime.now(UTC) + timedelta(hours=1)
    known = {"basis": "lead", "leads": [], "known_until": opens - timedelta(hours=2), "target_opens": opens}
    make_forecast(version, FRIDAY, actual_close=105.0)
    make_forecast(version, FRIDAY, actual_close=102.0, **known)
    make_forecast(version, FRIDAY, actual_close=103.0, horizon=5)
    for hour, fraction, close in ((0, 0.3, 104.0), (1, 0.4, 103.0), (3, 0.8, 105.0)):
        make_live_forecast(version, FRIDAY, hour=hour, fraction=fraction, actual_close=close)
    card = scorecards(["SAMPLE1"])["SAMPLE1"]
    assert {basis: record.live.mae for basis, record in card.by_basis.items()} == {"close": 4.0, "lead": 1.0, "live": 3.0}
    assert {share: record.mae for share, record in card.by_part.items() if record.forecasts} == {"0.25": 2.5, "0.75": 4.0}
    assert {sessions: record.live.mae for sessions, record in card.by_horizon.items()} == {
        "1": 4.0,
        "5": 2.0,
        "10": None,
        "21": None,
    }
    assert card.live == card.by_basis["close"].live == card.by_horizon["1"].live


def test_a_model_without_a_record_has_an_empty_scorecard() -> None:
    version = make_version(make_symbol())
    assert scorecards(["SAMPLE1"]) == {"SAMPLE1": Scorecard(version, [])}


def test_scorecards_are_those_of_the_active_versions_of_the_named_symbols() -> None:
    symbol = make_symbol()
    active = make_version(symbol, number=1)
    make_version(symbol, number=2, state=VersionState.REJECTED)
    make_version(make_symbol("SAMPLE2"))
    make_version(None)
    assert {ticker: card.version for ticker, card in scorecards(["SAMPLE1"]).items()} == {"SAMPLE1": active}


def test_scorecards_are_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(4):
        make_forecast(make_version(make_symbol(f"SAMPLE{number}")), FRIDAY, actual_close=102.0)
    with django_assert_num_queries(1):
        assert len(scorecards([f"SAMPLE{number}" for number in range(4)])) == 4
