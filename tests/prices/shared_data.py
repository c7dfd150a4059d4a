"""Real prices outside the repository. Tests that need them are skipped if they are absent."""

from pathlib import Path

import pandas as pd
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def needs(folder: str) -> pytest.MarkDecorator:
    """Skips a test if this folder of real prices is absent."""
    return pytest.mark.skipif(not (SHARED / folder).is_dir(), reason=f"no real prices in {SHARED / folder}")


def folders(parent: str) -> list[str]:
    """The subfolders of a folder, as arguments for `tickers` and `prices`."""
    return sorted(f"{parent}/{each.name}" for each in (SHARED / parent).glob("*/"))


def tickers(folder: str) -> list[str]:
    """The symbols of a folder, sorted."""
    return sorted(file.stem for file in (SHARED / folder).glob("*.csv"))


def prices(folder: str, ticker: str) -> pd.DataFrame:
    """One file as pandas reads it, without its adjusted closes."""
    return pd.read_csv(SHARED / folder / f"{ticker}.csv", parse_dates=["date"], index_col="date").drop(columns="adj_close")
