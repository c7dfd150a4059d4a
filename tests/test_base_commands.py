"""`manage.py train_base` and `manage.py backtest`, from price files or stored bars."""

from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from forecasting import registry
from forecasting.background.trainer_child import work
from forecasting.models import ModelVersion, PriceBar, Training
from forecasting.models.trainings import Outcome, TrainingReason
from forecasting.models.versions import VersionState
from forecasting.pipeline.model.calibration import told_median
from forecasting.pipeline.serving import artifacts
from forecasting.prices.bars import COLUMNS as COLUMNS_OF_BARS
from forecasting.prices.simulation import Simulation
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests
from tests.factories import make_symbol

THROUGH = date(2018, 12, 31)
COLUMNS = ["symbol", "as_of", "basis", "q01", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q99"]


def simulated(symbol: str, *, last: date = date(2019, 3, 29)) -> pd.DataFrame:
    return Simulation(seed=3).fetch(symbol, since=None, through=last).bars


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with price files of three symbols, one of them with too few bars to train, and a quote file."""
    folder = tmp_path_factory.mktemp("prices")
    for symbol in ("SAMPLE1", "SAMPLE2"):
        simulated(symbol).to_csv(folder / f"{symbol}.csv")
    simulated("SAMPLE3").tail(100).to_csv(folder / "SAMPLE3.csv")
    (folder / "SAMPLE1.quote.csv").write_text("time,price,open,high,low,volume\n")
    return folder


@pytest.fixture(scope="module")
def base(prices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base trained on the files."""
    folder = tmp_path_factory.mktemp("base") / "made"
    call_command("train_base", prices=prices, through=THROUGH, out=folder, stdout=StringIO())
    return folder


def run_backtest(prices: Path, out: Path, **options: object) -> pd.DataFrame:
    call_command("backtest", prices=prices, out=out, **({"through": THROUGH} | options))
    return pd.read_csv(out, parse_dates=["as_of"])


def test_a_base_is_written_to_a_folder_and_says_how_it_was_made(base: Path) -> None:
    made = artifacts.read_base(base, artifacts.recorded(base))
    assert made.symbols == ("SAMPLE1", "SAMPLE2")
    assert made.data_end == THROUGH
    assert made.trained_at
    assert timezone.now() - made.trained_at < timedelta(minutes=10)
    assert made.command == "python manage.py train_base --prices DIR --through 2018-12-31 --out DIR"


def test_what_became_of_the_median_is_printed_with_its_weight(
    prices: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("train_base", prices=prices, through=THROUGH, out=tmp_path / "again")
    made = artifacts.read_base(base, artifacts.recorded(base))
    told = f"median: {told_median(**made.calibration.median_facts)}."
    assert told in capsys.readouterr().out.replace("\n", " ").replace("  ", " ")
    run_backtest(prices, tmp_path / "f.csv", base=str(base), symbols=["SAMPLE1"], base_alone=True)
    assert told in capsys.readouterr().out.replace("\n", " ").replace("  ", " ")


def test_a_folder_that_is_not_empty_is_not_written_to(prices: Path, base: Path) -> None:
    with pytest.raises(CommandError, match="is not empty"):
        call_command("train_base", prices=prices, out=base)


def test_a_symbol_without_a_file_is_named(prices: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no price file for NOPE"):
        call_command("train_base", prices=prices, symbols=["NOPE"], out=tmp_path)


def test_a_backtest_forecasts_every_later_session(
    prices: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecasts = run_backtest(prices, tmp_path / "f.csv", base=str(base), base_alone=True, symbols=["SAMPLE1", "SAMPLE2"])
    assert list(forecasts) == COLUMNS
    sessions = simulated("SAMPLE1").loc["2019":].index
    for symbol in ("SAMPLE1", "SAMPLE2"):
        assert forecasts[forecasts["symbol"] == symbol]["as_of"].tolist() == sessions.tolist()
    assert {*forecasts["basis"]} == {"close"}
    assert (forecasts[COLUMNS[3:]].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    told = capsys.readouterr().out
    assert "EWMA volatility" in told
    assert "inside the 98% interval" in told


def test_a_backtest_of_a_later_horizon_is_wider(prices: Path, base: Path, tmp_path: Path) -> None:
    options = {"base": str(base), "symbols": ["SAMPLE1"], "base_alone": True}
    near, far = (run_backtest(prices, tmp_path / f"{sessions}.csv", sessions=sessions, **options) for sessions in (1, 21))
    assert list(far) == COLUMNS
    assert far["as_of"].tolist() == near["as_of"].tolist()
    assert ((far["q90"] / far["q10"]) > (near["q90"] / near["q10"])).all()
    assert (far["q50"] / near["q50"]).between(0.95, 1.05).all()


def test_a_backtest_of_some_dates_is_that_part_of_the_whole(prices: Path, base: Path, tmp_path: Path) -> None:
    options = {"base": str(base), "symbols": ["SAMPLE1"]}
    whole = run_backtest(prices, tmp_path / "whole.csv", **options)
    part = run_backtest(prices, tmp_path / "part.csv", first=date(2019, 2, 1), last=date(2019, 2, 28), **options)
    wanted = whole[whole["as_of"].between("2019-02-01", "2019-02-28")].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, wanted, check_exact=True)


def test_a_backtest_of_nothing_says_so(prices: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="could be forecast from"):
        run_backtest(prices, tmp_path / "f.csv", base=str(base), symbols=["SAMPLE3"], base_alone=True)
    assert "SAMPLE3 has 100 bars" in capsys.readouterr().out
    assert not (tmp_path / "f.csv").exists()


def test_a_session_that_has_not_happened_is_forecast_and_not_scored(
    prices: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = simulated("SAMPLE1").index[-1]
    forecasts = run_backtest(prices, tmp_path / "f.csv", base=str(base), symbols=["SAMPLE1"], first=last.date(), base_alone=True)
    assert forecasts["as_of"].tolist() == [last]
    assert "nothing to score" in capsys.readouterr().out


def test_a_base_that_knows_later_bars_is_refused(prices: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="has seen bars up to 2018-12-31, later than 2018-06-29"):
        run_backtest(prices, tmp_path / "f.csv", base=str(base), through=date(2018, 6, 29))
    with pytest.raises(CommandError, match="has seen bars up to 2024-12-31"):
        run_backtest(prices, tmp_path / "f.csv", base="shipped")
    assert not (tmp_path / "f.csv").exists()


@pytest.mark.django_db
def test_the_stored_bars_give_a_base_that_serves() -> None:
    for ticker in ("SAMPLE1", "SAMPLE2"):
        store(ticker)
    shipped = registry.base_version()
    call_command("train_base", stdout=StringIO())
    version = registry.base_version()
    assert shipped
    assert version
    assert (version.number, version.data_end) == (2, date(2019, 3, 29))
    assert ModelVersion.objects.get(pk=shipped.pk).state == VersionState.RETIRED


@pytest.mark.django_db
def test_the_queue_trains_the_base_like_a_symbol() -> None:
    store("SAMPLE1")
    training_requests.request_base(reason=TrainingReason.TOO_OLD)
    claimed = training_queue.claim()
    assert claimed
    assert work(claimed.pk, fence=claimed.fence, progress=lambda now: None) == (Outcome.PUBLISHED, "")
    assert ModelVersion.objects.active().get().training == Training.objects.get()


def store(ticker: str) -> None:
    """Simulated bars of a symbol."""
    symbol = make_symbol(ticker)
    bars = simulated(ticker)
    rows = zip(pd.DatetimeIndex(bars.index).date, bars.to_numpy().tolist(), strict=True)
    PriceBar.objects.bulk_create(
        PriceBar(symbol=symbol, date=day, **dict(zip(COLUMNS_OF_BARS, row, strict=True))) for day, row in rows
    )
