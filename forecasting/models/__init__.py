"""The tables: one file a noun. Invariants are constraints in the database; reads are methods of the QuerySets."""

from forecasting.models.findings import Finding
from forecasting.models.forecasts import Forecast
from forecasting.models.jobs import JobRun
from forecasting.models.restatements import Restatement
from forecasting.models.scores import Score
from forecasting.models.symbols import PriceBar, Symbol
from forecasting.models.trainings import Training
from forecasting.models.upstream import Upstream
from forecasting.models.versions import ModelVersion

__all__ = ["Finding", "Forecast", "JobRun", "ModelVersion", "PriceBar", "Restatement", "Score", "Symbol", "Training", "Upstream"]
