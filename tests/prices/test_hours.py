"""Hourly bars: splits, daily bars, and what was known at each moment."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.hours import HourlyFileError, daily_bars, moments, read_hours, read_splits
from tests.pipeline.live_data import hourly_bars, scrambled

HALF_DAY = pd.Timestamp("2018-11-23")
HEADER = "start,open,high,low,close,volume"
BARS = hourly_bars(250)


def written(folder: Path, *lines: str, name: str = "KO.csv") -> Path:
    file = folder / name
    file.write_text("\n".join(lines) + "\n")
    return file


def known_at(bars: pd.DataFrame, moment: str) -> pd.Series:
    rows = moments(bars)
    return rows[rows["known_until"] == pd.Timestamp(moment)].iloc[0]


def test_prices_before_a_split_are_in_units_of_those_after_it(tmp_path: Path) -> None:
    splits = read_splits(
        written(tmp_path, "symbol,date,ratio", "KO,2018-01-03,2", "KO,2018-01-04,3", "PEP,2018-01-04,5", name="s.csv")
    )
    lines = [f"2018-01-0{day}T09:00,{price},{price},{price},{price},100" for day, price in ((2, 60), (3, 30), (4, 10))]
    bars = read_hours(written(tmp_path, HEADER, *lines), splits)

    assert bars["close"].tolist() == [10, 10, 10]
    assert bars["volume"].tolist() == [600, 300, 100]
    assert bars["traded"].tolist() == [6, 3, 1]


def test_a_daily_bar_is_made_of_all_hours_of_its_day() -> None:
    day = BARS["2018-02-01":"2018-02-01"]
    bar = daily_bars(BARS)["2018-02-01":"2018-02-01"].to_numpy()[0]

    assert bar.tolist() == [day["open"].iloc[0], day["high"].max(), day["low"].min(), day["close"].iloc[-1], day["volume"].sum()]


def test_at_the_open_only_the_first_price_is_known() -> None:
    row = known_at(BARS, "2018-02-01 09:30")

    opened = BARS.loc["2018-02-01 09:00", "open"]
    assert row[["open", "high", "low", "price", "fraction"]].tolist() == [opened] * 4 + [0]


def test_at_a_full_hour_the_bars_are_known_that_have_ended() -> None:
    row, ended = known_at(BARS, "2018-02-01 11:00"), BARS.loc["2018-02-01 09:00":"2018-02-01 10:00"]

    expected = [ended["open"].iloc[0], ended["high"].max(), ended["low"].min(), ended["close"].iloc[-1]]
    assert row[["open", "high", "low", "price"]].tolist() == expected
    assert row["fraction"] == pytest.approx(1.5 / 6.5)


def test_a_half_day_has_moments_until_it_closes() -> None:
    rows = moments(BARS)
    half = rows[rows["session"] == HALF_DAY]

    assert half["known_until"].dt.strftime("%H:%M").tolist() == ["09:30", "10:00", "11:00", "12:00"]
    assert half["fraction"].iloc[-1] == pytest.approx(2.5 / 3.5)


@pytest.mark.parametrize("moment", ["2018-02-01 09:30", "2018-02-01 10:00", "2018-02-01 14:00"])
def test_bars_that_end_later_change_no_bit_of_what_was_known(moment: str) -> None:
    changed, rows = moments(scrambled(BARS, pd.Timestamp(moment))), moments(BARS)
    if moment.endswith("09:30"):  # the open itself is known
        changed = changed[changed["known_until"] != pd.Timestamp(moment)]
        rows = rows[rows["known_until"] != pd.Timestamp(moment)]
    until = rows["known_until"] <= pd.Timestamp(moment)

    pd.testing.assert_frame_equal(changed[until.to_numpy()], rows[until], check_exact=True)
    assert not changed["price"].equals(rows["price"])


def test_an_hour_without_a_bar_leaves_the_price_before_it() -> None:
    row = known_at(BARS.drop(pd.Timestamp("2018-02-01 12:00")), "2018-02-01 13:00")

    assert row["price"] == BARS.loc["2018-02-01 11:00", "close"]


def test_a_day_whose_first_bar_is_missing_has_no_moment_at_the_open() -> None:
    rows = moments(BARS.drop(pd.Timestamp("2018-02-01 09:00")))

    assert rows[rows["session"] == "2018-02-01"]["known_until"].iloc[0] == pd.Timestamp("2018-02-01 11:00")


def test_a_day_that_was_no_session_has_no_moments() -> None:
    saturday = BARS.loc[["2018-02-01 09:00"]].set_index(pd.DatetimeIndex(["2018-02-03 09:00"]).as_unit("us"))

    assert moments(saturday).empty


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([HEADER.removesuffix(",volume"), "2018-01-02T09:00,1,1,1,1"], "has no column volume"),
        ([HEADER, "2018-01-02T10:00,1,1,1,1,1", "2018-01-02T09:00,1,1,1,1,1"], "out of order"),
        ([HEADER, "2018-01-02T09:00,1,1,0,1,1"], "not above zero"),
        ([HEADER, "2018-01-02T09:00,1,,1,1,1"], "missing"),
        ([HEADER, "soon,1,1,1,1,1"], "no date or time"),
        (["start"], "has no column open"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path, lines: list[str], problem: str) -> None:
    with pytest.raises(HourlyFileError, match=rf"KO\.csv .*{problem}"):
        read_hours(written(tmp_path, *lines))


def test_a_split_needs_a_positive_ratio(tmp_path: Path) -> None:
    with pytest.raises(HourlyFileError, match="ratio"):
        read_splits(written(tmp_path, "symbol,date,ratio", "KO,2018-01-03,0"))


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HourlyFileError, match=r"KO\.csv cannot be read"):
        read_hours(tmp_path / "KO.csv")


def test_prices_that_are_not_split_stay_as_they_are(tmp_path: Path) -> None:
    bars = read_hours(written(tmp_path, HEADER, "2018-01-02T09:00,1.1,1.2,1,1.15,7"))

    assert np.array_equal(bars.to_numpy(), [[1.1, 1.2, 1, 1.15, 7, 1]])
