"""Access to the quality gate for tests: its result for bars, and its findings by row."""

from collections.abc import Iterable, Sequence
from datetime import date

import pandas as pd
import pytest

from forecasting.prices.bars import BadBarsError
from forecasting.prices.findings import Finding, Rule, Verdict
from forecasting.prices.quality import Checked, check_bars

SYMBOL = "TEST"


def checked(bars: pd.DataFrame, *, exchange: str = "XNYS") -> Checked:
    """The gate's result for these bars."""
    return check_bars(bars, symbol=SYMBOL, exchange=exchange)


def refusal(bars: pd.DataFrame, *, exchange: str = "XNYS") -> BadBarsError:
    """The error if the gate refuses these bars."""
    with pytest.raises(BadBarsError) as caught:
        checked(bars, exchange=exchange)
    return caught.value


def found(bars: pd.DataFrame) -> list[tuple[Rule, Verdict, int]]:
    """Rule, verdict and row of each finding that has a date."""
    days = [day.date() for day in bars.index]
    return [(each.rule, each.verdict, days.index(each.date)) for each in checked(bars).findings if each.date]


def only(bars: pd.DataFrame) -> Finding:
    """The only finding."""
    (finding,) = checked(bars).findings
    return finding


def dated(findings: Iterable[Finding], verdict: Verdict) -> list[tuple[Rule, date | None]]:
    """Rule and date of the findings with this verdict."""
    return [(each.rule, each.date) for each in findings if each.verdict == verdict]


def left_out(bars: pd.DataFrame) -> list[int]:
    """The rows that the gate leaves out."""
    kept = checked(bars).bars.index
    return [row for row, day in enumerate(bars.index) if day not in kept]


def findings_of(bars: pd.DataFrame) -> Sequence[Finding]:
    """The findings, whether the bars pass or are refused."""
    try:
        return checked(bars).findings
    except BadBarsError as error:
        return error.findings
