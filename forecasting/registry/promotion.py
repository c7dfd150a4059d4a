"""Promotion: a new version serves unless it is significantly worse than the active one on common out-of-sample sessions."""

from dataclasses import dataclass

import pandas as pd

from forecasting.models import ModelVersion
from forecasting.pipeline.evaluation.drift import paired_losses
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.artifacts import ArtifactError, BaseModel, TrainedModel
from forecasting.registry.files import load_backtest, models_root

SIGNIFICANT = 0.05  # below it, the new version is significantly worse
FEWEST_SESSIONS = 30  # minimum number of common sessions for a test


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a version serves from now on, and why, in words and numbers."""

    promoted: bool
    reason: str


def judge(model: TrainedModel | BaseModel, *, beside: ModelVersion | None) -> Decision:
    """The decision on a new version beside the active one. A base, which has no backtest, always replaces the one before it.

    In doubt the new version wins, because it knows newer bars. Only backtests are compared: their fits knew none of these sessions.
    Live forecasts would add only a few sessions, with differently calibrated intervals.
    """
    if beside is None:
        return Decision(True, "First version." if isinstance(model, TrainedModel) else "First base.")
    replaces = f"Replaces version {beside.number}"
    if isinstance(model, BaseModel):
        return Decision(True, f"{replaces}: a new base always does.")
    try:
        artifacts.read(models_root() / beside.folder, beside.artifact_files)
        earlier = load_backtest(beside)
    except ArtifactError as error:
        return Decision(True, f"{replaces}, whose files cannot be used: {error}")
    return _compared(model.backtest, earlier, number=beside.number)


def _compared(new: pd.DataFrame, active: pd.DataFrame, *, number: int) -> Decision:
    from forecasting.pipeline.evaluation.metrics import improvement_p  # noqa: PLC0415 - loads scikit-learn, which only a training needs

    losses = paired_losses(new, active)
    if len(losses) < FEWEST_SESSIONS:
        return Decision(True, f"Replaces version {number}: {len(losses)} common out-of-sample sessions are too few to compare.")
    worse_p = improvement_p((losses["first"] - losses["second"]).to_numpy())
    change = losses["first"].mean() / losses["second"].mean() - 1
    found = (
        f"on {len(losses)} sessions that both forecast out of sample, its quantile loss is {abs(change):.2%} "
        f"{'larger' if change > 0 else 'smaller'} (p = {worse_p:.3f} that it is no worse)"
    )
    if worse_p < SIGNIFICANT:
        return Decision(False, f"Significantly worse than version {number}, which stays: {found}.")
    return Decision(True, f"Replaces version {number}: not significantly worse; {found}.")
