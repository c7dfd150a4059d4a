"""How forecasts turned out: those of a version's test and those that were served, by what they knew and how far they reach."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from forecasting.models import ModelVersion
from forecasting.models.forecasts import HORIZONS, Basis
from forecasting.models.prepared import Find
from forecasting.models.scores import SUMS
from forecasting.models.versions import SERVING
from forecasting.pipeline.model.live import PARTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How forecasts of one kind turned out; errors in prices."""

    forecasts: int = 0
    mae: float | None = None
    naive_mae: float | None = None
    coverage: float | None = None
    pinball_ratio: float | None = None
    brier: float | None = None  # of the probability of a rise; None if that was always 0.5

    @classmethod
    def of(cls, sums: Iterable[Mapping[str, Any]]) -> "Record":
        """The record of all forecasts in these rows of `ScoreQuerySet.sums`."""
        total: Counter[str] = Counter()
        for row in sums:
            total.update({name: row[name] or 0 for name in SUMS})
        forecasts, reference, judged = total["forecasts"], total["reference_losses"], total["brier_forecasts"]
        if not forecasts:
            return cls()
        return cls(
            forecasts=forecasts,
            mae=total["errors"] / forecasts,
            naive_mae=total["naive_errors"] / forecasts,
            coverage=total["inside"] / forecasts,
            pinball_ratio=total["losses"] / reference if reference else None,
            brier=total["brier_scores"] / judged if judged else None,
        )

    @property
    def mase(self) -> float | None:
        """MAE divided by the naive forecast's; None if the price never moved."""
        return self.mae / self.naive_mae if self.mae is not None and self.naive_mae else None


class Records(NamedTuple):
    """How forecasts of one kind did on the version's test sessions (None if it has no such test), and how live ones turned out."""

    test: Record | None
    live: Record


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A symbol's active version with its test metrics, and what became of all forecasts served for the symbol."""

    version: ModelVersion
    sums: Sequence[Mapping[str, Any]]  # rows of `ScoreQuerySet.sums`

    @property
    def live(self) -> Record:
        """The record of the next close, forecast from the symbol's own bars."""
        return self._live(1, Basis.CLOSE)

    @property
    def by_basis(self) -> dict[str, Records]:
        """The records of the next close. Only forecasts from the symbol's own bars have a test of its own: the others are tested on
        many symbols together."""
        tests = {Basis.CLOSE: _tested_next_close(self.version.metrics)}
        return {basis: Records(tests.get(basis), self._live(1, basis)) for basis in Basis}

    @property
    def by_horizon(self) -> dict[str, Records]:
        """The records of forecasts from the symbol's own bars, by number of sessions."""
        tests = {1: _tested_next_close(self.version.metrics)} | _tested_horizons(self.version.metrics)
        return {str(sessions): Records(tests.get(sessions), self._live(sessions, Basis.CLOSE)) for sessions in HORIZONS}

    @property
    def by_part(self) -> dict[str, Record]:
        """The records of forecasts during the session, by the share of it that was over at least."""
        during = [row for row in self.sums if row["part"] is not None]
        return {str(share): Record.of(row for row in during if row["part"] == part) for part, share in enumerate(PARTS)}

    def _live(self, horizon: int, basis: Basis) -> Record:
        return Record.of(row for row in self.sums if (row["horizon"], row["basis"]) == (horizon, basis))


def _tested_next_close(metrics: Mapping[str, Any]) -> Record:
    """The record of the version's test, from its metrics."""
    return Record(
        forecasts=metrics["test_size"],
        mae=metrics["MAE"],
        naive_mae=metrics["naive"]["MAE"],
        coverage=metrics["coverage_80"],
        pinball_ratio=metrics["pinball_ratio"],
        brier=metrics.get("brier"),  # missing from versions of earlier releases
    )


def _tested_horizons(metrics: Mapping[str, Any]) -> dict[int, Record]:
    """The same of later sessions, whose median is the last close; none from versions of earlier releases."""
    stored = metrics.get("by_horizon", {}).items()
    return {
        int(sessions): Record(
            forecasts=each["forecasts"],
            coverage=each["coverage_80"],
            pinball_ratio=each["pinball_ratio"],
        )
        for sessions, each in stored
    }


def scorecards(tickers: Sequence[str], *, find: Find[ModelVersion] = SERVING.rows) -> dict[str, Scorecard]:
    """The scorecard of each symbol that has a model, by ticker. One query, that of `find`."""
    versions = find(tickers)
    return {version.symbol.ticker: Scorecard(version, version.sums) for version in versions if version.symbol}
