"""All parameters of the forecasting pipeline, with units. A copy is stored with each model version."""

from dataclasses import asdict, dataclass, fields
from typing import Any

# Features of each session of the window: the input of the LSTM.
SEQUENCE = (
    "log_return",
    "overnight_gap",
    "high_low_range",
    "open_close_move",
    "log_ewma_volatility",
    "log_parkinson_volatility",
    "relative_volume",
)
# What else is known of the window's last session: four sizes of price moves over each of the config's look-backs, and two signs of
# stress. Together with the last of SEQUENCE they are the regressors of the volatility regression.
SIZES = ("range", "swing", "return", "move")
STRESS = ("fall", "gap")
# Parameters of the network's input and output. A network can only be fine-tuned under a config with equal values.
NETWORK = (
    *("window", "volatility_decay", "volatility_sessions", "volume_sessions", "look_backs"),
    *("quantile_levels", "interval_level", "units", "network_share"),
)


RENAMED = {"horizons": "look_backs"}  # keys of configs that an earlier release stored


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastConfig:
    """Parameters of a training. Equal bars and equal configs give identical forecasts."""

    seed: int = 42
    window: int = 60  # sessions in the network's input
    volatility_decay: float = 0.94  # per session, of the EWMA variance (RiskMetrics, 1996)
    volatility_sessions: int = 60  # sessions that the EWMA variance looks back on; older ones would weigh 2 % together
    volume_sessions: int = 20  # sessions of the mean that volume is compared with
    look_backs: tuple[int, ...] = (1, 5, 22, 66)  # sessions: a day, a week, a month and a quarter of the volatility regression
    quantile_levels: tuple[float, ...] = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
    interval_level: float = 0.80  # probability mass of the published interval
    units: int = 32  # LSTM cells
    network_share: float = 0.5  # weight of the LSTM beside the volatility regression
    tree_share: float = 0.6  # weight of the trees in the forecast; LSTM and volatility regression have the rest
    weight_decay: float = 0.004  # per unit of learning rate (AdamW)
    averaging: float = 0.999  # decay per step of the running mean of the weights
    base_bars: int = 300_000  # maximum for a base, over all symbols
    base_batch: int = 256  # windows
    base_epochs: int = 6  # over all symbols; the learning rate decays to 0 along a cosine
    base_rate: float = 2e-3  # learning rate at the start
    trees: int = 300
    tree_leaves: int = 15  # of each tree, at most
    tree_rows: int = 400  # of each leaf, at least
    tree_rate: float = 0.05  # learning rate of the boosting
    batch_size: int = 128  # windows
    learning_rate: float = 2e-3  # of a network trained from scratch
    fine_tune_rate: float = 3e-4  # learning rate of a network fine-tuned from the base
    max_epochs: int = 20  # for a network trained from scratch
    fine_tune_epochs: int = 8  # maximum for a network fine-tuned from the base
    patience: int = 3  # epochs without a better validation loss until fitting stops
    validation_share: float = 0.15  # of all windows: early stopping and calibration
    test_share: float = 0.15  # of all windows: metrics only
    minimum_holdout: int = 60  # windows, each in validation and test
    maximum_holdout: int = 500  # windows, each in validation and test
    minimum_training_windows: int = 250

    def __post_init__(self) -> None:
        levels = self.quantile_levels
        if list(levels) != sorted(set(levels)) or levels[len(levels) // 2] != 0.5 or not {*self.interval_levels} <= {*levels}:
            raise ValueError(f"quantile levels {levels} must ascend around 0.5 and contain {self.interval_levels}")
        if self.minimum_training_windows < self.batch_size:
            raise ValueError(f"{self.minimum_training_windows} training windows do not fill a batch of {self.batch_size}")

    def has_network_of(self, other: "ForecastConfig") -> bool:
        """Whether a network of the other config can be fine-tuned under this one; fit parameters and seed may differ."""
        return all(getattr(self, name) == getattr(other, name) for name in NETWORK)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of a FeatureTable's columns."""
        return (*SEQUENCE, *(f"{size}_{sessions}" for size in SIZES for sessions in self.look_backs), *STRESS)

    @property
    def regressors(self) -> slice:
        """The columns that the volatility regression uses of the last session."""
        return slice(len(SEQUENCE) - 1, len(self.features))

    @property
    def interval_levels(self) -> tuple[float, float]:
        """Quantile levels of the published interval's edges."""
        return round((1 - self.interval_level) / 2, 10), round((1 + self.interval_level) / 2, 10)

    @property
    def warm_up(self) -> int:
        """Bars before the first one whose features are all known."""
        return max(self.volatility_sessions, self.volume_sessions - 1, *self.look_backs)

    @property
    def minimum_bars(self) -> int:
        """Bars that a training needs: look-back, one window, the smallest split, and the last bar, which has no target."""
        windows = self.minimum_training_windows + 2 * self.minimum_holdout
        return self.warm_up + self.window + windows

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self) | {name: list(getattr(self, name)) for name in ("quantile_levels", "look_backs")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ForecastConfig":
        """The config that `to_dict` described, in this release or an earlier one. Raises TypeError for unknown keys."""
        values = {RENAMED.get(name, name): value for name, value in values.items()}
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise TypeError(f"unknown configuration keys: {', '.join(unknown)}")
        return cls(**(values | {name: tuple(values[name]) for name in ("quantile_levels", "look_backs")}))
