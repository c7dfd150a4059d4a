"""Every knob of the forecasting pipeline, with its unit. A copy is stored with each model version."""

from dataclasses import asdict, dataclass, fields
from typing import Any

FEATURES = (
    "log_return",
    "overnight_gap",
    "high_low_range",
    "open_close_move",
    "relative_volume",
    "log_ewma_volatility",
    "log_parkinson_volatility",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastConfig:
    """What a training does; two trainings with equal bars and equal configs give identical forecasts."""

    seed: int = 42
    window: int = 60  # sessions that the network sees
    volatility_decay: float = 0.94  # per session, of the EWMA variance (RiskMetrics, 1996)
    volatility_sessions: int = 60  # sessions that the EWMA variance looks back on; older ones would weigh 2 % together
    volume_sessions: int = 20  # sessions of the mean that volume is compared with
    quantile_levels: tuple[float, ...] = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
    interval_level: float = 0.80  # probability mass of the published interval
    units: int = 32  # LSTM cells
    learning_rate: float = 2e-3
    batch_size: int = 128  # windows
    max_epochs: int = 20
    patience: int = 3  # epochs without a better validation loss before fitting stops
    validation_share: float = 0.15  # of all windows: early stopping and calibration
    test_share: float = 0.15  # of all windows: metrics only
    minimum_holdout: int = 60  # windows, at least, in validation and in test
    maximum_holdout: int = 500  # windows, at most, in validation and in test
    minimum_training_windows: int = 250

    def __post_init__(self) -> None:
        levels = self.quantile_levels
        if list(levels) != sorted(set(levels)) or levels[len(levels) // 2] != 0.5 or not {*self.interval_levels} <= {*levels}:
            raise ValueError(f"quantile levels {levels} must ascend around 0.5 and contain {self.interval_levels}")
        if self.minimum_training_windows < self.batch_size:
            raise ValueError(f"{self.minimum_training_windows} training windows do not fill a batch of {self.batch_size}")

    @property
    def interval_levels(self) -> tuple[float, float]:
        """Quantile levels of the published interval's edges."""
        return round((1 - self.interval_level) / 2, 10), round((1 + self.interval_level) / 2, 10)

    @property
    def look_back(self) -> int:
        """Bars before the first one whose features are all known."""
        return max(self.volatility_sessions, self.volume_sessions - 1)

    @property
    def minimum_bars(self) -> int:
        """Bars below which a training is refused: look-back, one window, the smallest split, and the last bar's unknown target."""
        windows = self.minimum_training_windows + 2 * self.minimum_holdout
        return self.look_back + self.window + windows

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self) | {"quantile_levels": list(self.quantile_levels)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ForecastConfig":
        """The config that `to_dict` described. Keys that this release does not know raise TypeError."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise TypeError(f"unknown configuration keys: {', '.join(unknown)}")
        return cls(**(values | {"quantile_levels": tuple(values["quantile_levels"])}))
