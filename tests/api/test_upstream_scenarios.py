"""For each behaviour of the price source: the API's answer, the stored bars, the admin's text, the number of requests.

A symbol with a model has bars up to Wednesday; a forecast is requested on Friday evening.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from django.test import Client
from django_q.models import OrmQ
from pytest_django import Settings
from time_machine import TimeMachineFixture

from forecasting import market
from forecasting.models import Restatement, Symbol, Training
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingReason
from forecasting.prices.sources import UnknownSymbolError
from tests import fake_yahoo
from tests.admin_pages import page, text_of
from tests.api.conftest import Predict, Send
from tests.api.serving import serve
from tests.factories import make_symbol
from tests.fake_yahoo import FakeYahoo, Scenario, as_yahoo_adjusts, closed_url, failure, generated_bars
from tests.pipeline.market_data import rescaled

pytestmark = pytest.mark.django_db

WEDNESDAY, THURSDAY, FRIDAY, MONDAY = date(2024, 6, 26), date(2024, 6, 27), date(2024, 6, 28), date(2024, 7, 1)
EVENING = datetime(2024, 6, 28, 22, tzinfo=UTC)  # Friday after the close in New York
LONGER = generated_bars("AAA", first=date(2023, 9, 1), last=MONDAY)
RAW = LONGER[: pd.Timestamp(FRIDAY)]
KNOWN = RAW[: pd.Timestamp(WEDNESDAY)]
CORRECTED = RAW.assign(close=RAW["close"].mask(RAW.index == KNOWN.index[-3], RAW["low"]))
NO_SUCH_RANGE = failure(400, code="Bad Request", description="Data doesn't exist for startDate = 1, endDate = 2")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. The answer has `as_of` and `stale`; `stored` are the bars afterwards.

    `admin` is the text about prices on the symbol's page; `requests` counts the requests for prices.
    """

    as_of: date
    stale: bool
    stored: pd.DataFrame
    admin: str
    requests: int
    scenario: Scenario | None = None
    bars: pd.DataFrame = field(default_factory=lambda: RAW)
    restated: tuple[str, date, float] | None = None
    late: bool = False  # continues in the background
    now: datetime = EVENING


def fresh(**values: object) -> Row:
    """A row that ends with new bars."""
    defaults: dict[str, object] = {"as_of": FRIDAY, "stale": False, "stored": RAW, "admin": "ok", "requests": 1}
    return Row(**(defaults | values))  # type: ignore[arg-type] # one dictionary for columns of all types


def kept(admin: str, *, requests: int = 1, **values: object) -> Row:
    """A row in which the last good bars serve."""
    return fresh(as_of=WEDNESDAY, stale=True, stored=KNOWN, admin=admin, requests=requests, **values)


AS_TRADED = rescaled(RAW, slice(len(KNOWN), None), 0.5)  # twice the shares at half the price
SPLIT = as_yahoo_adjusts(AS_TRADED, through=FRIDAY, splits={THURSDAY: 2})
DIVIDEND = as_yahoo_adjusts(RAW, through=FRIDAY, dividends={THURSDAY: 0.1})
PAID = 1 - 0.1 / float(KNOWN["close"].iloc[-1])
CORRECTION = float(CORRECTED["close"].iloc[len(KNOWN) - 3] / RAW["close"].iloc[len(KNOWN) - 3])

TABLE: dict[str, Row] = {
    "increment": fresh(),
    "nothing newer yet": kept("stale", bars=KNOWN),
    "holiday": fresh(as_of=WEDNESDAY, stored=KNOWN, bars=KNOWN, now=datetime(2024, 6, 27, 15, tzinfo=UTC)),
    "split 2:1": fresh(bars=SPLIT, stored=SPLIT, requests=2, restated=("split", THURSDAY, 0.5)),
    "dividend": fresh(bars=DIVIDEND, stored=DIVIDEND, requests=2, restated=("dividend", THURSDAY, PAID)),
    "correction of an old bar": fresh(
        bars=CORRECTED, stored=CORRECTED, requests=2, restated=("correction", KNOWN.index[-3].date(), CORRECTION)
    ),
    "unfinished bar": fresh(
        scenario=fake_yahoo.unfinished_bar(FRIDAY),
        bars=RAW[: pd.Timestamp(THURSDAY)],
        stored=RAW[: pd.Timestamp(THURSDAY)],
        as_of=THURSDAY,
        now=EVENING.replace(hour=15),
    ),
    "None row": fresh(scenario=fake_yahoo.without(THURSDAY), stored=RAW.drop(pd.Timestamp(THURSDAY))),
    "None in every row": kept("bad data", scenario=fake_yahoo.only_missing_rows),
    "empty range": kept("bad data", scenario=fake_yahoo.no_rows, requests=2),
    "empty range, in words": kept("bad data", scenario=NO_SUCH_RANGE, requests=2),
    "unknown symbol": kept("unknown symbol", scenario=fake_yahoo.unknown),
    "renamed symbol": kept("unknown symbol", scenario=fake_yahoo.renamed("BBB")),
    "rate limit": kept("rate limited", scenario=fake_yahoo.rate_limited),
    "server error": kept("unavailable", scenario=fake_yahoo.broken),
    "HTML": kept("unavailable", scenario=fake_yahoo.html_page),
    "half an answer": kept("unavailable", scenario=fake_yahoo.truncated),
    "giant answer": kept("unavailable", scenario=fake_yahoo.giant),
    "trickle": kept("stale", scenario=fake_yahoo.trickle, late=True),
    "no answer": kept("stale", scenario=fake_yahoo.slow, late=True),
    "wrong unit": kept("bad data", scenario=fake_yahoo.in_pounds, requests=2),
    "wrong order": fresh(scenario=fake_yahoo.backwards),
    "every session twice": fresh(scenario=fake_yahoo.doubled),
}


@pytest.fixture
def yahoo(yahoo: FakeYahoo, settings: Settings) -> FakeYahoo:
    """The fake Yahoo server, with the bars of Wednesday."""
    settings.PREDICT_REFRESH_SECONDS = 5
    yahoo.bars["AAA"] = KNOWN
    return yahoo


@pytest.fixture
def symbol(yahoo: FakeYahoo, time_machine: TimeMachineFixture) -> Symbol:
    """A symbol with a model and bars up to Wednesday."""
    time_machine.move_to(EVENING - timedelta(days=2))
    symbol = make_symbol("AAA")
    market.sync(symbol, now=EVENING - timedelta(days=2))
    serve(symbol)
    yahoo.requests.clear()
    OrmQ.objects.all().delete()
    return symbol


def restatements_as_shown() -> list[tuple[str, date, str]]:
    return [(each.reason, each.date, f"{each.ratio:.6g}") for each in Restatement.objects.all()]


@pytest.mark.parametrize("name", TABLE)
def test_the_table(
    predict: Predict,
    admin_client: Client,
    yahoo: FakeYahoo,
    symbol: Symbol,
    time_machine: TimeMachineFixture,
    settings: Settings,
    name: str,
) -> None:
    row = TABLE[name]
    time_machine.move_to(row.now)
    yahoo.bars["AAA"] = row.bars
    if row.scenario:
        yahoo.scenarios["AAA"] = row.scenario
    if row.late:
        settings.PREDICT_REFRESH_SECONDS = 0.3

    answer = predict("AAA")

    assert (answer["status"], answer["as_of"], answer["stale"]) == ("success", row.as_of.isoformat(), row.stale)
    assert len(yahoo.charts("AAA")) == row.requests
    pd.testing.assert_frame_equal(market.bars(symbol), row.stored, check_freq=False, rtol=1e-12)
    assert answer["last_close"] == pytest.approx(float(row.stored["close"].iloc[-1]), abs=0.005)
    text = text_of(admin_client, page(Symbol, "change", symbol.pk))
    assert f">{row.admin}</span>" in text
    assert restatements_as_shown() == ([(*row.restated[:2], f"{row.restated[2]:.6g}")] if row.restated else [])
    reasons = [training.reason for training in Training.objects.active()]
    assert reasons == ([TrainingReason.DATA_REVISED] if row.restated and row.restated[0] != "correction" else [])
    if row.restated:
        assert "all restatements" in text
    assert [task.func() for task in OrmQ.objects.filter(key="short")] == (
        ["forecasting.background.tasks.sync_symbols"] if row.late else []
    )


def test_a_connection_that_is_refused(
    predict: Predict, yahoo: FakeYahoo, symbol: Symbol, settings: Settings, time_machine: TimeMachineFixture
) -> None:
    settings.YAHOO_URL = closed_url()
    time_machine.move_to(EVENING)
    answer = predict("AAA")
    assert (answer["status"], answer["as_of"], answer["stale"]) == ("success", "2024-06-26", True)
    pd.testing.assert_frame_equal(market.bars(symbol), KNOWN, check_freq=False)
    symbol.refresh_from_db()
    assert symbol.upstream_reason == "Yahoo Finance cannot be reached; check the network or try again later"
    assert yahoo.requests == []


def test_a_first_fetch(predict: Predict, yahoo: FakeYahoo, time_machine: TimeMachineFixture) -> None:
    time_machine.move_to(EVENING)
    yahoo.bars["AAA"] = RAW
    serve(symbol := make_symbol("AAA"))
    assert predict("AAA")["as_of"] == FRIDAY.isoformat()
    pd.testing.assert_frame_equal(market.bars(symbol), RAW, check_freq=False)
    assert len(yahoo.charts("AAA")) == 1


def test_a_row_that_was_none_is_filled_in_later(
    predict: Predict, yahoo: FakeYahoo, symbol: Symbol, time_machine: TimeMachineFixture
) -> None:
    time_machine.move_to(EVENING)
    yahoo.bars["AAA"] = RAW
    yahoo.scenarios["AAA"] = fake_yahoo.without(THURSDAY)
    predict("AAA")
    del yahoo.scenarios["AAA"]
    yahoo.bars["AAA"] = LONGER
    time_machine.move_to(EVENING + timedelta(days=3))
    assert predict("AAA")["as_of"] == MONDAY.isoformat()
    pd.testing.assert_frame_equal(market.bars(symbol), LONGER, check_freq=False)
    assert not Restatement.objects.exists()


def test_a_rate_limit_on_one_symbol_stops_requests_for_the_others(
    post: Send, yahoo: FakeYahoo, symbol: Symbol, time_machine: TimeMachineFixture, settings: Settings
) -> None:
    settings.UPSTREAM_IN_FLIGHT = 1
    serve(other := make_symbol("BBB"))
    yahoo.bars["BBB"] = RAW
    yahoo.scenarios["AAA"] = fake_yahoo.rate_limited
    time_machine.move_to(EVENING)
    answers = post("predict", {"symbols": ["AAA", "BBB"]})["predictions"]
    assert (answers["AAA"]["stale"], answers["BBB"]["status"]) == (True, "failed")
    assert (len(yahoo.charts("AAA")), len(yahoo.charts("BBB"))) == (1, 0)
    assert not market.bars(other).size


def test_an_unknown_symbol_is_not_asked_for_again(
    post: Send, yahoo: FakeYahoo, time_machine: TimeMachineFixture, admin_client: Client
) -> None:
    time_machine.move_to(EVENING)
    symbol = make_symbol("NOPE")
    with pytest.raises(UnknownSymbolError):
        market.sync(symbol, now=EVENING)
    for later in (timedelta(), timedelta(hours=23)):
        time_machine.move_to(EVENING + later)
        (check,) = post("check", {"symbols": ["NOPE"]})
        reason = "Training not started: Yahoo Finance has no such symbol; check its spelling and exchange suffix."
        assert (check["message"], check["training"]) == (reason, None)
        answer = post("predict", {"symbols": ["NOPE"]})["predictions"]["NOPE"]
        assert (answer["status"], answer["error"]) == ("failed", reason)
    assert len(yahoo.charts("NOPE")) == 1
    time_machine.move_to(EVENING + timedelta(days=1))
    assert post("check", {"symbols": ["NOPE"]})[0]["training"]["state"] == "queued"
    text = text_of(admin_client, page(Symbol, "change", symbol.pk))
    assert f">{UpstreamState.UNKNOWN.label}</span>" in text
    assert "2024-06-29 22:00" in text
