"""The tables, one file per noun. Invariants are database constraints; reads are QuerySet methods."""

from forecasting.models.alerts import Alert
from forecasting.models.bars import PriceBar
from forecasting.models.findings import Finding
from forecasting.models.forecasts import Forecast
from forecasting.models.jobs import JobRun
from forecasting.models.keys import Key
from forecasting.models.live_calibrations import LiveCalibration
from forecasting.models.names import RequestedName
from forecasting.models.outcomes import TaskOutcome
from forecasting.models.quotes import Quote
from forecasting.models.restatements import Restatement
from forecasting.models.scores import Score
from forecasting.models.spending import Spending
from forecasting.models.summaries import Summary
from forecasting.models.symbols import Symbol
from forecasting.models.trainings import Training
from forecasting.models.upstream import Upstream
from forecasting.models.versions import ModelVersion
from forecasting.models.webhooks import Delivery, Webhook
from forecasting.models.workers import WorkerProcess

__all__ = [
    "Alert", "Delivery", "Finding", "Forecast", "JobRun", "Key", "LiveCalibration", "ModelVersion", "PriceBar", "Quote",
    "RequestedName", "Restatement", "Score", "Spending", "Summary", "Symbol", "TaskOutcome", "Training", "Upstream", "Webhook",
    "WorkerProcess",
]  # fmt: skip
