"""The bars contract: what a frame of daily prices is everywhere in the pipeline, and the check that a frame keeps it.

A contract frame has one row per session and the float64 columns of `COLUMNS`, indexed by a tz-naive, normalised,
strictly ascending DatetimeIndex named "date". Prices are adjusted for splits and dividends, finite and above zero;
high >= max(open, close), low <= min(open, close); volume is finite and not negative.
"""

from datetime import date

import numpy as np
import pandas as pd

COLUMNS: tuple[str, ...] = ("open", "high", "low", "close", "volume")
PRICES: tuple[str, ...] = ("open", "high", "low", "close")

# A high or low may miss the open or close by this share of the price and is then widened to contain it. Adjusting by a
# rounded factor costs 1e-7; feeds that leave the auctions out of the day's range reach 0.3 %; real mistakes are larger.
RANGE_TOLERANCE = 0.005

REMEDY = "correct or remove that bar where the prices come from"


class BadBarsError(ValueError):
    """Prices of `symbol` break the contract; `reason` names what was found, its date, and what to do."""

    def __init__(self, symbol: str, reason: str) -> None:
        super().__init__(symbol, reason)
        self.symbol = symbol
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.symbol}: {self.reason}"


def validated(bars: pd.DataFrame, *, symbol: str) -> pd.DataFrame:
    """A new frame that keeps the contract, with other columns dropped and the range repaired within `RANGE_TOLERANCE`.

    Raises BadBarsError for anything else that breaks the contract; nothing is sorted, filled or dropped.
    """
    _check_columns(bars, symbol)
    _check_dates(bars.index, symbol)
    frame = _as_floats(bars, symbol)
    _check_values(frame, symbol)
    return _with_range_containing_open_and_close(frame, symbol)


def empty() -> pd.DataFrame:
    """A contract frame without rows."""
    index = pd.DatetimeIndex([], dtype="datetime64[us]", name="date")
    return pd.DataFrame(index=index, columns=list(COLUMNS), dtype="float64")


def between(bars: pd.DataFrame, *, first: date | None, last: date) -> pd.DataFrame:
    """The bars from session `first` (None: from the beginning) to session `last`, both inclusive."""
    keep = bars.index <= pd.Timestamp(last)
    if first is not None:
        keep &= bars.index >= pd.Timestamp(first)
    return bars.loc[keep]


def _check_columns(bars: pd.DataFrame, symbol: str) -> None:
    if missing := [column for column in COLUMNS if column not in bars.columns]:
        raise BadBarsError(symbol, f"the bars have no column {', '.join(missing)}; columns needed: {', '.join(COLUMNS)}")


def _check_dates(index: pd.Index, symbol: str) -> None:
    if not isinstance(index, pd.DatetimeIndex):
        raise BadBarsError(symbol, f"the bars are indexed by {index.dtype}; index them by session date")
    if index.tz is not None:
        raise BadBarsError(symbol, f"the session dates carry the time zone {index.tz}; use the exchange's local dates")
    if index.hasnans:
        raise BadBarsError(symbol, f"bar number {index.isna().argmax() + 1} has no date; {REMEDY}")
    if (timed := index != index.normalize()).any():
        raise BadBarsError(symbol, f"{index[int(timed.argmax())]} has a time of day; use session dates")
    if (repeated := index.duplicated()).any():
        raise BadBarsError(symbol, f"there are two bars of {index[int(repeated.argmax())].date()}; remove one of them")
    if not index.is_monotonic_increasing:
        later = int((index[1:] < index[:-1]).argmax())
        dates = f"{index[later + 1].date()} follows {index[later].date()}"
        raise BadBarsError(symbol, f"the bars are out of order: {dates}; sort them by date, oldest first")


def _as_floats(bars: pd.DataFrame, symbol: str) -> pd.DataFrame:
    try:
        frame = bars[list(COLUMNS)].astype("float64")
    except (TypeError, ValueError) as error:
        raise BadBarsError(symbol, f"the bars hold something other than numbers ({error})") from error
    # One unit everywhere, whatever the source's was: frames of equal dates compare equal.
    frame.index = pd.DatetimeIndex(bars.index.to_numpy(), name="date").as_unit("us")
    frame.columns.name = None
    return frame


def _check_values(frame: pd.DataFrame, symbol: str) -> None:
    for column in COLUMNS:
        values = frame[column].to_numpy()
        is_price = column in PRICES
        good = np.isfinite(values) & ((values > 0) if is_price else (values >= 0))
        if not good.all():
            row = int(good.argmin())
            rule = "a price must be a number above zero" if is_price else "volume must be zero or more"
            found = f"{column} is {values[row]:g} on {frame.index[row].date()}"
            raise BadBarsError(symbol, f"{found}, but {rule}; {REMEDY}")


def _with_range_containing_open_and_close(frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    top, bottom = frame[["open", "close"]].max(axis="columns"), frame[["open", "close"]].min(axis="columns")
    _check_range(frame["high"], (top - frame["high"]) / top, "below the open or close", top, symbol)
    _check_range(frame["low"], (frame["low"] - bottom) / bottom, "above the open or close", bottom, symbol)
    return frame.assign(high=frame["high"].clip(lower=top), low=frame["low"].clip(upper=bottom))


def _check_range(bound: pd.Series, miss: pd.Series, where: str, extreme: pd.Series, symbol: str) -> None:
    """`miss` is the share of the price by which `bound` fails to contain `extreme`."""
    if (miss > RANGE_TOLERANCE).any():
        row = int(miss.to_numpy().argmax())
        found = f"{bound.name} {bound.iloc[row]:g} on {bound.index[row].date()} is {where}, {extreme.iloc[row]:g}"
        raise BadBarsError(symbol, f"{found}; {REMEDY}")
