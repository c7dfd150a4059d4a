"""The source of CSV files."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from forecasting.prices.csv_folder import CsvFolder, price_files
from forecasting.prices.quotes import Quote
from forecasting.prices.sources import BadDataError, PriceHistory, UnknownSymbolError, UpstreamUnavailableError
from tests.fake_yahoo import generated_bars

SYMBOL = "TEST3.SA"
HEADER = "date,open,high,low,close,adj_close,volume"
GOOD = ["2024-01-02,10,11,9,10.5,,1000", "2024-01-03,10.5,12,10,11,,0", "2024-01-04,11,11,10,10,,2000"]
LAST = date(2024, 1, 4)

Write = Callable[..., CsvFolder]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes lines to the symbol's file and returns the source."""

    def write(*lines: str, header: str = HEADER) -> CsvFolder:
        (tmp_path / f"{SYMBOL}.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return CsvFolder(tmp_path)

    return write


def fetched(folder: CsvFolder, *, since: date | None = None, through: date = LAST) -> pd.DataFrame:
    return folder.fetch(SYMBOL, since=since, through=through).bars


def test_it_reads_the_bars_as_they_were_written(tmp_path: Path) -> None:
    bars = generated_bars(SYMBOL, first=date(2023, 1, 2), last=LAST)
    bars.to_csv(tmp_path / f"{SYMBOL}.csv")
    pd.testing.assert_frame_equal(fetched(CsvFolder(tmp_path)), bars, check_freq=False)


def test_it_gives_the_currency_of_the_exchange(write: Write) -> None:
    assert write(*GOOD).fetch(SYMBOL, since=None, through=LAST).currency == "BRL"


def test_it_keeps_sessions_without_trades(write: Write) -> None:
    assert fetched(write(*GOOD))["volume"].tolist() == [1000, 0, 2000]


def test_since_and_through_are_included(write: Write) -> None:
    bars = fetched(write(*GOOD), since=date(2024, 1, 3), through=date(2024, 1, 3))
    assert list(bars.index) == [pd.Timestamp("2024-01-03")]


def test_it_gives_no_bars_when_there_is_nothing_newer(write: Write) -> None:
    assert fetched(write(*GOOD), since=date(2024, 1, 5), through=date(2024, 1, 8)).empty


def test_a_file_with_only_a_header_has_no_bars(write: Write) -> None:
    assert fetched(write()).empty


def test_the_adjusted_close_may_be_left_out(write: Write) -> None:
    folder = write("2024-01-02,10,11,9,10.5,1000", header="date,open,high,low,close,volume")
    assert fetched(folder)["close"].tolist() == [10.5]


def test_an_adjusted_close_scales_the_prices_but_not_the_volume(write: Write) -> None:
    bars = fetched(write("2024-01-02,10,12,8,10,5,1000"))
    assert bars.iloc[0].tolist() == [5, 6, 4, 5, 1000]


def test_it_refuses_an_adjusted_close_in_some_lines_only(write: Write) -> None:
    with pytest.raises(BadDataError, match="adj_close is empty on 2024-01-03 but not everywhere"):
        fetched(write("2024-01-02,10,12,8,10,5,1000", "2024-01-03,10,12,8,10,,1000"))


def test_the_order_of_columns_does_not_matter(write: Write) -> None:
    folder = write("1000,10.5,9,11,10,2024-01-02", header="volume,close,low,high,open,date")
    assert fetched(folder).iloc[0].tolist() == [10, 11, 9, 10.5, 1000]


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / f"{SYMBOL}.csv").write_text("\n".join([HEADER, *GOOD]), encoding="utf-8-sig")
    assert len(fetched(CsvFolder(tmp_path))) == 3


def test_a_symbol_without_a_file_is_unknown(write: Write) -> None:
    with pytest.raises(UnknownSymbolError, match=r"NOPE3\.SA: no file for NOPE3\.SA in the price folder; add"):
        write(*GOOD).fetch("NOPE3.SA", since=None, through=LAST)


def test_the_case_of_a_symbol_matters(write: Write) -> None:
    with pytest.raises(UnknownSymbolError):
        write(*GOOD).fetch(SYMBOL.lower(), since=None, through=LAST)


@pytest.mark.parametrize("symbol", ["../TEST3.SA", "sub/../TEST3.SA", "", "..", "TEST3.SA\x00"])
def test_a_symbol_cannot_reach_files_outside_the_folder(write: Write, tmp_path: Path, symbol: str) -> None:
    write(*GOOD)
    inner = tmp_path / "sub"
    inner.mkdir()
    with pytest.raises(UnknownSymbolError):
        CsvFolder(inner).fetch(symbol, since=None, through=LAST)


def test_an_error_does_not_show_where_the_folder_is(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        write(*GOOD).fetch("NOPE3.SA", since=None, through=LAST)
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_folder_does_not_make_symbols_unknown(tmp_path: Path) -> None:
    with pytest.raises(UpstreamUnavailableError, match="the price folder cannot be read; check PRICE_DIR"):
        fetched(CsvFolder(tmp_path / "missing"))


def test_it_refuses_a_path_that_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / f"{SYMBOL}.csv").mkdir()
    with pytest.raises(BadDataError, match="its price file cannot be read") as caught:
        fetched(CsvFolder(tmp_path))
    assert str(tmp_path) not in str(caught.value)


def test_it_refuses_binary_content(tmp_path: Path) -> None:
    (tmp_path / f"{SYMBOL}.csv").write_bytes(b"date,open\xff\xfe")
    with pytest.raises(BadDataError, match="its price file is not CSV text in UTF-8"):
        fetched(CsvFolder(tmp_path))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("2024-01-05,10,11,9,abc,,1000", "line 5 of its price file: close is 'abc', not a number"),
        ("2024-01-05,10,11,9,10,x,1000", "line 5 of its price file: adj_close is 'x', not a number"),
        ("05/01/2024,10,11,9,10,,1000", "line 5 of its price file: .*'05/01/2024'"),
        ("2024-13-05,10,11,9,10,,1000", "line 5 of its price file: date is '2024-13-05', not a date"),
    ],
)
def test_it_names_the_line_that_it_cannot_read(write: Write, line: str, found: str) -> None:
    with pytest.raises(BadDataError, match=found):
        fetched(write(*GOOD, line))


@pytest.mark.parametrize("line", ["2023-12-29,10,11,,10,,1000", "2023-12-29,10,11", "2024-01-04,10,11,9,10,,1000"])
def test_invalid_values_are_left_to_the_quality_gate(write: Write, line: str) -> None:
    assert len(fetched(write(*GOOD, line))) == len(GOOD) + 1


def test_it_names_the_columns_that_a_file_lacks(write: Write) -> None:
    with pytest.raises(BadDataError, match="line 1 of its price file lacks the column low, volume"):
        fetched(write(header="date,open,high,close"))


def test_it_refuses_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / f"{SYMBOL}.csv").touch()
    with pytest.raises(BadDataError, match="line 1 of its price file lacks the column date"):
        fetched(CsvFolder(tmp_path))


def test_bars_out_of_order_are_put_in_order(write: Write) -> None:
    bars = fetched(write(GOOD[1], GOOD[2], GOOD[0]))
    assert bars.index.is_monotonic_increasing
    assert len(bars) == len(GOOD)


# Quotes

QUOTE_HEADER = "time,price,open,high,low,volume"
QUOTE = "2024-01-05T14:30:00-03:00,10.5,10,11,9,700"


def with_quote(folder: CsvFolder, *lines: str, header: str = QUOTE_HEADER) -> PriceHistory:
    """The history of a folder whose symbol has a quote file."""
    (folder.folder / f"{SYMBOL}.quote.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder.fetch(SYMBOL, since=None, through=LAST)


def test_a_quote_file_holds_the_quote_of_the_session_under_way(write: Write) -> None:
    history = with_quote(write(*GOOD), QUOTE)
    time = datetime(2024, 1, 5, 17, 30, tzinfo=UTC)
    assert history.quote == Quote(session=date(2024, 1, 5), time=time, price=10.5, open=10, high=11, low=9, volume=700)
    assert len(history.bars) == len(GOOD)


def test_the_last_line_of_a_quote_file_counts(write: Write) -> None:
    quote = with_quote(write(*GOOD), QUOTE, "2024-01-05T15:00:00-03:00,10.7,10,11,9,800").quote
    assert quote
    assert (quote.price, quote.volume) == (10.7, 800)


def test_the_session_of_a_quote_is_the_date_at_its_exchange(write: Write) -> None:
    quote = with_quote(write(*GOOD), "2024-01-06T01:00:00+00:00,10.5,10,11,9,700").quote
    assert quote
    assert quote.session == date(2024, 1, 5)


@pytest.mark.parametrize("lines", [[], ["2024-01-04T14:30:00-03:00,10.5,10,11,9,700"]])
def test_there_is_no_quote_of_a_finished_session(write: Write, lines: list[str]) -> None:
    history = with_quote(write(*GOOD), *lines)
    assert (history.quote, history.quote_problem) == (None, "")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("2024-01-05T14:30:00,10.5,10,11,9,700", "the time 2024-01-05T14:30:00 has no time zone; write 2024-07-01T14:30:00-04:00"),
        ("14:30,10.5,10,11,9,700", "Invalid isoformat string: '14:30'"),
        ("2024-01-05T14:30:00-03:00,x,10,11,9,700", "could not convert string to float: 'x'"),
        ("2024-01-05T14:30:00-03:00,10.5,10", "its last line has 3 cells; write 6"),
    ],
)
def test_a_broken_quote_file_is_a_problem_that_costs_no_bars(write: Write, line: str, problem: str) -> None:
    history = with_quote(write(*GOOD), line)
    assert (history.quote, history.quote_problem) == (None, f"its quote file: {problem}")
    assert len(history.bars) == len(GOOD)


@pytest.mark.parametrize("header", ["time,price", "", "date,open,high,low,close,volume"])
def test_a_quote_file_needs_its_header(write: Write, header: str) -> None:
    problem = with_quote(write(*GOOD), QUOTE, header=header).quote_problem
    assert problem.endswith("write time,price,open,high,low,volume")


def test_a_quote_file_that_cannot_be_read_costs_no_bars(write: Write, tmp_path: Path) -> None:
    folder = write(*GOOD)
    (tmp_path / f"{SYMBOL}.quote.csv").mkdir()
    history = folder.fetch(SYMBOL, since=None, through=LAST)
    assert history.quote_problem == "its quote file cannot be read (Is a directory); check its permissions"
    assert len(history.bars) == len(GOOD)


@pytest.mark.parametrize("symbol", [f"{SYMBOL}.QUOTE", f"{SYMBOL}.quote"])
def test_a_quote_file_is_no_symbol(write: Write, symbol: str) -> None:
    folder = write(*GOOD)
    with_quote(folder, QUOTE)
    with pytest.raises((UnknownSymbolError, BadDataError)):
        folder.fetch(symbol, since=None, through=LAST)
    assert [file.name for file in price_files(folder.folder)] == [f"{SYMBOL}.csv"]
