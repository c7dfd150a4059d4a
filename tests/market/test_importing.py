"""`manage.py import_prices`: common file formats; each symbol is imported completely or not at all."""

import io
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from forecasting.models import Finding, PriceBar, Restatement, Symbol
from forecasting.prices.calendars import last_completed_session
from tests.factories import make_symbol
from tests.fake_yahoo import generated_bars
from tests.market.histories import assert_stored
from tests.pipeline.market_data import replaced, rescaled

pytestmark = pytest.mark.django_db

BARS = generated_bars("AAA", first=date(2023, 1, 3), last=date(2023, 12, 29))
IN_TWO_UNITS = rescaled(BARS, slice(100, None), 100)


def write(folder: Path, name: str = "AAA.csv", bars: pd.DataFrame = BARS) -> Path:
    file = folder / name
    bars.to_csv(file)
    return file


def imported(place: Path, **options: str) -> str:
    output = io.StringIO()
    call_command("import_prices", place, stdout=output, **options)
    return output.getvalue()


def refused(place: Path, *, stored: set[str] | None = None, **options: str) -> list[str]:
    """The reported problems. Also asserts that only these symbols were stored."""
    with pytest.raises(CommandError) as caught:
        imported(place, **options)
    assert {symbol.ticker for symbol in Symbol.objects.with_bars()} == (stored or set())
    assert Symbol.objects.count() == len(stored or ())
    first, *problems = str(caught.value).splitlines()
    return problems if first == ("Not stored:" if stored else "Nothing was stored:") else [first]


def test_a_quote_file_is_no_price_file(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "AAA.quote.csv").write_text("time,price,open,high,low,volume\n")
    assert imported(tmp_path).splitlines() == ["AAA: 250 bars, 2023-01-03 to 2023-12-29, 250 written"]


def test_a_file_is_stored_under_its_name(tmp_path: Path) -> None:
    assert imported(write(tmp_path)) == "AAA: 250 bars, 2023-01-03 to 2023-12-29, 250 written\n"
    assert_stored(Symbol.objects.get(ticker="AAA"), BARS)


def test_the_name_of_a_file_may_be_in_lower_case(tmp_path: Path) -> None:
    imported(write(tmp_path, "petr4.sa.csv"))
    assert Symbol.objects.get().exchange == "BVMF"


def test_a_symbol_can_be_given(tmp_path: Path) -> None:
    imported(write(tmp_path, "prices.csv"), symbol="aaa")
    assert_stored(Symbol.objects.get(ticker="AAA"), BARS)


def test_all_files_of_a_folder_are_stored(tmp_path: Path) -> None:
    for name in ("BBB.csv", "AAA.csv"):
        write(tmp_path, name)
    (tmp_path / "notes.txt").write_text("not prices")
    assert [line.split(":")[0] for line in imported(tmp_path).splitlines()] == ["AAA", "BBB"]


def test_one_symbol_of_a_folder_can_be_chosen(tmp_path: Path) -> None:
    for name in ("BBB.csv", "AAA.csv"):
        write(tmp_path, name)
    assert imported(tmp_path, symbol="BBB").startswith("BBB: ")
    assert Symbol.objects.get().ticker == "BBB"


def test_a_history_of_yfinance_is_stored(tmp_path: Path) -> None:
    frame = BARS.rename(columns=str.title).assign(Dividends=0.0)
    frame.index = pd.DatetimeIndex(BARS.index).tz_localize("America/New_York").rename("Date")
    frame.to_csv(tmp_path / "AAA.csv")
    imported(tmp_path / "AAA.csv")
    assert_stored(Symbol.objects.get(), BARS)


def test_a_download_of_yfinance_is_stored_whatever_its_file_is_called(tmp_path: Path) -> None:
    titled = BARS.rename(columns=str.title).rename_axis("Date")
    frame = pd.concat({"AAA": titled, "BBB": titled[100:]}, axis="columns", names=["Ticker", "Price"], sort=True).swaplevel(
        axis="columns"
    )
    frame.to_csv(tmp_path / "download.csv")
    imported(tmp_path / "download.csv")
    assert_stored(Symbol.objects.get(ticker="AAA"), BARS)
    assert_stored(Symbol.objects.get(ticker="BBB"), BARS[100:])


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    imported(write(tmp_path))
    keys = list(PriceBar.objects.values_list("pk", flat=True))
    assert imported(tmp_path).endswith(", unchanged\n")
    assert list(PriceBar.objects.values_list("pk", flat=True)) == keys


def test_another_history_takes_the_place_of_the_stored_one(tmp_path: Path) -> None:
    imported(write(tmp_path))
    half = BARS.assign(**{column: BARS[column] / 2 for column in ("open", "high", "low", "close")})
    imported(write(tmp_path, bars=half))
    assert_stored(Symbol.objects.get(), half)
    assert Restatement.objects.get().ratio == pytest.approx(0.5)


def test_the_currency_that_is_known_stays(tmp_path: Path) -> None:
    symbol = make_symbol("BHP.L", currency="GBp")
    imported(write(tmp_path, "BHP.L.csv", generated_bars("BHP.L", first=date(2023, 1, 3), last=date(2023, 6, 30))))
    symbol.refresh_from_db()
    assert symbol.currency == "GBp"


def test_a_session_under_way_is_left_out(tmp_path: Path) -> None:
    last = last_completed_session("24/7", now=timezone.now())
    bars = generated_bars("BTC-USD", first=last - timedelta(days=30), last=last + timedelta(days=2))
    imported(write(tmp_path, "BTC-USD.csv", bars))
    assert PriceBar.objects.latest("date").date < bars.index[-1].date()


def test_holidays_are_dropped_and_said(tmp_path: Path) -> None:
    holiday, close = pd.Timestamp("2023-07-04"), BARS["close"].loc["2023-07-03"]
    phantom = pd.DataFrame(dict.fromkeys(BARS.columns, close) | {"volume": 0.0}, index=[holiday])
    imported(write(tmp_path, bars=pd.concat([BARS, phantom]).sort_index().rename_axis("date")))
    assert_stored(Symbol.objects.get(), BARS)
    assert Finding.objects.filter(verdict="repaired").get().date == holiday.date()


# Refusals


def test_a_bad_file_keeps_no_other_out_and_every_problem_is_named(tmp_path: Path) -> None:
    write(tmp_path, "AAA.csv")
    (tmp_path / "BBB.csv").write_text("date,open\n")
    write(tmp_path, "CCC.csv", IN_TWO_UNITS)
    write(tmp_path, "DDD.csv")
    header, units = refused(tmp_path, stored={"AAA", "DDD"})
    assert header == "line 1 of BBB.csv lacks the column high, low, close, volume; add it (it has date, open)"
    assert units.startswith("line 102 of CCC.csv: CCC: close is ")


def test_a_refused_symbol_of_a_file_keeps_no_other_out(tmp_path: Path) -> None:
    pd.concat([IN_TWO_UNITS.assign(Ticker="BBB"), BARS.assign(Ticker="AAA")]).to_csv(tmp_path / "many.csv")
    (problem,) = refused(tmp_path / "many.csv", stored={"AAA"})
    assert problem.startswith("line 102 of many.csv: BBB: close is ")


def test_a_failed_ticker_of_a_download_is_reported_and_the_others_are_stored(tmp_path: Path) -> None:
    titled = BARS.rename(columns=str.title).rename_axis("Date")
    frame = pd.concat({"AAA": titled, "FAIL": titled * float("nan")}, axis="columns", names=["Ticker", "Price"])
    frame.to_csv(tmp_path / "download.csv")
    problems = refused(tmp_path / "download.csv", stored={"AAA"})
    assert problems == ["download.csv: FAIL: it has no bars; download it again or remove it"]


def test_newest_first_is_stored_in_order(tmp_path: Path) -> None:
    imported(write(tmp_path, bars=BARS[::-1]))
    assert_stored(Symbol.objects.get(), BARS)


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = write(tmp_path)
    file.write_text(file.read_text() + "2024-01-02,1,x,1,1,1\n")
    assert refused(file) == ["line 252 of AAA.csv: high is 'x', not a number; correct or remove that line"]


def test_a_bar_that_the_gate_refuses_is_named_with_its_line(tmp_path: Path) -> None:
    (problem,) = refused(write(tmp_path, bars=IN_TWO_UNITS))
    assert problem.startswith("line 102 of AAA.csv: AAA: close is ")
    assert "about a hundred times: two units are mixed; only 150 good bars follow and a training needs 496" in problem


def test_how_many_bars_were_left_out_is_said(tmp_path: Path) -> None:
    output = imported(write(tmp_path, bars=replaced(BARS, slice(50, 52), close=-1)))
    assert output == "AAA: 248 bars, 2023-01-03 to 2023-12-29, 248 written; 2 left out, see the symbol's findings\n"


def test_newest_bars_that_wait_are_said(tmp_path: Path) -> None:
    output = imported(write(tmp_path, bars=rescaled(BARS, slice(-2, None), 100)))
    assert output.startswith(
        "AAA: 248 bars, 2023-01-03 to 2023-12-27, 248 written; 2 left out, see the symbol's findings; close is "
    )
    assert output.endswith("two units are mixed; bars from that date on are held back until later bars decide\n")


def test_a_bar_that_is_there_twice_is_stored_once(tmp_path: Path) -> None:
    imported(write(tmp_path, bars=pd.concat([BARS[:50], BARS[49:]])))
    assert_stored(Symbol.objects.get(), BARS)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a b.csv", "a b.csv: A B: A symbol has 1 to 24 characters: letters, digits and . ^ = & _ -, and starts with a letter, a"),
        ("US0378331005.csv", "US0378331005.csv: US0378331005: This is an ISIN; give the exchange's symbol, such as PETR4.SA."),
    ],
)
def test_a_name_that_is_no_symbol_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    assert refused(write(tmp_path, name))[0].startswith(problem)


def test_a_symbol_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("AAA.csv", "aaa.csv"):
        write(tmp_path, name)
    problems = refused(tmp_path, stored={"AAA"})
    assert problems == ["aaa.csv: AAA: already imported from AAA.csv; keep it in one file only"]


def test_a_folder_without_prices_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == ["there are no prices in these files; check their names and --symbol"]
    write(tmp_path)
    assert refused(tmp_path, symbol="BBB") == ["there are no prices for BBB in these files; check their names and --symbol"]


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere") == [f"There is no file or folder {tmp_path / 'nowhere'}."]


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    assert refused(write(tmp_path, bars=BARS[:0])) == ["AAA.csv: AAA: it has no bars; download it again or remove it"]
