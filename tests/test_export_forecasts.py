"""`manage.py export_forecasts`: the ledger as CSV, complete or filtered."""

import csv
import io
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoAssertNumQueries

from forecasting.models import Forecast, Score
from tests.factories import make_forecast, make_symbol, make_version
from tests.running import largest_file

pytestmark = pytest.mark.django_db

MONDAY, TUESDAY = date(2025, 6, 2), date(2025, 6, 3)


def exported(**options: Any) -> list[dict[str, str]]:
    output = io.StringIO()
    call_command("export_forecasts", stdout=output, stderr=io.StringIO(), **options)
    return list(csv.DictReader(io.StringIO(output.getvalue())))


@pytest.fixture
def forecasts() -> list[Forecast]:
    """Two symbols; Monday's forecasts are scored."""
    versions = [make_version(make_symbol(ticker), number=2) for ticker in ("BBB", "AAA")]
    monday = [make_forecast(version, MONDAY, actual_close=101.5) for version in versions]
    return monday + [make_forecast(version, TUESDAY) for version in versions]


def test_a_row_has_everything_that_the_ledger_knows(forecasts: list[Forecast]) -> None:
    row = exported()[1]
    assert row.pop("issued_at") == forecasts[0].issued_at.isoformat()
    assert row == {
        "id": str(forecasts[0].pk),
        "symbol": "BBB",
        "kind": "symbol",
        "version": "2",
        "as_of": "2025-06-02",
        "target_date": "2025-06-03",
        "horizon": "1",
        "basis": "close",
        "known_until": "",
        "target_opens": "",
        "target_closes": "",
        "quarter": "",
        "session_fraction": "",
        "price_now": "",
        "quote": "",
        "leads": "",
        "last_close": "100.0",
        "price": "101.0",
        "interval_level": "0.8",
        "interval_low": "99.0",
        "interval_high": "103.0",
        "spread_factor": "1.0",
        "probability_up": "0.75",
        "simulated": "",
        "restatement": "",
        "reference": "",
        "risk": "",
        "part": "",
        "actual_date": "2025-06-03",
        "actual_close": "101.5",
        "absolute_error": "0.5",
        "naive_absolute_error": "1.5",
        "inside_interval": "true",
        "pinball_loss": "",
        "reference_pinball_loss": "",
        "brier_score": "",
        "reason": "first",
        "scored_at": "2025-06-04T00:00:00+00:00",
        "quantile_0.05": "98.0",
        "quantile_0.1": "99.0",
        "quantile_0.25": "100.0",
        "quantile_0.5": "101.0",
        "quantile_0.75": "102.0",
        "quantile_0.9": "103.0",
        "quantile_0.95": "104.0",
    }


def test_no_column_of_a_forecast_or_score_is_left_out(forecasts: list[Forecast]) -> None:
    stored = {field.name for model in (Forecast, Score) for field in model._meta.concrete_fields}
    shown = {name.removesuffix("_0.5") for name in exported()[0]} | {"quantiles"}
    assert stored - shown == {"forecast", "latest"}


def test_what_is_not_known_yet_is_empty(forecasts: list[Forecast]) -> None:
    assert [exported()[3][name] for name in ("actual_close", "inside_interval", "scored_at")] == ["", "", ""]


def test_rows_come_by_session_and_symbol(forecasts: list[Forecast]) -> None:
    assert [(row["as_of"], row["symbol"]) for row in exported()] == [
        ("2025-06-02", "AAA"),
        ("2025-06-02", "BBB"),
        ("2025-06-03", "AAA"),
        ("2025-06-03", "BBB"),
    ]


def test_a_forecast_of_the_base_model_says_so() -> None:
    make_forecast(make_version(None), MONDAY, symbol=make_symbol("AAA"))
    assert [(row["symbol"], row["kind"]) for row in exported()] == [("AAA", "base")]


def test_a_level_that_only_some_have_is_empty_for_the_others(forecasts: list[Forecast]) -> None:
    other = make_version(make_symbol("CCC"))
    make_forecast(other, MONDAY, quantiles={"0.01": 90.0})
    assert {row["symbol"]: row["quantile_0.01"] for row in exported()} == {"AAA": "", "BBB": "", "CCC": "90.0"}


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"symbol": "aaa"}, 2),
        ({"scored": "true"}, 2),
        ({"scored": "false", "symbol": "BBB"}, 1),
        ({"target_date_after": "2025-06-04"}, 2),
        ({"target_date_before": "2025-06-03"}, 2),
        ({"symbol": "NOSUCH"}, 0),
    ],
)
def test_rows_can_be_chosen(forecasts: list[Forecast], options: dict[str, str], rows: int) -> None:
    assert len(exported(**options)) == rows


def test_an_invalid_date_is_refused() -> None:
    with pytest.raises(CommandError, match="--target-date-after: Give a day as YYYY-MM-DD"):
        exported(target_date_after="2025-02-30")


def test_an_empty_ledger_is_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("export_forecasts")
    output, errors = capsys.readouterr()
    assert output.startswith("symbol,kind,version,id,as_of,")
    assert errors == "0 forecasts written.\n"


def test_a_file_can_be_written(forecasts: list[Forecast], tmp_path: Path) -> None:
    file = tmp_path / "forecasts.csv"
    assert exported(output=file) == []
    assert len(file.read_text().splitlines()) == 1 + len(forecasts)


def test_after_an_error_the_earlier_file_is_still_there(forecasts: list[Forecast], tmp_path: Path) -> None:
    file = tmp_path / "forecasts.csv"
    exported(output=file)
    before = file.read_text()
    with largest_file(100), pytest.raises(CommandError, match="cannot be written: File too large"):
        exported(output=file)
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == before


def test_an_earlier_file_keeps_its_mode_and_a_pipe_is_written_to(forecasts: list[Forecast], tmp_path: Path) -> None:
    file = tmp_path / "forecasts.csv"
    file.touch(mode=0o600)
    exported(output=file)
    assert file.stat().st_mode & 0o777 == 0o600
    reading, writing = os.pipe()
    exported(output=Path(f"/proc/self/fd/{writing}"))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == file.read_text()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: No such file or directory"):
        exported(output=tmp_path / "nowhere" / "forecasts.csv")


def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(
    forecasts: list[Forecast], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(2):
        assert len(exported()) == 4
