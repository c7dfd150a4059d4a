"""`manage.py fit_rates`, and the base rates that ship with the service."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from forecasting import registry
from forecasting.pipeline.model.base_rates import BaseRates
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.verified import file_of
from forecasting.prices.rate_classes import INDEX_OR_FUND
from tests.pipeline.market_data import rescaled, session_bars

FIRST, THROUGH = date(2018, 1, 2), date(2020, 6, 30)
BARS = {ticker: session_bars(1_000, first=FIRST, seed=seed) for seed, ticker in enumerate(("AAA", "BBB", "SPY", "^GSPC"))}


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """Files of two shares, a fund and an index."""
    return written(tmp_path / "prices", BARS)


def written(folder: Path, bars: dict[str, pd.DataFrame]) -> Path:
    folder.mkdir()
    for ticker, each in bars.items():
        each.to_csv(folder / f"{ticker}.csv")
    return folder


def fit(prices: Path, **options: object) -> BaseRates:
    out = prices.parent / "rates.json"
    call_command("fit_rates", prices=prices, out=out, **options)
    rates = artifacts.read_rates(out.parent, {"rates.json": file_of(out.read_bytes())})
    assert rates
    return rates


def test_rates_are_fitted_by_class_and_told_beside_what_came_later(prices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = fit(prices, funds=["SPY"], through=THROUGH)

    days = int((BARS["AAA"].index <= pd.Timestamp(THROUGH)).sum()) - 1
    assert {name: (each.days, each.moves) for name, each in rates.classes.items()} == {
        "XNYS": (days, 2 * days),
        INDEX_OR_FUND: (days, 2 * days),
    }
    assert {(each.first, each.through) for each in rates.classes.values()} == {(BARS["AAA"].index[1].date(), THROUGH)}
    row = next(line for line in capsys.readouterr().out.splitlines() if "XNYS" in line)
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert (cells[1:3], cells[6:8]) == ([THROUGH.isoformat(), str(days)], ["no", str(999 - days)])


def test_a_fund_that_is_not_named_counts_as_a_share(prices: Path) -> None:
    rates = fit(prices)

    assert (rates.classes["XNYS"].moves, rates.classes[INDEX_OR_FUND].moves) == (3 * 999, 999)


def test_prices_after_the_end_of_the_fit_change_no_bit(prices: Path, tmp_path: Path) -> None:
    later = int((BARS["AAA"].index <= pd.Timestamp(THROUGH)).sum())
    other = {ticker: rescaled(bars.iloc[::-1].set_index(bars.index), slice(None), 2.0) for ticker, bars in BARS.items()}
    changed = {ticker: pd.concat([BARS[ticker].iloc[:later], other[ticker].iloc[later:]]) for ticker in BARS}
    (tmp_path / "other").mkdir()

    assert fit(written(tmp_path / "other" / "prices", changed), through=THROUGH) == fit(prices, through=THROUGH)


def test_without_a_class_that_has_enough_days_nothing_is_written(tmp_path: Path) -> None:
    prices = written(tmp_path / "prices", {"AAA": BARS["AAA"].tail(200)})
    with pytest.raises(CommandError, match="No class of symbols has enough days"):
        fit(prices)
    assert not (tmp_path / "rates.json").exists()


def test_the_shipped_rates_say_what_they_were_fitted_on() -> None:
    base = artifacts.read_base(registry.SHIPPED_BASE, artifacts.recorded(registry.SHIPPED_BASE))

    assert base.rates
    passed = {name for name in base.rates.classes if base.rates.of(name)}
    assert passed == {INDEX_OR_FUND, "XASX", "XIST"}
    for name, each in base.rates.classes.items():
        assert each.first < each.test.first < each.through <= date(2018, 12, 31) or name == "XIST"
        assert min(0.5, each.share) <= each.rate <= max(0.5, each.share)
