"""The read-only lists: symbols, versions, trainings, forecasts."""

from datetime import UTC, date, datetime

import pytest
from rest_framework.test import APIClient

from forecasting import registry
from forecasting.models import Forecast, Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import VersionState
from tests.api.conftest import Count, Send
from tests.api.rows import LISTS, make_rows
from tests.factories import METRICS, add_bars, make_forecast, make_restatement, make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db

DAY = date(2025, 5, 28)
NAIVE = METRICS["naive"]


@pytest.mark.parametrize("name", LISTS)
def test_an_empty_list_is_one_empty_page(get: Send, name: str) -> None:
    assert get(f"/models/{name}") == {"count": 0, "next": None, "previous": None, "results": []}


@pytest.mark.parametrize("name", LISTS)
def test_a_trailing_slash_is_optional(client: APIClient, name: str) -> None:
    assert client.get(f"/models/{name}/").json() == client.get(f"/models/{name}").json()


@pytest.mark.parametrize("name", LISTS)
def test_a_page_links_to_its_neighbours(get: Send, name: str) -> None:
    make_rows(3)
    first, second = (get(f"/models/{name}", {"page_size": 2, "page": page}) for page in (1, 2))
    assert [len(first["results"]), len(second["results"])] == [2, 1]
    assert (first["count"], first["previous"], second["next"]) == (3, None, None)
    assert first["next"] == f"http://testserver/models/{name}?page=2&page_size=2"
    assert second["previous"] == f"http://testserver/models/{name}?page_size=2"
    assert {row["symbol"] for page in (first, second) for row in page["results"]} == {"SAMPLE1", "SAMPLE2", "SAMPLE3"}


def test_a_page_has_fifty_rows_unless_the_client_says_otherwise(get: Send) -> None:
    for number in range(1, 52):
        make_symbol(f"SAMPLE{number}")
    assert len(get("/models/symbols")["results"]) == 50


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("page", ["2", str(10**30)])
def test_a_page_that_does_not_exist_is_not_found(get: Send, name: str, page: str) -> None:
    answer = get(f"/models/{name}", {"page": page}, status=404)
    assert (answer["error"].startswith("Invalid page"), answer["details"]) == (True, {})


def test_symbols_show_their_newest_bar(get: Send) -> None:
    symbol = make_symbol("BBAS3.SA", upstream_state=UpstreamState.UNAVAILABLE, upstream_reason="It did not answer.")
    *_, newest = add_bars(symbol, count=3)
    assert get("/models/symbols")["results"] == [
        {
            "symbol": "BBAS3.SA",
            "exchange": "BVMF",
            "currency": "BRL",
            "last_date": newest.date.isoformat(),
            "last_close": newest.close,
            "synced_at": None,
            "upstream_state": "unavailable",
            "upstream_reason": "It did not answer.",
            "unknown_until": None,
            "removed_at": None,
            "paused_at": None,
            "pinned_version_id": None,
            "restatements": [],
        }
    ]


def test_an_unknown_symbol_has_no_exchange(get: Send) -> None:
    Symbol.objects.all().ensure(["NOPE"])
    (row,) = get("/models/symbols")["results"]
    assert (row["exchange"], row["currency"]) == (None, "")


def test_each_version_has_a_live_record_of_its_own(get: Send) -> None:
    old = make_version(symbol := make_symbol(), state=VersionState.RETIRED)
    new = make_version(symbol, number=2)
    base = make_version(None)
    make_forecast(old, date(2025, 6, 2), actual_close=103.0)  # 2 off, naive 3
    make_forecast(new, date(2025, 6, 3), actual_close=100.5)  # 0.5 off, naive 0.5
    make_forecast(new, date(2025, 6, 4), actual_close=104.5)  # 3.5 off, naive 4.5, outside
    make_forecast(new, date(2025, 6, 5))
    make_forecast(base, date(2025, 6, 2), symbol=symbol, actual_close=103.0)
    live = {row["id"]: row["live"] for row in get("/models/versions")["results"]}
    assert live == {
        old.pk: {"forecasts": 1, "mae": 2.0, "mase": 2 / 3, "coverage_80": 1.0},
        new.pk: {"forecasts": 2, "mae": 2.0, "mase": 0.8, "coverage_80": 0.5},
        base.pk: None,
    }


def test_versions_show_their_metrics_unrounded(get: Send) -> None:
    version = make_version(make_symbol(), trained_at=datetime(2025, 6, 1, 3, 4, 5, tzinfo=UTC))
    (row,) = get("/models/versions")["results"]
    assert row == {
        "id": version.pk,
        "symbol": "SAMPLE1",
        "kind": "symbol",
        "number": 1,
        "state": "active",
        "decision": "First version.",
        "activated_at": None,
        "metrics": METRICS | {"unit": "USD", "r2": METRICS["R²"], "naive": NAIVE | {"r2": NAIVE["R²"]}},
        "config": version.config,
        "data_start": "2020-01-02",
        "data_end": "2025-06-02",
        "bar_count": 1360,
        "files": version.files,
        "trained_at": "2025-06-01T03:04:05Z",
        "files_state": "kept",
        "data_revised": False,
        "pinned": False,
        "live": {"forecasts": 0, "mae": None, "mase": None, "coverage_80": None},
    }


def test_a_bases_errors_have_a_unit_and_its_median_a_reason(get: Send) -> None:
    registry.base_version()
    (row,) = get("/models/versions")["results"]
    metrics = row["metrics"]
    assert metrics["unit"] == "share of the last close"
    assert metrics["median"]["weight"] == 0
    assert metrics["median"]["p"] > 0.05
    assert metrics["symbols"] > 50


def test_symbols_show_their_newest_restatements_and_versions_that_their_bars_were_revised(get: Send) -> None:
    version = make_version(symbol := make_symbol(), trained_at=datetime(2025, 6, 1, tzinfo=UTC))
    for day in range(1, 8):
        make_restatement(symbol, date=date(2025, 6, day), restated_at=datetime(2025, 6, day, 3, tzinfo=UTC))
    (row,) = get("/models/symbols")["results"]
    assert get("/models/symbols/{ticker}", ticker="SAMPLE1") == row
    assert [each["date"] for each in row["restatements"]] == [f"2025-06-0{day}" for day in (7, 6, 5, 4, 3)]
    assert row["restatements"][0] == {
        "reason": "split",
        "date": "2025-06-07",
        "ratio": 0.5,
        "bars_changed": 1360,
        "restated_at": "2025-06-07T03:00:00Z",
    }
    assert get("/models/versions/{id}", id=version.pk)["data_revised"] is True


def test_a_base_model_belongs_to_no_symbol(get: Send) -> None:
    make_version(None)
    (row,) = get("/models/versions")["results"]
    assert (row["symbol"], row["kind"]) == (None, "base")


def test_trainings_show_why_they_failed(get: Send) -> None:
    training = make_training(make_symbol(), state=TrainingState.FAILED, error="It has 10 bars.", stage="prices", progress=0.25)
    (row,) = get("/models/trainings")["results"]
    times = {name: row.pop(name) for name in ("created_at", "started_at", "finished_at")}
    assert row == {
        "id": training.pk,
        "symbol": "SAMPLE1",
        "state": "failed",
        "reason": "requested",
        "priority": 50,
        "attempts": 1,
        "stage": "prices",
        "epoch": None,
        "epochs": None,
        "progress": 0.25,
        "error": "It has 10 bars.",
        "version": None,
        "version_id": None,
    }
    assert all(each.endswith("Z") for each in times.values())


def test_a_training_names_the_version_that_it_produced(get: Send) -> None:
    training = make_training(symbol := make_symbol(), state=TrainingState.SUCCEEDED)
    version = make_version(symbol, number=4, training=training)
    (row,) = get("/models/trainings")["results"]
    assert (row["version"], row["version_id"]) == (4, version.pk)
    assert get("/models/trainings/{id}", id=training.pk) == row


def test_symbols_that_are_only_leads_are_not_listed(get: Send) -> None:
    make_symbol("SAMPLE1")
    make_symbol("SPY", followed=False)
    page = get("/models/symbols")
    assert (page["count"], [row["symbol"] for row in page["results"]]) == (1, ["SAMPLE1"])
    assert get("/models/symbols", {"symbol": "SPY"})["count"] == 0
    get("/models/symbols/{ticker}", ticker="SPY", status=404)


@pytest.mark.parametrize("name", ["version", "training", "forecast"])
def test_a_row_is_found_by_its_id(get: Send, name: str) -> None:
    make_rows(1)
    (row,) = get(f"/models/{name}s")["results"]
    found = get(f"/models/{name}s/{{id}}", id=row["id"])
    assert {key: found[key] for key in row} == row


@pytest.mark.parametrize("ticker", ["BBAS3.SA", "bbas3.sa", "bbas3.sa/"])
def test_a_symbol_is_found_by_its_name_in_any_case(get: Send, ticker: str) -> None:
    make_symbol("BBAS3.SA")
    assert get("/models/symbols/{ticker}", ticker=ticker)["symbol"] == "BBAS3.SA"


@pytest.mark.parametrize("ticker", ["^BVSP", "BRL=X", "M&M.NS", "A" * 24])
def test_every_kind_of_symbol_has_an_address(get: Send, ticker: str) -> None:
    make_symbol(ticker)
    assert get("/models/symbols/{ticker}", ticker=ticker)["symbol"] == ticker


@pytest.mark.parametrize("name", ["versions", "trainings", "forecasts"])
@pytest.mark.parametrize("key", ["1", "0", str(2**63), "9" * 40])
def test_a_row_that_does_not_exist_is_not_found(get: Send, name: str, key: str) -> None:
    answer = get(f"/models/{name}/{{id}}", id=key, status=404)
    assert (answer["error"][:3], answer["details"]) == ("No ", {})


def test_a_symbol_never_requested_is_not_found(get: Send) -> None:
    assert get("/models/symbols/{ticker}", ticker="NOSUCH", status=404) == {
        "error": "No Symbol matches the given query.",
        "details": {},
    }


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_list_cannot_be_written(client: APIClient, name: str, method: str) -> None:
    make_rows(1)
    response = getattr(client, method)(f"/models/{name}", {}, format="json")
    assert (response.status_code, set(response.json())) == (405, {"error", "details"})
    assert Forecast.objects.count() == 1


@pytest.mark.parametrize("name", LISTS)
def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(get: Send, name: str, count_queries: Count) -> None:
    make_rows(20)
    one = count_queries(lambda: get(f"/models/{name}", {"page_size": 1}))
    assert count_queries(lambda: get(f"/models/{name}", {"page_size": 20})) == one == 2  # one is the budget
