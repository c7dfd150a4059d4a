"""`manage.py fit_live`, and `manage.py backtest` with `--hourly` and `--at-open`, from price files."""

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from forecasting.pipeline.model.live import LiveModel
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.verified import file_of
from forecasting.prices.hours import daily_bars
from tests.pipeline.live_data import hourly_bars
from tests.pipeline.market_data import session_bars
from tests.pipeline.serving.models import base_model
from tests.pipeline.small_trees import trees_onnx

HOURLY = {symbol: hourly_bars(600, seed=seed) for seed, symbol in enumerate(("AAA", "BBB"))}
DAYS = daily_bars(HOURLY["AAA"]).index
THROUGH = DAYS[450].date()
SPLIT = DAYS[500]  # AAA gives four shares for one


@pytest.fixture(scope="module")
def hourly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of hours as traded, and `splits.csv` in the folder above."""
    folder = tmp_path_factory.mktemp("prices") / "hourly"
    folder.mkdir()
    for symbol, bars in HOURLY.items():
        factor = pd.Series(1.0, bars.index).mask((bars.index < SPLIT) & (symbol == "AAA"), 4.0)
        traded = bars[["open", "high", "low", "close"]].mul(factor, axis=0).assign(volume=bars["volume"] / factor)
        traded.to_csv(folder / f"{symbol}.csv", index_label="start", date_format="%Y-%m-%dT%H:%M")
    (folder.parent / "splits.csv").write_text(f"symbol,date,ratio\nAAA,{SPLIT:%Y-%m-%d},4\n")
    return folder


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of daily bars, two of New York and one of Istanbul."""
    folder = tmp_path_factory.mktemp("daily")
    for symbol, bars in HOURLY.items():
        daily_bars(bars).to_csv(folder / f"{symbol}.csv")
    session_bars(1_300, first=date(2016, 1, 4), exchange="XIST").to_csv(folder / "AKBNK.IS.csv")
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folder of a base that has seen nothing after THROUGH, without a live model."""
    folder = tmp_path / "base"
    folder.mkdir()
    artifacts.write(folder, replace(base_model(), trees=trees_onnx(), data_end=THROUGH))
    return folder


def fit(daily: Path, hourly: Path, out: Path, **options: Any) -> LiveModel:
    splits = hourly.parent / "splits.csv"
    call_command("fit_live", prices=daily, hourly=hourly, splits=splits, out=out, **options)
    live = artifacts.read_live(out.parent, {"live.json": file_of(out.read_bytes())})
    assert live
    return live


def backtest(base: Path, out: Path, **options: Any) -> pd.DataFrame:
    call_command("backtest", base=str(base), through=THROUGH, base_alone=True, out=out, **options)
    return pd.read_csv(out, parse_dates=["as_of"])


def test_a_live_model_is_written_beside_the_other_files_of_a_base(
    daily: Path, hourly: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = fit(daily, hourly, base / "live.json", through=THROUGH)

    assert {*live.openings} == {"XIST", "XNYS"}
    assert live.through == live.hours_through == THROUGH
    assert artifacts.read_base(base, artifacts.recorded(base)).live == live
    assert "XNYS" in capsys.readouterr().out


def test_without_enough_bars_nothing_is_written(daily: Path, hourly: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No exchange has enough bars"):
        fit(daily, hourly, tmp_path / "live.json", symbols=["AAA"], through=DAYS[330].date())
    assert not (tmp_path / "live.json").exists()


def test_a_backtest_of_hours_has_forecasts_at_the_open_and_each_full_hour_as_traded(
    hourly: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecasts = backtest(base, tmp_path / "out.csv", hourly=hourly, splits=hourly.parent / "splits.csv")
    before, after = (forecasts[(forecasts["symbol"] == "AAA") & (forecasts["as_of"] == DAYS[day])] for day in (498, 499))

    times = [f"{DAYS[499]:%Y-%m-%d}T{time}" for time in ("09:30", "10:00", "11:00", "12:00", "13:00", "14:00", "15:00")]
    assert before["known_until"].tolist() == times
    assert before["q50"].iloc[0] == pytest.approx(4 * HOURLY["AAA"].loc[DAYS[499] + pd.Timedelta(hours=9), "open"])
    assert after["q50"].iloc[0] == pytest.approx(HOURLY["AAA"].loc[SPLIT + pd.Timedelta(hours=9), "open"])
    assert [*forecasts.columns][:6] == ["symbol", "as_of", "known_until", "q01", "q05", "q10"]
    assert "15:00" in capsys.readouterr().out


def test_a_backtest_takes_the_live_model_of_its_base(daily: Path, hourly: Path, base: Path, tmp_path: Path) -> None:
    options = {"hourly": hourly, "splits": hourly.parent / "splits.csv"}
    own = backtest(base, tmp_path / "own.csv", **options)
    fit(daily, hourly, base / "live.json", through=DAYS[440].date())
    of_base = backtest(base, tmp_path / "of_base.csv", **options)

    assert own[["symbol", "known_until"]].equals(of_base[["symbol", "known_until"]])
    assert not own["q90"].equals(of_base["q90"])


def test_a_backtest_refuses_a_live_model_that_has_seen_later_sessions(
    daily: Path, hourly: Path, base: Path, tmp_path: Path
) -> None:
    fit(daily, hourly, base / "live.json", through=DAYS[451].date())

    with pytest.raises(CommandError, match=r"live\.json has seen bars up to"):
        backtest(base, tmp_path / "out.csv", hourly=hourly)


def test_an_overnight_move_like_a_split_is_reported(
    hourly: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backtest(base, tmp_path / "out.csv", hourly=hourly)

    assert f"AAA opened on {SPLIT:%Y-%m-%d} at 0.2" in capsys.readouterr().out


def test_a_backtest_at_the_open_has_one_forecast_a_session(daily: Path, base: Path, tmp_path: Path) -> None:
    forecasts = backtest(base, tmp_path / "out.csv", prices=daily, at_open=True, symbols=["AAA", "BBB"])
    own = forecasts[forecasts["symbol"] == "BBB"]

    assert own["as_of"].tolist() == DAYS[451:-1].tolist()
    assert own["q50"].to_numpy() == pytest.approx(daily_bars(HOURLY["BBB"])["open"].to_numpy()[452:])
    assert "known_until" not in forecasts


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"at_open": True}, "leave out --at-open"),
        ({"sessions": 5}, "leave out --leads and --sessions"),
        ({"symbols": ["CCC"]}, "no hourly file for CCC"),
        ({"splits": Path("missing.csv")}, r"missing\.csv cannot be read"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    hourly: Path, base: Path, tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(CommandError, match=problem):
        backtest(base, tmp_path / "out.csv", hourly=hourly, **options)


def test_splits_belong_to_hours(daily: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--splits belongs to --hourly"):
        backtest(base, tmp_path / "out.csv", prices=daily, splits=daily)


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_a_folder_without_hours_is_refused(base: Path, tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(CommandError, match=rf"{folder}"):
        backtest(base, tmp_path / "out.csv", hourly=tmp_path / folder)


def test_hours_of_another_exchange_are_refused(hourly: Path, base: Path, tmp_path: Path) -> None:
    (tmp_path / "hours").mkdir()
    shutil.copy(hourly / "AAA.csv", tmp_path / "hours" / "VOD.L.csv")

    with pytest.raises(CommandError, match=r"VOD\.L in .* trade elsewhere"):
        backtest(base, tmp_path / "out.csv", hourly=tmp_path / "hours")
