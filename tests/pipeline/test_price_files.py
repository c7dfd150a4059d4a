"""CSV files of prices: the project's own shape and yfinance's, and in which words a file is refused."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from forecasting.pipeline.bars import COLUMNS
from forecasting.pipeline.price_files import PriceFileError, read_prices

OWN = "date,open,high,low,close,adj_close,volume\n2024-03-07,10,11,9,10.5,,1000\n2024-03-08,10.5,12,10,11,,2000\n"
HISTORY = """Date,Open,High,Low,Close,Volume,Dividends,Stock Splits
2024-03-07 00:00:00-05:00,10,11,9,10.5,1000,0.0,0.0
2024-03-08 00:00:00-05:00,10.5,12,10,11,2000,0.0,0.0
2024-03-11 00:00:00-04:00,11,12,10,11.5,3000,0.25,0.0
"""
DOWNLOAD = """Price,Close,High,Low,Open,Volume
Ticker,AAA,AAA,AAA,AAA,AAA
Date,,,,,
2024-03-07,10.5,11,9,10,1000
2024-03-08,11,12,10,10.5,2000
"""
UNNAMED_LEVELS = DOWNLOAD.replace("Price,", ",", 1).replace("Ticker,", ",", 1)
ONE_LEVEL = "Date,Close,High,Low,Open,Volume\n2024-03-07,10.5,11,9,10,1000\n2024-03-08,11,12,10,10.5,2000\n"
UNADJUSTED = """Price,Adj Close,Close,High,Low,Open,Volume
Ticker,AAA,AAA,AAA,AAA,AAA,AAA
Date,,,,,,
2024-03-07,5.25,10.5,11,9,10,1000
2024-03-08,11,11,12,10,10.5,2000
"""
TWO_SYMBOLS = """Price,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume
Ticker,AAA,bbb,AAA,bbb,AAA,bbb,AAA,bbb,AAA,bbb
Date,,,,,,,,,,
2024-03-07,10.5,20.5,11,21,9,19,10,20,1000,100.0
2024-03-08,11,,12,,10,,10.5,,2000,
"""
BY_TICKER = """Ticker,AAA,AAA,AAA,AAA,AAA,AAA,BBB,BBB,BBB,BBB,BBB,BBB
Price,Open,High,Low,Close,Adj Close,Volume,Open,High,Low,Close,Adj Close,Volume
Date,,,,,,,,,,,,
2024-03-07,10,11,9,10.5,10.5,1000,20,21,19,20.5,20.5,100
2024-03-08,10.5,12,10,11,11,2000,,,,,,
"""
TWO_DAYS = pd.DataFrame(
    {"open": [10, 10.5], "high": [11.0, 12], "low": [9.0, 10], "close": [10.5, 11], "volume": [1000.0, 2000]},
    index=pd.DatetimeIndex(["2024-03-07", "2024-03-08"], name="date"),
)
ONE_DAY = pd.DataFrame(
    {"open": [20.0], "high": [21.0], "low": [19.0], "close": [20.5], "volume": [100.0]},
    index=pd.DatetimeIndex(["2024-03-07"], name="date"),
)


def read(tmp_path: Path, text: str) -> dict[str, pd.DataFrame]:
    file = tmp_path / "prices.csv"
    file.write_text(text, encoding="utf-8")
    return read_prices(file, name=file.name)


def assert_prices(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found[list(COLUMNS)], expected, check_index_type=False)


@pytest.mark.parametrize("text", [OWN, ONE_LEVEL], ids=["own", "download without levels"])
def test_a_header_of_one_line_leaves_the_symbol_open(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert list(found) == [""]
    assert_prices(found[""], TWO_DAYS)


@pytest.mark.parametrize("text", [DOWNLOAD, UNNAMED_LEVELS], ids=["named levels", "older releases"])
def test_a_header_of_three_lines_names_the_symbol(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert list(found) == ["AAA"]
    assert_prices(found["AAA"], TWO_DAYS)


@pytest.mark.parametrize("text", [TWO_SYMBOLS, BY_TICKER], ids=["by price", "by ticker"])
def test_a_download_of_several_symbols_has_the_bars_of_each(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert list(found) == ["AAA", "BBB"]
    assert_prices(found["AAA"], TWO_DAYS)
    assert_prices(found["BBB"], ONE_DAY)


def test_midnights_at_the_exchange_are_its_sessions_in_winter_and_summer(tmp_path: Path) -> None:
    bars = read(tmp_path, HISTORY)[""]
    assert [day.date() for day in bars.index] == [date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11)]
    assert pd.DatetimeIndex(bars.index).tz is None


def test_an_adjusted_close_scales_the_prices_of_its_bar(tmp_path: Path) -> None:
    bars = read(tmp_path, UNADJUSTED)["AAA"]
    assert bars[list(COLUMNS)].iloc[0].tolist() == [5, 5.5, 4.5, 5.25, 1000]
    assert bars[list(COLUMNS)].iloc[1].tolist() == [10.5, 12, 10, 11, 2000]


@pytest.mark.parametrize(("text", "lines"), [(OWN, [2, 3]), (DOWNLOAD, [4, 5]), (OWN.replace("\n2", "\n\n2"), [3, 5])])
def test_each_bar_knows_its_line(tmp_path: Path, text: str, lines: list[int]) -> None:
    (bars,) = read(tmp_path, text).values()
    assert bars["line"].tolist() == lines


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "line 1 of prices.csv lacks the column date, open, high, low, close, volume; add it"),
        ("date,open\n", "line 1 of prices.csv lacks the column high, low, close, volume; add it"),
        ("Price,Close\nTicker,AAA\nDate,\n", "line 1 of prices.csv lacks the column open, high, low, volume of AAA; add it"),
        ("Price\n", "line 1 of prices.csv lacks the column date"),
        (DOWNLOAD + "2024-03-11,x,11,9,10,1\n", "line 6 of prices.csv: close is 'x', not a number; correct or remove that line"),
        (TWO_SYMBOLS + "2024-03-11,1,1,1,1,1,1,1,1,,1\n", "line 6 of prices.csv: volume is '', not a number"),
        (
            HISTORY + "2024-03-12 04:00:00+00:00,1,1,1,1,1,0,0\n",
            "line 5 of prices.csv: date is '2024-03-12 04:00:00\\+00:00', which",
        ),
        (OWN + ",1,1,1,1,1,1\n", "line 4 of prices.csv: Invalid isoformat string: ''"),
        (UNADJUSTED + "2024-03-11,,1,1,1,1,1\n", "prices.csv: adj_close is empty on 2024-03-11 but not everywhere"),
    ],
)
def test_it_names_the_line_and_the_value_that_it_cannot_read(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(PriceFileError, match=found):
        read(tmp_path, text)
