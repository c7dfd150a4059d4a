"""The tables: one file a noun. Invariants are constraints in the database; reads are methods of the QuerySets."""

from forecasting.models.forecasts import Forecast
from forecasting.models.jobs import JobRun
from forecasting.models.symbols import PriceBar, Symbol
from forecasting.models.trainings import Training
from forecasting.models.versions import ModelVersion

__all__ = ["Forecast", "JobRun", "ModelVersion", "PriceBar", "Symbol", "Training"]
