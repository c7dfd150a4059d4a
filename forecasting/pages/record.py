"""A track record in words: what was promised, what happened, and what chance may do."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forecasting.models.forecasts import Basis
from forecasting.models.overall import Overall
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.uncertainty import Deviation, deviation_by_days, deviation_of_share, excess_of_ratio

PROMISED = ForecastConfig().interval_level  # share of closes inside the interval
NAMES = {Basis.CLOSE: "next close", Basis.LEAD: "next close, knowing other markets", Basis.LIVE: "close, during its session"}


@dataclass(frozen=True, slots=True)
class Record:
    """How forecasts of one kind turned out."""

    name: str
    forecasts: int
    share: float  # of closes inside the interval
    inside: Deviation  # of that share from the promised one
    mase: float | None  # mean error relative to the naive forecast's; None if it is that of the naive forecast by construction
    loss: float | None  # quantile loss relative to the reference's
    excess: Deviation | None  # of the loss over the reference's

    @property
    def band(self) -> tuple[float, float]:
        """Where chance alone keeps the share in 99 of 100 cases."""
        return max(0.0, PROMISED - self.inside.chance), min(1.0, PROMISED + self.inside.chance)

    @property
    def is_kept(self) -> bool:
        """Whether the share is as promised, as far as chance can tell."""
        return not self.inside.is_likely_real

    @property
    def coverage_sentence(self) -> str:
        """The share, and whether it is what was promised."""
        low, high = self.band
        inside = f"{percent(self.share)} of {counted(self.forecasts, 'close')} {'was' if self.forecasts == 1 else 'were'} inside"
        chance = f"with {100 * PROMISED:.0f} % promised, chance alone keeps that between {percent(low)} and {percent(high)}"
        if self.is_kept:
            return f"{inside}; {chance}. The promise is kept, as far as this record can tell."
        found = (
            "More than promised: the intervals are too wide"
            if self.share > PROMISED
            else "The promise is not kept: the intervals are too narrow"
        )
        return f"{inside}; {chance}. {found}."

    @property
    def error_sentence(self) -> str:
        """The mean error beside that of repeating the last close."""
        if self.mase is None:
            return ""
        if f"{self.mase:.3f}" == "1.000":
            return "The mean error is that of repeating the last close: no better and no worse."
        than = "smaller" if self.mase < 1 else "larger"
        return f"The mean error is {self.mase:.3f} times that of repeating the last close, so it is {than}."

    @property
    def loss_sentence(self) -> str:
        """The quantile loss beside that of the reference, and whether the difference may be chance."""
        if self.loss is None or self.excess is None:
            return ""
        told = f"The quantile loss is {self.loss:.3f} times that of the last 250 sessions\N{RIGHT SINGLE QUOTATION MARK} moves"
        if not math.isfinite(self.excess.chance):
            return f"{told}; these are too few sessions to tell a difference from chance."
        known = f"{told}, \N{PLUS-MINUS SIGN} {self.excess.chance:.3f} by chance"
        if abs(self.excess.size) <= self.excess.chance:
            return f"{known}: neither better nor worse for certain."
        return f"{known}: the forecasts are {'better' if self.excess.size < 0 else 'worse'}."

    @property
    def cells(self) -> list[str]:
        """Its figures for a table: number, share, band, error, quantile loss."""
        low, high = self.band
        figures = ["-" if each is None else f"{each:.3f}" for each in (self.mase, self.loss)]
        return [f"{self.forecasts:,}", percent(self.share), f"{percent(low)} to {percent(high)}", *figures]

    @property
    def sentences(self) -> list[str]:
        """All of it."""
        return [each for each in (self.coverage_sentence, self.error_sentence, self.loss_sentence) if each]


def of_kind(row: Overall) -> Record:
    """The record of all forecasts of one horizon and basis. Chance is judged by days, because closes of one day move together."""
    deviation = deviation_by_days(
        row.inside / row.forecasts,
        promised=PROMISED,
        count=row.forecasts,
        squares=row.inside_squares,
        days=row.days,
        horizon=row.horizon,
    )
    loss = row.losses / row.reference if row.losses is not None and row.reference else None
    return Record(
        name=NAMES[Basis(row.basis)] if row.horizon == 1 else f"close {row.horizon} sessions ahead",
        forecasts=row.forecasts,
        share=row.inside / row.forecasts,
        inside=deviation,
        mase=row.mase if row.horizon == 1 else None,
        loss=loss,
        excess=None if loss is None else _excess(
            loss, days=row.judged_days, horizon=row.horizon, reference=row.reference, squared=row.losses_squared,
            product=row.losses_times_reference, reference_squared=row.reference_squared,
        ),
    )  # fmt: skip


def of_symbol(row: Mapping[str, Any] | None) -> Record | None:
    """The record of a symbol, from a row of `ScoreQuerySet.track_record_with_squares`; None before the first score."""
    if not row:
        return None
    loss = row["pinball_ratio"]
    return Record(
        name=NAMES[Basis.CLOSE],
        forecasts=row["forecasts"],
        share=row["coverage"],
        inside=deviation_of_share(row["coverage"], promised=PROMISED, count=row["forecasts"]),
        mase=row["mae"] / row["naive_mae"] if row["naive_mae"] else None,
        loss=loss,
        excess=None if loss is None else _excess(
            loss, days=row["judged"], horizon=1, reference=row["reference"], squared=row["loss_squared"],
            product=row["loss_times_reference"], reference_squared=row["reference_squared"],
        ),
    )  # fmt: skip


def _excess(loss: float, *, days: int, horizon: int, **sums: Any) -> Deviation:
    """Of the loss over the reference's. Windows of several sessions overlap, so fewer of them count."""
    excess = excess_of_ratio(loss, count=days // horizon, **sums)
    return Deviation(size=excess.size, chance=excess.chance * math.sqrt(horizon))


def percent(share: float) -> str:
    """A share in percent, such as `80.2 %`, not broken between lines."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def counted(number: int, noun: str) -> str:
    """`1 close`, `2,000 closes`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
