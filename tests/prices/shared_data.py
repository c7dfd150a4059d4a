"""Real prices that lie beside the project, not in it: tests that need them are skipped where they are absent."""

from pathlib import Path

import pandas as pd
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def needs(folder: str) -> pytest.MarkDecorator:
    """Skips a test where this folder of the real prices is absent."""
    return pytest.mark.skipif(not (SHARED / folder).is_dir(), reason=f"no real prices in {SHARED / folder}")


def folders(parent: str) -> list[str]:
    """The folders within one, as `tickers` and `prices` take them."""
    return sorted(f"{parent}/{each.name}" for each in (SHARED / parent).glob("*/"))


def tickers(folder: str) -> list[str]:
    """The symbols of a folder, by name."""
    return sorted(file.stem for file in (SHARED / folder).glob("*.csv"))


def prices(folder: str, ticker: str) -> pd.DataFrame:
    """One file as pandas reads it, its adjusted closes unused."""
    return pd.read_csv(SHARED / folder / f"{ticker}.csv", parse_dates=["date"], index_col="date").drop(columns="adj_close")
