"""Forecasts in the lists: what they knew, and how they were scored."""

from datetime import UTC, date, datetime, timedelta

import pytest

from forecasting.models.scores import ScoreReason
from tests.api.conftest import Send
from tests.factories import make_forecast, make_score, make_symbol, make_version

pytestmark = pytest.mark.django_db

DAY = date(2025, 5, 28)


def test_quantiles_ascend(get: Send) -> None:
    make_forecast(make_version(make_symbol()), DAY)
    (row,) = get("/models/forecasts")["results"]
    assert list(row["quantiles"]) == ["0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "0.95"]


def test_forecasts_show_their_scores(get: Send) -> None:
    version = make_version(make_symbol(), number=3)
    forecast = make_forecast(version, DAY, actual_close=101.5, simulated=True)
    (row,) = get("/models/forecasts")["results"]
    issued_at = row.pop("issued_at")
    assert row == {
        "id": forecast.pk,
        "symbol": "SAMPLE1",
        "version": 3,
        "version_id": version.pk,
        "kind": "symbol",
        "as_of": "2025-05-28",
        "target_date": "2025-05-29",
        "horizon": 1,
        "basis": "close",
        "known_until": None,
        "leads": None,
        "price_now": None,
        "session_fraction": None,
        "last_close": 100.0,
        "predicted_price": 101.0,
        "price": 101.0,
        "quantiles": forecast.quantiles,
        "interval_level": 0.8,
        "interval_low": 99.0,
        "interval_high": 103.0,
        "spread_factor": 1.0,
        "probability_up": 0.75,
        "currency": "USD",
        "simulated": True,
        "actual_date": "2025-05-29",
        "actual_close": 101.5,
        "absolute_error": 0.5,
        "naive_absolute_error": 1.5,
        "inside_interval": True,
        "scored_at": "2025-05-30T00:00:00Z",
    }
    assert datetime.fromisoformat(issued_at) == forecast.issued_at


def test_a_forecast_that_knew_other_markets_names_them(get: Send) -> None:
    opens = datetime(2025, 5, 29, 13, 30, tzinfo=UTC)
    known = {"known_until": opens - timedelta(minutes=5), "issued_at": opens - timedelta(minutes=4), "target_opens": opens}
    leads = [{"symbol": "SPY", "session": "2025-05-28", "percentage": 0.8}]
    make_forecast(make_version(make_symbol()), DAY, basis="lead", leads=leads, **known)
    (row,) = get("/models/forecasts", {"basis": "lead"})["results"]
    assert (row["basis"], row["known_until"], row["leads"]) == ("lead", "2025-05-29T13:25:00Z", leads)
    assert get("/models/forecasts", {"horizon": "5"})["results"] == []


def test_a_forecast_shows_its_latest_score_and_its_detail_all_scores(get: Send) -> None:
    forecast = make_forecast(make_version(make_symbol()), DAY, actual_close=101.5)
    forecast.scores.update(latest=False)
    make_score(forecast, 104.0, actual_date=date(2025, 5, 30), reason=ScoreReason.CORRECTED)
    row = get("/models/forecasts/{id}", id=forecast.pk)
    last, first = row.pop("scores")
    assert get("/models/forecasts")["results"] == [row]
    assert last == {
        "actual_date": "2025-05-30",
        "actual_close": 104.0,
        "absolute_error": 3.0,
        "naive_absolute_error": 4.0,
        "inside_interval": False,
        "scored_at": "2025-05-30T00:00:00Z",
        "reason": "corrected",
    }
    assert (first["actual_close"], first["reason"]) == (101.5, "first")
    assert {name: row[name] for name in last if name != "reason"} | {"reason": "corrected"} == last


def test_a_forecast_of_a_future_session_has_no_score(get: Send) -> None:
    forecast = make_forecast(make_version(make_symbol()), DAY)
    row = get("/models/forecasts/{id}", id=forecast.pk)
    assert [row[name] for name in ("actual_date", "actual_close", "inside_interval", "scored_at")] == [None] * 4
    assert row["scores"] == []
