"""Lists as CSV: the rows of the JSON lists, flattened, without pages."""

import csv
import io
import tracemalloc
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections
from rest_framework.test import APIClient

from forecasting.api.csv_lists import BATCH_ROWS, cell
from forecasting.models import Forecast
from forecasting.models.trainings import TrainingState
from tests.api.conftest import Count, Send
from tests.api.rows import LISTS, make_rows
from tests.factories import make_forecast, make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db

DAY = date(2025, 5, 28)


def read(client: APIClient, name: str, **query: str) -> list[dict[str, str]]:
    """The rows of a file, by column."""
    response: Any = client.get(f"/models/{name}", {"format": "csv", **query})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    return list(csv.DictReader(io.StringIO(b"".join(response).decode(), newline="")))


def members(value: Any, path: str = "") -> dict[str, Any]:
    """The leaves of a JSON row by their dotted path."""
    if not isinstance(value, dict):
        return {path: value}
    return {name: leaf for key, part in value.items() for name, leaf in members(part, f"{path}.{key}" if path else key).items()}


@pytest.mark.parametrize("name", LISTS)
def test_a_file_has_the_columns_and_rows_of_the_list(get: Send, client: APIClient, name: str) -> None:
    make_rows(3)
    shown = [members(row) for row in get(f"/models/{name}")["results"]]
    rows = read(client, name)
    assert [row["symbol"] for row in rows] == [row["symbol"] for row in shown]
    for row, wanted in zip(rows, shown, strict=True):
        plain = {path: str(value) for path, value in wanted.items() if path in row and isinstance(value, str | float)}
        assert len(plain) > 4
        assert {path: row[path] for path in plain} == plain


@pytest.mark.parametrize("name", LISTS)
def test_an_empty_list_is_a_heading(client: APIClient, name: str) -> None:
    response: Any = client.get(f"/models/{name}?format=csv")
    (heading,) = b"".join(response).decode().splitlines()
    assert "symbol" in heading.split(",")


def test_nested_members_and_quantiles_have_columns_of_their_own(client: APIClient) -> None:
    make_rows(1)
    (forecast,) = read(client, "forecasts")
    (version,) = read(client, "versions")
    assert [column for column in forecast if column.startswith("quantiles.")] == [
        f"quantiles.{level}" for level in ("0.01", "0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "0.95", "0.99")
    ]
    assert forecast["quantiles.0.01"] == ""  # of an earlier release: it knew none
    assert float(forecast["quantiles.0.5"]) == 101.0
    assert version["metrics.naive.r2"] == version["metrics.naive.R²"]
    assert version["live.forecasts"] == "0"


def test_null_is_empty_and_truth_is_as_in_json(client: APIClient) -> None:
    make_forecast(make_version(make_symbol()), DAY, simulated=True)
    (row,) = read(client, "forecasts")
    assert (row["actual_close"], row["simulated"]) == ("", "true")


def test_filters_apply(client: APIClient) -> None:
    make_rows(3)
    assert [row["symbol"] for row in read(client, "trainings", symbol="sample2")] == ["SAMPLE2"]
    assert client.get("/models/trainings?format=csv&state=happy").status_code == 400


@pytest.mark.parametrize("parameter", ["page", "page_size"])
def test_a_file_has_no_pages(get: Send, parameter: str) -> None:
    (told,) = get("/models/symbols", {"format": "csv", parameter: "1"}, status=400)["details"][parameter]
    assert told == "Unknown parameter. This route knows format, state, symbol."


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\rx", "\nx", "\uff1d1"])
def test_text_that_a_spreadsheet_would_run_is_quoted(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["^GSPC", "BRL=X", "a - b", "", -1.5, None])
def test_other_values_stay_as_they_are(value: Any) -> None:
    assert cell(value) == value


def test_a_reason_that_begins_like_a_formula_is_quoted(client: APIClient) -> None:
    make_training(make_symbol(), state=TrainingState.FAILED, error='=HYPERLINK("http://x.example")\nnext, line')
    (row,) = read(client, "trainings")
    assert row["error"] == '\'=HYPERLINK("http://x.example")\nnext, line'


def test_a_file_is_read_in_batches(client: APIClient, count_queries: Count) -> None:
    make_forecasts(BATCH_ROWS + 1)
    assert count_queries(lambda: read(client, "forecasts")) == 2  # with the budget
    response: Any = client.get("/models/forecasts?format=csv")
    assert [piece.count(b"\n") for piece in response] == [1, BATCH_ROWS, 1]


def test_memory_does_not_grow_with_the_number_of_rows(client: APIClient) -> None:
    make_forecasts(3 * BATCH_ROWS)
    small = peak_of_a_file(client)
    make_forecasts(9 * BATCH_ROWS, first=3 * BATCH_ROWS)
    assert peak_of_a_file(client) < 1.3 * small


def test_a_process_sends_one_file_at_a_time(client: APIClient) -> None:
    make_rows(1)
    first: Any = client.get("/models/symbols?format=csv")
    refused = client.get("/models/symbols?format=csv")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    assert client.get("/models/symbols").status_code == 200
    close(first)  # although nothing was read
    assert len(read(client, "symbols")) == 1


def test_head_reads_no_rows_and_takes_no_room(client: APIClient, count_queries: Count) -> None:
    make_rows(1)
    assert count_queries(lambda: close(client.head("/models/symbols?format=csv"))) == 1  # the budget
    assert len(read(client, "symbols")) == 1


def close(response: Any) -> None:
    """As a web server does at the end, but without closing the connection of the test's transaction."""
    request_finished.disconnect(close_old_connections)
    response.close()
    request_finished.connect(close_old_connections)


def make_forecasts(count: int, *, first: int = 0) -> None:
    """Forecasts of one symbol on consecutive days."""
    version = Forecast.objects.first().version if first else make_version(make_symbol())  # type: ignore[union-attr]
    model = make_forecast(version, DAY - timedelta(days=first + 1))
    rows = []
    for number in range(first + 2, first + count + 1):
        day = DAY - timedelta(days=number)
        rows.append(Forecast(**{field.attname: getattr(model, field.attname) for field in Forecast._meta.fields} | {"id": None}))
        rows[-1].as_of, rows[-1].target_date = day, day + timedelta(days=1)
    Forecast.objects.bulk_create(rows)


def peak_of_a_file(client: APIClient) -> int:
    """Most memory, in bytes, that Python holds while the file is sent."""
    response: Any = client.get("/models/forecasts?format=csv")
    tracemalloc.start()
    for _ in response:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
