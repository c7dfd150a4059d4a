"""The bars contract: what a frame of daily prices is everywhere in the pipeline, and the check that a frame keeps it.

Whether prices that keep it can be true is for quality.py to say.

A contract frame has one row per session and the float64 columns of `COLUMNS`, indexed by a tz-naive, normalised,
strictly ascending DatetimeIndex named "date". Prices are adjusted for splits and dividends, finite and above zero;
high >= max(open, close), low <= min(open, close); volume is finite and not negative.
"""

from datetime import date

import numpy as np
import pandas as pd

from forecasting.pipeline.findings import Finding, Rule, Verdict, listed, reason

COLUMNS: tuple[str, ...] = ("open", "high", "low", "close", "volume")
PRICES: tuple[str, ...] = ("open", "high", "low", "close")

# A high or low may miss the open or close by this share of the price and is then widened to contain it. Adjusting by a
# rounded factor costs 1e-7; feeds that leave the auctions out of the day's range reach 0.3 %; real mistakes are larger.
RANGE_TOLERANCE = 0.005

FLOAT_NOISE = 1e-6  # relative; what adjusting and storing prices costs them

REMEDY = "correct or remove that bar where the prices come from"


class BadBarsError(ValueError):
    """Prices of `symbol` cannot be used; `reason` names what was found, its date, and what to do; `findings` is all of it."""

    def __init__(self, symbol: str, reason: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(symbol, reason, findings)
        self.symbol = symbol
        self.reason = reason
        self.findings = findings

    def __str__(self) -> str:
        return f"{self.symbol}: {self.reason}"


def validated(bars: pd.DataFrame, *, symbol: str) -> pd.DataFrame:
    """A new frame that keeps the contract, with other columns dropped and the range repaired within `RANGE_TOLERANCE`.

    Raises BadBarsError for anything else that breaks the contract; nothing is sorted, filled or dropped.
    """
    frame = shaped(bars, symbol=symbol)
    if found := breaches(frame):
        raise BadBarsError(symbol, reason(found), tuple(found))
    return widened(frame)


def shaped(bars: pd.DataFrame, *, symbol: str) -> pd.DataFrame:
    """A new frame with the contract's columns and kind of index, whatever its dates and values.

    Raises BadBarsError where that cannot be had.
    """
    if found := _missing_columns(bars) or _misfit_of_index(bars.index):
        raise _shapeless(symbol, found)
    try:
        frame = bars[list(COLUMNS)].astype("float64")
    except (TypeError, ValueError) as error:
        raise _shapeless(symbol, f"the bars hold something other than numbers ({error})") from error
    # One unit everywhere, whatever the source's was: frames of equal dates compare equal.
    frame.index = pd.DatetimeIndex(bars.index.to_numpy(), name="date").as_unit("us")
    frame.columns.name = None
    return frame


def breaches(frame: pd.DataFrame) -> list[Finding]:
    """Everything in a shaped frame that breaks the contract and cannot be repaired."""
    return [*_date_breaches(frame.index), *_value_breaches(frame), *_range_breaches(frame)]


def widened(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with each high and low made to contain open and close."""
    top, bottom = _body(frame)
    return frame.assign(high=frame["high"].clip(lower=top), low=frame["low"].clip(upper=bottom))


def range_misses(frame: pd.DataFrame) -> pd.DataFrame:
    """The shares of the price by which `high` and `low` fail to contain open and close, of each bar; not above zero if they do."""
    top, bottom = _body(frame)
    return pd.DataFrame({"high": (top - frame["high"]) / top, "low": (frame["low"] - bottom) / bottom})


def _body(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The higher and the lower of open and close."""
    return frame["open"].clip(lower=frame["close"]), frame["open"].clip(upper=frame["close"])


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


def _shapeless(symbol: str, found: str) -> BadBarsError:
    return BadBarsError(symbol, found, (Finding(Rule.SHAPE, Verdict.REFUSED, None, None, found),))


def _missing_columns(bars: pd.DataFrame) -> str:
    missing = [column for column in COLUMNS if column not in bars.columns]
    return f"the bars have no column {', '.join(missing)}; columns needed: {', '.join(COLUMNS)}" if missing else ""


def _misfit_of_index(index: pd.Index) -> str:
    """Why the index holds no session dates, or nothing."""
    if not isinstance(index, pd.DatetimeIndex):
        return f"the bars are indexed by {index.dtype}; index them by session date"
    if index.tz is not None:
        return f"the session dates carry the time zone {index.tz}; use the exchange's local dates"
    if index.hasnans:
        return f"bar number {index.isna().argmax() + 1} has no date; {REMEDY}"
    if (timed := index != index.normalize()).any():
        return f"{index[int(timed.argmax())]} has a time of day; use session dates"
    return ""


def _date_breaches(index: pd.Index) -> list[Finding]:
    days = pd.DatetimeIndex(index)
    repeated = listed(
        np.flatnonzero(days.duplicated()), lambda row: _breach(Rule.DUPLICATE, days[row], None, _two_bars(days[row].date()))
    )
    if days.is_monotonic_increasing:
        return repeated
    row = int((days[1:] < days[:-1]).argmax())
    dates = f"{days[row + 1].date()} follows {days[row].date()}"
    text = f"the bars are out of order: {dates}; sort them by date, oldest first"
    return [*repeated, _breach(Rule.ORDER, days[row + 1], None, text)]


def _two_bars(day: date) -> str:
    return f"there are two bars of {day}; remove one of them"


def _value_breaches(frame: pd.DataFrame) -> list[Finding]:
    return [finding for column in COLUMNS for finding in _column_breaches(frame[column], is_price=column in PRICES)]


def _column_breaches(column: pd.Series, *, is_price: bool) -> list[Finding]:
    values = column.to_numpy()
    good = np.isfinite(values) & ((values > 0) if is_price else (values >= 0))
    wanted = "a price must be a number above zero" if is_price else "volume must be zero or more"

    def breach(row: int) -> Finding:
        day, value = pd.DatetimeIndex(column.index)[row], float(values[row])
        text = f"{column.name} is {value:g} on {day.date()}, but {wanted}; {REMEDY}"
        return _breach(Rule.PRICE if is_price else Rule.VOLUME, day, value, text)

    return listed(np.flatnonzero(~good), breach)


def _range_breaches(frame: pd.DataFrame) -> list[Finding]:
    """Of bars whose prices are numbers above zero; the others are breaches already."""
    prices = frame[list(PRICES)].to_numpy()
    numbers = (np.isfinite(prices) & (prices > 0)).all(axis=1)
    misses, (top, bottom) = range_misses(frame), _body(frame)
    return [
        *_bound_breaches(frame["high"], misses["high"].where(numbers, 0.0), "below", top),
        *_bound_breaches(frame["low"], misses["low"].where(numbers, 0.0), "above", bottom),
    ]


def _bound_breaches(bound: pd.Series, miss: pd.Series, side: str, extreme: pd.Series) -> list[Finding]:
    """Where `bound` misses `extreme`, the open or close furthest out, by more than rounding."""

    def breach(row: int) -> Finding:
        day, value = pd.DatetimeIndex(bound.index)[row], float(bound.iloc[row])
        found = f"{bound.name} {value:g} on {day.date()} is {side} the open or close, {extreme.iloc[row]:g}"
        return _breach(Rule.RANGE, day, value, f"{found}; {REMEDY}")

    return listed(np.flatnonzero(miss.to_numpy() > RANGE_TOLERANCE), breach)


def _breach(rule: Rule, day: pd.Timestamp, value: float | None, text: str) -> Finding:
    return Finding(rule, Verdict.REFUSED, day.date(), value if value is not None and np.isfinite(value) else None, text)
