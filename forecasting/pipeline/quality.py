"""The quality gate: what stands between a frame of prices and the database, and between stored bars and a training.

It repairs only what is certain: bars of days without a session that repeat the last close without volume are dropped, and
highs and lows that miss open or close by rounding are widened. It refuses what would poison a model. The rest it notes.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.bars import FLOAT_NOISE, PRICES, RANGE_TOLERANCE, BadBarsError, breaches, range_misses, shaped, widened
from forecasting.pipeline.calendars import closed_days, sessions
from forecasting.pipeline.findings import Finding, Rule, Verdict, listed, reason, refused
from forecasting.pipeline.jumps import jump_findings
from forecasting.pipeline.stillness import stillness_findings

Mask = npt.NDArray[np.bool_]

OFF_SESSION = (3, 0.10)  # bars, and share of all, from which on the dates are wrong and not the calendar; shifted ones: 20 %
NOTED_GAP, REFUSED_GAP = 5, 250  # sessions in a row without a bar; after a year the symbol may be another company's
DAILY = (20, 0.5)  # sessions, and share of them that must have bars, else the bars are not daily
OLD = 5  # sessions without a bar since the last one


@dataclass(frozen=True, slots=True)
class Checked:
    """Bars that passed, repaired, and what was found in them: nothing refused."""

    bars: pd.DataFrame
    findings: list[Finding]


def check_bars(frame: pd.DataFrame, *, symbol: str, exchange: str, last_session: date | None = None, needed: int = 0) -> Checked:
    """The bars of `frame`, which has the columns and index of the contract, repaired.

    `last_session` is the last completed one and `needed` the bars that a training takes; both are only compared with.
    Raises BadBarsError with every finding where any of them is refused. A whole history takes milliseconds.
    """
    raw = shaped(frame, symbol=symbol)
    broken = breaches(raw)
    sound = _without_breaches(raw) if broken else raw  # so that one defect does not hide another
    bars, repairs = _repaired(sound, exchange)
    findings = [
        *broken,
        *repairs,
        *_session_findings(bars, exchange),
        *jump_findings(bars),
        *stillness_findings(bars, symbol=symbol),
        *_gap_findings(bars, exchange),
        *_extent_findings(bars, exchange, last_session=last_session, needed=needed),
    ]
    if refused(findings):
        raise BadBarsError(symbol, reason(findings), tuple(findings))
    return Checked(bars, findings)


def _without_breaches(raw: pd.DataFrame) -> pd.DataFrame:
    """What of a frame keeps the contract."""
    frame = raw[~raw.index.duplicated()].sort_index()
    prices, volume = frame[list(PRICES)].to_numpy(), frame["volume"].to_numpy()
    numbers = (np.isfinite(prices) & (prices > 0)).all(axis=1) & np.isfinite(volume) & (volume >= 0)
    within = (range_misses(frame).to_numpy() <= RANGE_TOLERANCE).all(axis=1)
    return frame.iloc[np.flatnonzero(numbers & within)]


def _repaired(sound: pd.DataFrame, exchange: str) -> tuple[pd.DataFrame, list[Finding]]:
    """Bars within their range and without phantoms. A bar's repair depends on itself and the sessions before it alone."""
    misses = range_misses(sound).max(axis="columns").to_numpy()
    phantom = _phantoms(sound, exchange)

    def widening(row: int) -> Finding:
        found = f"high or low of {_day(sound, row)} missed the open or close by {100 * misses[row]:.2g} % and was widened"
        return Finding(Rule.RANGE, Verdict.REPAIRED, _day(sound, row), float(misses[row]), found)

    def dropping(row: int) -> Finding:
        close = float(sound["close"].iloc[row])
        found = f"{_day(sound, row)} was no session; its bar, {close:g} again without volume, was dropped"
        return Finding(Rule.PHANTOM, Verdict.REPAIRED, _day(sound, row), close, found)

    repairs = listed(np.flatnonzero(~phantom & (misses > FLOAT_NOISE)), widening)  # float noise is not worth a word
    return widened(sound)[~phantom], repairs + listed(np.flatnonzero(phantom), dropping)


def _phantoms(bars: pd.DataFrame, exchange: str) -> Mask:
    """Bars of days on which the exchange was closed, without volume, at the close of the last session."""
    closed = closed_days(exchange, pd.DatetimeIndex(bars.index))
    close = bars["close"]
    last = close.mask(closed).ffill().shift(1)
    unchanged = (close - last).abs() <= FLOAT_NOISE * last
    return closed & (bars["volume"] == 0).to_numpy() & unchanged.to_numpy()


def _session_findings(bars: pd.DataFrame, exchange: str) -> list[Finding]:
    """Bars of days on which the exchange was closed. A few are special sessions that the calendar does not know."""
    rows = np.flatnonzero(closed_days(exchange, pd.DatetimeIndex(bars.index)))
    fewest, share = OFF_SESSION
    if len(rows) >= fewest and len(rows) > share * len(bars):
        days = f"{len(rows)} of {len(bars)} bars, the first of {_day(bars, rows[0])},"
        text = f"{days} are of days on which {exchange} was closed; correct the dates or the symbol's suffix"
        return [Finding(Rule.SESSION, Verdict.REFUSED, _day(bars, rows[0]), float(len(rows)), text)]

    def noted(row: int) -> Finding:
        text = f"{_day(bars, row)} was no session of {exchange} as far as its calendar is known"
        return Finding(Rule.SESSION, Verdict.NOTED, _day(bars, row), float(bars["close"].iloc[row]), text)

    return listed(rows, noted)


def _gap_findings(bars: pd.DataFrame, exchange: str) -> list[Finding]:
    """Sessions without bars between the first bar and the last one."""
    if bars.empty:
        return []
    expected = sessions(exchange, first=_day(bars, 0), last=_day(bars, -1)).to_numpy()
    days = bars.index.to_numpy()
    missing = np.searchsorted(expected, days[1:], side="left") - np.searchsorted(expected, days[:-1], side="right")
    least, share = DAILY
    if len(expected) >= least and missing.sum() > (1 - share) * len(expected):
        text = f"{missing.sum():,} of {len(expected):,} sessions have no bar: these are not daily bars"
        return [Finding(Rule.GAP, Verdict.REFUSED, _day(bars, 0), float(missing.sum()), text)]

    def gap(row: int) -> Finding:
        verdict = Verdict.REFUSED if missing[row] >= REFUSED_GAP else Verdict.NOTED
        text = f"{missing[row]} sessions between {_day(bars, row)} and {_day(bars, row + 1)} have no bar"
        return Finding(Rule.GAP, verdict, _day(bars, row + 1), float(missing[row]), text)

    return listed(np.flatnonzero(missing >= NOTED_GAP), gap)


def _extent_findings(bars: pd.DataFrame, exchange: str, *, last_session: date | None, needed: int) -> list[Finding]:
    """Too few bars, too old ones. Both keep the contract: forecasts say how old they are, and a training refuses too few."""
    found = []
    if len(bars) < needed:
        text = f"there are {len(bars)} bars; a training needs {needed}"
        found.append(Finding(Rule.FEW, Verdict.NOTED, None, float(len(bars)), text))
    if last_session is None or bars.empty or _day(bars, -1) >= last_session:
        return found
    behind = len(sessions(exchange, first=_day(bars, -1), last=last_session)) - 1
    if behind > OLD:
        text = f"the last bar is of {_day(bars, -1)}, {behind:,} sessions before {last_session}"
        found.append(Finding(Rule.OLD, Verdict.NOTED, None, float(behind), text))
    return found


def _day(bars: pd.DataFrame, row: int) -> date:
    return pd.DatetimeIndex(bars.index)[row].date()
