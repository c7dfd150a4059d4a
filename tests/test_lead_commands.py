"""`manage.py fit_leads`, and `manage.py backtest` and `train_base` with leads, from price files."""

from dataclasses import replace
from datetime import date
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from forecasting import registry
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.verified import ArtifactFile, file_of
from forecasting.prices.leads import ALL_LEADS
from tests.pipeline.lead_data import following_bars, lead_bars, tokyo
from tests.pipeline.market_data import session_bars
from tests.pipeline.serving.models import base_model
from tests.pipeline.small_trees import trees_onnx

SPY = lead_bars()
THROUGH = date(2019, 12, 30)


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of Tokyo and one of Istanbul, in subfolders, and another one with leads and an index that is none."""
    folder = tmp_path_factory.mktemp("prices")
    for name, symbol, bars in [
        *(("XTKS", symbol, bars) for symbol, bars in tokyo(SPY, [0.5] * 3)),
        ("XIST", "AKBNK.IS", session_bars(700, first=date(2018, 1, 2), exchange="XIST")),
        ("leads", "SPY", SPY),
        ("leads", "^FTSE", SPY),
    ]:
        (folder / name).mkdir(exist_ok=True)
        bars.to_csv(folder / name / f"{symbol}.csv")
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folder of a base that has seen nothing after THROUGH, without a lead model."""
    folder = tmp_path / "base"
    folder.mkdir()
    artifacts.write(folder, replace(base_model(), trees=trees_onnx(), data_end=THROUGH))
    return folder


def fit(prices: Path, out: Path, **options: object) -> None:
    call_command("fit_leads", prices=prices, leads=prices / "leads", out=out, **options)


def backtest(prices: Path, base: Path, out: Path) -> pd.DataFrame:
    options = {"leads": prices / "leads", "base": str(base), "through": THROUGH, "base_alone": True}
    call_command("backtest", prices=prices, out=out, **options)
    return pd.read_csv(out, parse_dates=["as_of"])


def test_a_lead_model_is_written_beside_the_other_files_of_a_base(
    prices: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(prices, base / "leads.json", through=THROUGH)
    leads = artifacts.read_base(base, artifacts.recorded(base)).leads

    assert leads
    assert {*leads.exchanges} == {"XTKS"}
    assert leads.through == THROUGH
    assert leads.exchanges["XTKS"].betas[0] == pytest.approx(0.5, abs=0.05)
    assert "XTKS" in capsys.readouterr().out


@pytest.mark.parametrize("through", [date(2018, 2, 1), date(2025, 1, 1)])
def test_an_exchange_with_few_bars_on_one_side_of_the_end_is_fitted_on_its_first_half(
    prices: Path, tmp_path: Path, through: date
) -> None:
    fit(prices, tmp_path / "leads.json", through=through)
    leads = artifacts.read_leads(tmp_path, {"leads.json": recorded(tmp_path / "leads.json")})

    assert leads
    assert leads.through == following_bars(SPY, 0.5).index[350].date()


def test_without_an_end_all_bars_are_used(prices: Path, tmp_path: Path) -> None:
    fit(prices, tmp_path / "leads.json")
    leads = artifacts.read_leads(tmp_path, {"leads.json": recorded(tmp_path / "leads.json")})

    assert leads
    assert leads.through == following_bars(SPY, 0.5).index[-1].date()


def recorded(file: Path) -> ArtifactFile:
    return file_of(file.read_bytes())


def test_without_an_exchange_that_has_leads_nothing_is_written(prices: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No exchange with leads has enough bars"):
        fit(prices, tmp_path / "leads.json", symbols=["AKBNK.IS"])
    assert not (tmp_path / "leads.json").exists()


def test_a_backtest_with_leads_writes_the_best_forecasts_and_those_without_leads(
    prices: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecasts = backtest(prices, base, tmp_path / "f.csv")
    without = pd.read_csv(tmp_path / "f.close.csv", parse_dates=["as_of"])

    assert forecasts["symbol"].unique().tolist() == ["1000.T", "1001.T", "1002.T", "AKBNK.IS"]
    assert {*forecasts[forecasts["symbol"] == "AKBNK.IS"]["basis"]} == {"close"}
    assert (forecasts[forecasts["symbol"] == "1000.T"]["basis"] == "lead").mean() > 0.9
    assert {*without["basis"]} == {"close"}
    assert without[["symbol", "as_of"]].equals(forecasts[["symbol", "as_of"]])
    out = capsys.readouterr().out
    assert "By exchange, without leads (close) and with leads (best)" in out
    assert "Probability of a rise, by forecasts with leads" in out


def test_a_backtest_takes_the_lead_model_of_its_base(prices: Path, base: Path, tmp_path: Path) -> None:
    fit(prices, base / "leads.json", through=date(2019, 6, 28))
    other = backtest(prices, base, tmp_path / "other.csv")
    (base / "leads.json").unlink()

    assert not other["q50"].equals(backtest(prices, base, tmp_path / "own.csv")["q50"])


def test_a_backtest_refuses_a_lead_model_that_has_seen_later_bars(prices: Path, base: Path, tmp_path: Path) -> None:
    fit(prices, base / "leads.json")

    with pytest.raises(CommandError, match=r"leads\.json has seen bars up to"):
        backtest(prices, base, tmp_path / "f.csv")


def test_two_files_of_a_symbol_are_refused(prices: Path, base: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "twice" / name).mkdir(parents=True)
        SPY.to_csv(tmp_path / "twice" / name / "1000.T.csv")

    with pytest.raises(CommandError, match="several files of the same symbol"):
        call_command("fit_leads", prices=tmp_path / "twice", leads=prices / "leads", out=tmp_path / "leads.json")


def test_a_base_can_be_trained_with_its_lead_model(prices: Path, tmp_path: Path) -> None:
    call_command(
        "train_base", prices=prices, leads=prices / "leads", through=date(2020, 6, 30), out=tmp_path / "made", stdout=StringIO()
    )
    made = artifacts.read_base(tmp_path / "made", artifacts.recorded(tmp_path / "made"))

    assert made.symbols == ("1000.T", "1001.T", "1002.T", "AKBNK.IS")
    assert made.leads
    assert made.leads.through == date(2020, 6, 30)
    assert made.command == "python manage.py train_base --prices DIR --leads DIR --through 2020-06-30 --out DIR"


def test_the_shipped_lead_model_says_what_it_was_fitted_on() -> None:
    base = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))

    assert base.leads
    assert {"XTKS", "XASX", "XBOM", "XKRX", "XSES"} <= {name for name, each in base.leads.exchanges.items() if each.test.passed}
    for each in base.leads.exchanges.values():
        assert each.first < each.through <= date(2018, 12, 31)
        assert {*each.leads} <= ALL_LEADS
        assert 0 < each.betas[0] < 0.5
