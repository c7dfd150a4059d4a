"""Promotion: a new version serves unless it is significantly worse than the active one on common out-of-sample sessions."""

from dataclasses import dataclass

import pandas as pd

from forecasting.models import ModelVersion
from forecasting.models.versions import VersionState
from forecasting.pipeline.evaluation.drift import paired_losses
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import BaseModel, TrainedModel
from forecasting.pipeline.serving.verified import ArtifactError, OutOfReachError
from forecasting.registry.files import load_backtest, read_files

SIGNIFICANT = 0.05  # below it, the new version is significantly worse
FEWEST_SESSIONS = 30  # minimum number of common sessions for a test


@dataclass(frozen=True, slots=True)
class Decision:
    """The state of a new version, and why, in words and numbers."""

    state: VersionState
    reason: str

    @property
    def promoted(self) -> bool:
        """Whether it serves from now on."""
        return self.state == VersionState.ACTIVE


def judge(model: TrainedModel | BaseModel, *, beside: ModelVersion | None) -> Decision:
    """The decision on a new version beside the active one. A base, which has no backtest, always replaces the one before it.
    A pinned version stays as long as its files can be used.

    In doubt the new version wins, because it knows newer bars. Only backtests are compared: their fits knew none of these sessions.
    Live forecasts would add only a few sessions, with differently calibrated intervals.

    Raises OutOfReachError if the active one's files cannot be read now.
    """
    if beside is None:
        return Decision(VersionState.ACTIVE, "First version." if isinstance(model, TrainedModel) else "First base.")
    replaces = f"Replaces version {beside.number}"
    if isinstance(model, BaseModel):
        return Decision(VersionState.ACTIVE, f"{replaces}: a new base always does.")
    try:
        read_files(artifacts.read, beside.folder, beside.artifact_files)
        earlier = load_backtest(beside)
    except OutOfReachError:
        raise
    except ArtifactError as error:
        return Decision(VersionState.ACTIVE, f"{replaces}, whose files cannot be used: {error}")
    decision = _compared(model.backtest, earlier, number=beside.number)
    if decision.promoted and beside.is_pinned:
        return Decision(
            VersionState.RETIRED, f"Not activated: version {beside.number} is pinned. Without the pin: {decision.reason}"
        )
    return decision


def _compared(new: pd.DataFrame, active: pd.DataFrame, *, number: int) -> Decision:
    from forecasting.pipeline.evaluation.metrics import improvement_p  # noqa: PLC0415 - loads scikit-learn, which only a training needs

    losses = paired_losses(new, active)
    if len(losses) < FEWEST_SESSIONS:
        return Decision(
            VersionState.ACTIVE, f"Replaces version {number}: {len(losses)} common out-of-sample sessions are too few to compare."
        )
    worse_p = improvement_p((losses["first"] - losses["second"]).to_numpy())
    change = losses["first"].mean() / losses["second"].mean() - 1
    found = (
        f"on {len(losses)} sessions that both forecast out of sample, its quantile loss is {abs(change):.2%} "
        f"{'larger' if change > 0 else 'smaller'} (p = {worse_p:.3f} that it is no worse)"
    )
    if worse_p < SIGNIFICANT:
        return Decision(VersionState.REJECTED, f"Significantly worse than version {number}, which stays: {found}.")
    return Decision(VersionState.ACTIVE, f"Replaces version {number}: not significantly worse; {found}.")
