"""The daily job's syncs: in slices, and incomplete if the price source did not answer for every symbol."""

from datetime import date
from pathlib import Path

import pytest
from django.db.models.functions import Now
from django_q.models import OrmQ

from forecasting.background import daily, daily_sync, tasks
from forecasting.market import rate_limit
from forecasting.models import JobRun, PriceBar, Upstream
from forecasting.models.jobs import JobState
from tests.background.test_daily import FRIDAY, listed
from tests.factories import make_symbol
from tests.fake_yahoo import FakeYahoo, broken, generated_bars, only_missing_rows, rate_limited

pytestmark = pytest.mark.django_db

TICKERS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")


@pytest.fixture
def market(yahoo: FakeYahoo, monkeypatch: pytest.MonkeyPatch) -> FakeYahoo:
    """A price source that knows six symbols; its circuit breaker opens for rate limits only."""
    monkeypatch.setattr(rate_limit, "FAILURES_TO_OPEN", 1000)
    yahoo.bars = {ticker: generated_bars(ticker, first=date(2024, 1, 2), last=FRIDAY) for ticker in TICKERS}
    for ticker in TICKERS:
        make_symbol(ticker)
    return yahoo


def run() -> JobRun:
    """Today's run after one more task."""
    tasks.resume_daily_job() if JobRun.objects.exists() else tasks.daily_job()
    return JobRun.objects.get()


@pytest.mark.usefixtures("folder")
def test_a_long_sync_continues_in_the_next_task(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = listed(folder, "AAA"), listed(folder, "BBB")
    monkeypatch.setattr(daily_sync, "SLICE_SECONDS", -1)
    JobRun.objects.create(job="daily", date=daily.due_date(), report={"symbols": 1, "last_symbol": first.pk})
    assert tasks.daily_job() == "not finished"
    (task,) = OrmQ.objects.all()
    assert task.func() == "forecasting.background.tasks.daily_job"
    monkeypatch.undo()
    assert tasks.daily_job() == "done"
    assert JobRun.objects.get().report["symbols"] == 2
    assert not PriceBar.objects.of(first).exists()
    assert PriceBar.objects.of(second).exists()


def test_a_run_that_tried_every_symbol_succeeds_even_if_some_have_no_or_bad_prices(market: FakeYahoo) -> None:
    market.scenarios |= {"AAA": only_missing_rows}
    del market.bars["BBB"]
    done = run()
    assert (done.told_state, done.error, done.report["not_tried"]) == ("succeeded", "", {})
    assert {"AAA", "BBB"} <= done.report["not_synced"].keys()


def test_a_symbol_without_an_answer_makes_the_run_incomplete_and_is_tried_again(market: FakeYahoo) -> None:
    market.scenarios["BBB"] = broken
    first = run()
    assert (first.state, first.told_state) == (JobState.INCOMPLETE, "incomplete 5/6")
    assert first.error.startswith("BBB: Yahoo Finance ")
    del market.scenarios["BBB"]
    asked = len(market.charts("AAA"))
    assert (run().told_state, run().error, len(market.charts("AAA"))) == ("succeeded", "", asked)


def test_the_reason_names_the_first_symbols_without_an_answer(market: FakeYahoo) -> None:
    market.scenarios |= dict.fromkeys(TICKERS[:4], broken)
    told = run().error
    assert [ticker for ticker in TICKERS if f"{ticker}: Yahoo Finance " in told] == ["AAA", "BBB", "CCC"]
    assert told.endswith("; 1 more")


def test_single_symbols_without_an_answer_are_not_tried_for_ever(market: FakeYahoo) -> None:
    market.scenarios["BBB"] = broken
    for _ in range(daily_sync.ROUNDS):
        assert run().told_state == "incomplete 5/6"
    assert tasks.resume_daily_job() == "nothing to resume"


@pytest.mark.parametrize(("failing", "told"), [(4, "incomplete 2/6"), (5, "incomplete 0/6")])
def test_a_source_that_is_out_of_reach_for_five_symbols_in_a_row_ends_the_sync(market: FakeYahoo, failing: int, told: str) -> None:
    market.scenarios |= dict.fromkeys(TICKERS[:failing], broken)
    ended = run()
    assert ended.told_state == told
    assert ended.error.startswith("At EEE: ") == (failing == 5)


def test_symbols_that_were_never_tried_come_before_those_without_an_answer(market: FakeYahoo) -> None:
    market.scenarios |= dict.fromkeys(TICKERS[:5], broken)
    run()
    assert run().told_state == "incomplete 1/6"


def test_a_rate_limit_ends_the_sync_but_not_the_run(market: FakeYahoo) -> None:
    market.scenarios["AAA"] = market.scenarios["BBB"] = rate_limited
    ended = run()
    assert len(market.charts("AAA") + market.charts("BBB")) == 1
    assert ended.told_state == "incomplete 0/6"
    until = Upstream.objects.get().open_until
    assert until
    assert ended.error.startswith(f"the price source is paused until {until:%Y-%m-%d %H:%M} UTC, because Yahoo Finance ")
    assert "forecasts" in ended.report


def test_an_incomplete_run_resumes_once_the_price_source_may_be_asked_again(market: FakeYahoo) -> None:
    market.scenarios["AAA"] = rate_limited
    assert tasks.daily_job() == "incomplete"
    assert tasks.resume_daily_job() == "nothing to resume"
    del market.scenarios["AAA"]
    Upstream.objects.update(open_until=Now())
    assert tasks.resume_daily_job() == "done"
    done = JobRun.objects.get()
    assert (done.state, done.report["symbols"], done.error) == (JobState.SUCCEEDED, 6, "")
    assert "sync_ended" not in done.report
