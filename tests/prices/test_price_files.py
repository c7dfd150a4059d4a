"""CSV files of prices: this project's format, those of other tools, and error messages."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from forecasting.prices.bars import COLUMNS
from forecasting.prices.price_files import PriceFileError, read_prices

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
def test_a_header_of_one_line_names_no_symbol(tmp_path: Path, text: str) -> None:
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
def test_each_bar_has_its_line_number(tmp_path: Path, text: str, lines: list[int]) -> None:
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
        (OWN + "2024-03-11,1,1,1,1,,1,5\n", "line 4 of prices.csv: it has more cells than the header; quote numbers"),
        (
            HISTORY + "2024-03-12 04:00:00+00:00,1,1,1,1,1,0,0\n",
            "line 5 of prices.csv: date is '2024-03-12 04:00:00\\+00:00', which",
        ),
        (OWN + ",1,1,1,1,1,1\n", "line 4 of prices.csv: date is '', not a date such as 2025-12-31"),
        (UNADJUSTED + "2024-03-11,,1,1,1,1,1\n", "prices.csv: adj_close is empty on 2024-03-11 but not everywhere"),
    ],
)
def test_it_names_the_line_and_the_value_that_it_cannot_read(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(PriceFileError, match=found):
        read(tmp_path, text)


# Files of other tools

INVESTING = """"Date","Price","Open","High","Low","Vol.","Change %"
"03/08/2024","1,711.00","1,710.50","1,712.00","1,710.00","2.00K","0.05%"
"03/07/2024","1,710.50","1,710.00","1,711.00","1,709.00","1.00K","0.05%"
"03/13/2023","1,610.50","1,610.00","1,611.00","1,609.00","0.50M","0.05%"
"""
NASDAQ = """Date,Close/Last,Volume,Open,High,Low
03/13/2024,$11.00,2000,$10.50,$12.00,$10.00
03/07/2024,$10.50,1000,$10.00,$11.00,$9.00
"""
TIINGO = """date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor
2024-03-07T00:00:00.000Z,21,22,18,20,500,10.5,11,9,10,1000,0.0,1.0
2024-03-08T00:00:00.000Z,11,12,10,10.5,2000,11,12,10,10.5,2000,0.0,2.0
"""
ALPHA_VANTAGE = """timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient
2024-03-08,10.5,12,10,11,11,2000,0.0,1.0
2024-03-07,20,22,18,21,10.5,1000,0.0,1.0
"""
OLD_YAHOO = """Date,Open,High,Low,Close,Adj Close,Volume
2024-03-06,null,null,null,null,null,null
2024-03-07,20,22,18,21,10.5,1000
2024-03-08,10.5,12,10,11,11,2000
"""
GERMAN = "Date;Open;High;Low;Close;Volume\n07.03.2024;10,00;11,00;9,00;10,50;1.000\n13.03.2024;10,50;12,00;10,00;11,00;2.000\n"
METATRADER = "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\n2024.03.07\t10\t11\t9\t10.5\t7\t1000\n"
KAGGLE = """date,open,high,low,close,volume,Name
2024-03-07,10,11,9,10.5,1000,AAA
2024-03-08,10.5,12,10,11,2000,AAA
2024-03-07,20,21,19,20.5,100,bbb
"""


@pytest.mark.parametrize("text", [TIINGO, ALPHA_VANTAGE, OLD_YAHOO], ids=["Tiingo", "Alpha Vantage", "Yahoo"])
def test_adjusted_prices_are_used(tmp_path: Path, text: str) -> None:
    (bars,) = read(tmp_path, text).values()
    assert_prices(bars, TWO_DAYS)


@pytest.mark.parametrize(("text", "days"), [(NASDAQ, (7, 13)), (GERMAN, (7, 13)), (METATRADER, (7,))])
def test_files_of_other_tools_are_supported(tmp_path: Path, text: str, days: Iterable[int]) -> None:
    (bars,) = read(tmp_path, text).values()
    assert [day.day for day in bars.index] == list(days)
    assert bars[list(COLUMNS)].to_numpy().tolist() == TWO_DAYS.to_numpy().tolist()[: len(bars)]


def test_a_file_with_the_newest_bar_first_is_reversed_with_its_line_numbers(tmp_path: Path) -> None:
    (bars,) = read(tmp_path, INVESTING).values()
    assert [day.date() for day in bars.index] == [date(2023, 3, 13), date(2024, 3, 7), date(2024, 3, 8)]
    assert bars["volume"].tolist() == [500_000, 1000, 2000]
    assert bars["close"].tolist() == [1610.5, 1710.5, 1711]
    assert bars["line"].tolist() == [4, 3, 2]


def test_other_disorder_stays_for_the_gate(tmp_path: Path) -> None:
    (bars,) = read(tmp_path, OWN + "2024-03-06,10,11,9,10.5,,1000\n").values()
    assert [day.day for day in bars.index] == [7, 8, 6]


def test_a_column_that_names_the_symbol_splits_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, KAGGLE)
    assert list(found) == ["AAA", "BBB"]
    assert_prices(found["AAA"], TWO_DAYS)
    assert_prices(found["BBB"], ONE_DAY)
    assert found["BBB"]["line"].tolist() == [4]


def test_a_failed_ticker_of_a_download_has_no_bars_and_does_not_affect_the_others(tmp_path: Path) -> None:
    lines = TWO_SYMBOLS.splitlines()
    emptied = [line if number < 3 else ",".join(c if p % 2 or not p else "" for p, c in enumerate(line.split(",")))
               for number, line in enumerate(lines)]  # fmt: skip
    found = read(tmp_path, "\n".join(emptied))
    assert_prices(found["AAA"], TWO_DAYS)
    assert found["BBB"].empty


def test_a_row_of_missing_values_is_skipped(tmp_path: Path) -> None:
    (bars,) = read(tmp_path, OWN.replace(",2000", ',"2,000"') + ",null,null,null,null,,N/A\n").values()
    assert_prices(bars, TWO_DAYS)


def test_a_file_without_volume_has_volume_zero(tmp_path: Path) -> None:
    (bars,) = read(tmp_path, "Date,Open,High,Low,Close,Volume\n2024-03-07,1.0850,1.09,1.08,1.0875,\n").values()
    assert bars["volume"].tolist() == [0]


def test_a_single_missing_price_is_left_to_the_gate(tmp_path: Path) -> None:
    (bars,) = read(tmp_path, OWN + "2024-03-11,,12,10,11,,2000\n").values()
    assert bars["open"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (OWN.replace("adj_close", "Adj. Factor"), "line 1 of prices.csv has the column Adj. Factor, whose meaning is unknown"),
        (OWN.replace("adj_close", "Currency"), "line 1 of prices.csv has the column Currency, whose meaning is unknown"),
        (OWN.replace("adj_close", "adjOpen"), "has the column adjOpen, but no adjusted close; add adj_close or remove that"),
        (OWN.replace("adj_close", "Close/Last"), "has two columns for the close, close and Close/Last; remove one of them"),
        (KAGGLE.replace(",bbb", ","), "line 4 of prices.csv: it names no symbol"),
        ("Data,Último,Abertura\n", r"lacks the column date, .*; add it \(it has Data, Último, Abertura\)"),
        (OWN + "2024-03-11,10,50,11,9,10,1,2,1000\n", "line 4 of prices.csv: it has more cells than the header"),
        ("date,open,high,low,close,volume\n2024-03-11,10,50,11,9,10,1,2,1000\n", "line 2 of prices.csv: it has more cells than"),
        (OWN + '2024-03-11,"1', "prices.csv cannot be read as CSV .*; close every quote"),
    ],
)
def test_an_unknown_column_that_may_matter_is_refused_by_name(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(PriceFileError, match=found):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "name", ["adjclose", "Adjusted_close", "adjClose", "Adj. Close", "Adjusted Close", "Adj Close**", "closeadj"]
)
def test_an_adjusted_close_has_many_names(tmp_path: Path, name: str) -> None:
    (bars,) = read(tmp_path, f"date,open,high,low,close,volume,{name}\n2025-06-02,100,101,99,100,1000,90\n").values()
    assert bars[list(COLUMNS)].iloc[0].tolist() == pytest.approx([90, 90.9, 89.1, 90, 1000])


@pytest.mark.parametrize(
    "name", ["Dividends", "Stock Splits", "Change %", "VWAP", "Open Interest", "Prev Close", "unadjustedVolume"]
)
def test_irrelevant_columns_are_ignored(tmp_path: Path, name: str) -> None:
    (bars,) = read(tmp_path, OWN.replace("adj_close", name)).values()
    assert_prices(bars, TWO_DAYS)
