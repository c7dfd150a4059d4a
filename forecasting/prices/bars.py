"""The bars contract: the format of every frame of daily prices that has passed the quality gate.

Price sources return frames of the same shape with unchecked values; quality.py turns them into contract frames.

A contract frame has one row per session and the float64 columns of `COLUMNS`, indexed by a tz-naive, normalised,
strictly ascending DatetimeIndex named "date". Prices are adjusted for splits and dividends, finite and above zero.
Each bar has high >= max(open, close), low <= min(open, close); volume is finite and not negative.
"""

from datetime import date

import numpy as np
import pandas as pd

from forecasting.prices.findings import Finding, Rule, Verdict

COLUMNS: tuple[str, ...] = ("open", "high", "low", "close", "volume")
PRICES: tuple[str, ...] = ("open", "high", "low", "close")

FLOAT_NOISE = 1e-6  # relative rounding error of adjusted and stored prices


class BadBarsError(ValueError):
    """The prices of `symbol` cannot be used.

    `reason` names the problem, its date and the remedy; `findings` lists every finding.
    """

    def __init__(self, symbol: str, reason: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(symbol, reason, findings)
        self.symbol = symbol
        self.reason = reason
        self.findings = findings

    def __str__(self) -> str:
        return f"{self.symbol}: {self.reason}"


def shaped(bars: pd.DataFrame, *, symbol: str) -> pd.DataFrame:
    """A copy with the contract's columns and index type. Values and the order of dates are not checked.

    Raises BadBarsError for missing columns, an unsuitable index or values that are not numbers.
    """
    if found := _missing_columns(bars) or _misfit_of_index(bars.index):
        raise _shapeless(symbol, found)
    try:
        values = bars[list(COLUMNS)].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise _shapeless(symbol, f"the bars hold something other than numbers ({error})") from error
    # One datetime unit for all sources, so that equal dates compare equal.
    index = pd.DatetimeIndex(bars.index.to_numpy().astype("datetime64[us]"), name="date")
    return pd.DataFrame(values.copy(), index=index, columns=list(COLUMNS))


def empty() -> pd.DataFrame:
    """A contract frame without rows."""
    index = pd.DatetimeIndex([], dtype="datetime64[us]", name="date")
    return pd.DataFrame(index=index, columns=list(COLUMNS), dtype="float64")


def between(bars: pd.DataFrame, *, first: date | None, last: date) -> pd.DataFrame:
    """The bars from session `first` (None: from the start) to session `last`, both inclusive."""
    keep = bars.index <= pd.Timestamp(last)
    if first is not None:
        keep &= bars.index >= pd.Timestamp(first)
    return bars.loc[keep]


def _shapeless(symbol: str, found: str) -> BadBarsError:
    return BadBarsError(symbol, found, (Finding(Rule.SHAPE, Verdict.REFUSED, None, None, found),))


def _missing_columns(bars: pd.DataFrame) -> str:
    missing = [column for column in COLUMNS if column not in bars.columns]
    return f"the bars have no column {', '.join(missing)}; columns needed: {', '.join(COLUMNS)}" if missing else ""


def _misfit_of_index(index: pd.Index) -> str:
    """Why the index does not hold session dates; "" if it does."""
    if not isinstance(index, pd.DatetimeIndex):
        return f"the bars are indexed by {index.dtype}; index them by session date"
    if index.tz is not None:
        return f"the session dates have the time zone {index.tz}; use the exchange's local dates"
    if index.hasnans:
        return f"bar number {index.isna().argmax() + 1} has no date; correct or remove it in the price source"
    moments = index.to_numpy()
    if (timed := moments != moments.astype("datetime64[D]")).any():
        return f"{index[int(timed.argmax())]} has a time of day; use session dates"
    return ""
