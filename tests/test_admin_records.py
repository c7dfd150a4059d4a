"""The symbols' list: track records with what chance may do to them, and how old the prices are."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from forecasting.models import Forecast, Score, Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.models.versions import VersionState
from forecasting.prices.calendars import last_completed_session, sessions
from tests.admin_pages import page, text_of
from tests.factories import add_bar, make_forecast, make_score, make_symbol, make_version

pytestmark = pytest.mark.django_db

INSIDE, OUTSIDE = 101.0, 110.0


def scored(symbol: Symbol, *, inside: int, outside: int, ratio: float | None = None) -> None:
    """Scored forecasts of two versions; each quantile loss is `ratio` times the reference's, more or less."""
    versions = [make_version(symbol), make_version(symbol, number=2, state=VersionState.RETIRED)]
    for number in range(inside + outside):
        forecast = make_forecast(versions[number % 2], date(2024, 1, 1) + timedelta(days=number))
        wobble = 1 + 0.1 * (-1) ** number
        losses = {} if ratio is None else {"pinball_loss": ratio * wobble * 0.01, "reference_pinball_loss": 0.01}
        make_score(forecast, INSIDE if number < inside else OUTSIDE, **losses)


def shown(client: Client, **query: str) -> str:
    return text_of(client, page(Symbol, "changelist"), **query)


def test_the_record_of_all_versions_is_shown_with_the_band_of_chance(admin_client: Client) -> None:
    scored(make_symbol(), inside=30, outside=10, ratio=0.95)
    text = shown(admin_client)
    assert (
        '<span class="badge badge-quiet" title="">75.0 %</span><br><span class="note">80 \N{PLUS-MINUS SIGN} 18 %, of 40</span>'
        in text
    )
    assert '<span class="badge badge-quiet" title="">0.950</span><br><span class="note">\N{PLUS-MINUS SIGN} 0.039</span>' in text


@pytest.mark.parametrize(("inside", "outside", "tone"), [(24, 16, "warning"), (10, 30, "bad"), (40, 0, "warning")])
def test_a_coverage_outside_the_band_stands_out(admin_client: Client, inside: int, outside: int, tone: str) -> None:
    scored(make_symbol(), inside=inside, outside=outside)
    share = 100 * inside / (inside + outside)
    assert f'badge badge-{tone}" title="">{share:.1f} %</span>' in shown(admin_client)


def test_a_loss_that_is_certainly_above_the_references_stands_out(admin_client: Client) -> None:
    scored(make_symbol(), inside=32, outside=8, ratio=1.2)
    assert 'badge badge-bad" title="">1.200</span>' in shown(admin_client)


def test_a_loss_of_a_few_sessions_is_no_fault(admin_client: Client) -> None:
    scored(make_symbol(), inside=3, outside=1, ratio=1.5)
    assert 'badge badge-quiet" title="">1.500</span><br><span class="note">too few to tell</span>' in shown(admin_client)


def test_only_the_current_score_of_forecasts_of_the_next_close_counts(admin_client: Client) -> None:
    symbol = make_symbol()
    scored(symbol, inside=3, outside=1)
    forecast = Forecast.objects.latest("pk")
    Score.objects.filter(forecast=forecast).update(latest=False)
    make_score(forecast, INSIDE, reason="corrected")
    make_forecast(forecast.version, date(2024, 6, 3), horizon=5, actual_close=OUTSIDE)
    assert ">100.0 %</span>" in shown(admin_client)


def test_symbols_are_sorted_by_their_record(admin_client: Client) -> None:
    for ticker, inside in (("AAA", 3), ("BBB", 1), ("CCC", 2)):
        scored(make_symbol(ticker), inside=inside, outside=4 - inside, ratio=inside / 2)
    for column in ("6", "7"):
        text = shown(admin_client, o=column)
        assert sorted(("AAA", "BBB", "CCC"), key=lambda ticker: text.index(f">{ticker}</a>")) == ["BBB", "CCC", "AAA"]


def test_records_need_no_query_of_their_own(admin_client: Client) -> None:
    scored(make_symbol(), inside=3, outside=1, ratio=1.0)
    with CaptureQueriesContext(connection) as queries:
        shown(admin_client)
    assert len([each for each in queries if "forecasting_score" in each["sql"]]) == 1


def with_last_bar(sessions_ago: int, **values: Any) -> Symbol:
    """A symbol whose newest bar is that of an earlier session."""
    symbol = make_symbol(**({"upstream_state": UpstreamState.OK} | values))
    last = last_completed_session(symbol.calendar, now=timezone.now())
    day: datetime = sessions(symbol.calendar, first=last - timedelta(days=900), last=last)[-1 - sessions_ago]
    add_bar(symbol, day.date(), 100.0)
    return symbol


@pytest.mark.parametrize("kind", ["change", "changelist"])
def test_old_prices_are_stale_although_the_source_answered(admin_client: Client, kind: str) -> None:
    symbol = with_last_bar(477)
    text = text_of(admin_client, page(Symbol, kind, *([symbol.pk] if kind == "change" else [])))
    assert 'badge badge-warning" title="">stale</span><br><span class="note">477 sessions missing</span>' in text


def test_the_session_that_the_next_daily_job_fetches_is_no_fault(admin_client: Client) -> None:
    with_last_bar(1)
    assert 'badge badge-good" title="">ok</span><br><span class="note">1 session missing</span>' in shown(admin_client)


def test_current_prices_are_ok(admin_client: Client) -> None:
    with_last_bar(0)
    assert ">ok</span>" in shown(admin_client)
    assert "missing" not in shown(admin_client)


def test_a_source_without_prices_says_so_and_how_old_they_are(admin_client: Client) -> None:
    with_last_bar(5, upstream_state=UpstreamState.UNAVAILABLE)
    assert ">unavailable</span>" in shown(admin_client)
    assert "5 sessions missing" in shown(admin_client)


def test_prices_of_a_symbol_out_of_service_are_not_missed(admin_client: Client) -> None:
    with_last_bar(5, removed_at=timezone.now())
    assert "missing" not in shown(admin_client)
