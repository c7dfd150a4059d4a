"""The network in Keras on TensorFlow: build, fit, predict, weights. Only this file imports them, and only trainings import it."""

import functools
import itertools
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forecasting.pipeline.config import SEQUENCE, ForecastConfig
from forecasting.pipeline.model.features import Array
from forecasting.pipeline.model.volatility import SMALLEST_SIZE, VolatilityRegression
from forecasting.pipeline.model.windows import Examples

# Keras and TensorFlow read these variables at import.
os.environ["KERAS_BACKEND"] = "tensorflow"  # overrides a keras.json in the home folder
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # avoids a warning about rounding at every start

import keras
import tensorflow as tf

# One thread by default: these matrices are too small to gain from more, and sums have a fixed order.
THREADS = int(os.environ.get("TRAIN_THREADS", "1"))
tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)
tf.config.experimental.enable_op_determinism()

XLA = sys.platform == "linux"  # a third less time per epoch for one second of compilation; not all other builds have it

NETWORK_VERSIONS = {"keras": keras.__version__, "tensorflow": tf.__version__}

LARGEST_GRADIENT = 1.0  # clipping norm of each variable's gradient, for batches that contain a crash
FIRST_MEANS = 10  # steps; early in a fit the running mean of the weights decays faster than by the config

Weights = dict[str, npt.NDArray[np.float32]]


@functools.lru_cache(maxsize=4)
def network_for(config: ForecastConfig, batch: int) -> "QuantileNetwork":
    """The network for this config and batch size: compiled once per process, then reset for each training."""
    return QuantileNetwork(config, batch)


class QuantileNetwork:
    """Two experts that map windows (n, window, features) to unsorted quantiles of the standardised return, (n, levels).

    The LSTM reads SEQUENCE; its state and the last session's sizes give scale and shape of the distribution. It is fitted by
    gradient descent. The volatility regression has fixed weights (see volatility.py). The output is their weighted mean.
    A fit depends only on its initial weights, the config and its examples, not on earlier fits.
    """

    def __init__(self, config: ForecastConfig, batch: int) -> None:
        self._config, self._batch = config, batch
        self._model = _build(config)
        self._lstm_expert = keras.Model(self._model.input, self._model.get_layer("lstm_expert").output)
        self._fitted = [*self._lstm_expert.trainable_variables]
        self._means = [tf.Variable(variable) for variable in self._fitted]
        self._optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay, clipnorm=LARGEST_GRADIENT)
        self._optimizer.build(self._fitted)
        self._initial = self.weights
        self._fresh = [(variable, variable.numpy()) for variable in self._optimizer.variables]
        self._levels = tf.constant(config.quantile_levels, dtype=tf.float32)
        self._fit_batch = tf.function(self._descend, jit_compile=XLA)
        self._forward = tf.function(functools.partial(self._model, training=False))

    def start_from_scratch(self, examples: Examples, regression: VolatilityRegression) -> None:
        """Resets to the seeded weights; the LSTM's initial output is the unconditional quantiles of the examples."""
        quantiles = np.quantile(examples.target, self._config.quantile_levels)
        quantiles[len(quantiles) // 2] = 0.0
        floored = regression.intercept - SMALLEST_SIZE
        self.weights = self._initial | {
            "shape/bias": quantiles.astype(np.float32),
            "size/kernel": regression.coefficients.astype(np.float32)[:, None],
            "size/bias": np.array([floored], dtype=np.float32),
            "volatility_expert/kernel": regression.levels.astype(np.float32)[None],
        }

    def epochs(self, examples: Examples, *, learning_rate: float, decays_over: int | None = None) -> Iterator[int]:
        """Fits from the current weights, one epoch per step of the iterator; yields the number of finished epochs.

        Each epoch has a new order of the examples, in batches of one size; the incomplete last batch is skipped. The loss is
        the pinball loss: Koenker & Bassett, Regression Quantiles (1978). The learning rate is constant, or decays to 0 along
        a cosine over `decays_over` epochs. Between epochs the weights are the running means over the steps so far: Polyak &
        Juditsky, Acceleration of Stochastic Approximation by Averaging (1992).
        """
        for variable, value in self._fresh:
            variable.assign(value)
        for mean, variable in zip(self._means, self._fitted, strict=True):
            mean.assign(variable)
        steps, step = len(examples) // self._batch, 0
        rng = np.random.default_rng(self._config.seed)
        for epoch in itertools.count(1):
            order = rng.permutation(len(examples))
            for batch in np.split(order[: steps * self._batch], steps):
                decayed = 1.0 if decays_over is None else (1 + math.cos(math.pi * step / (decays_over * steps))) / 2
                self._optimizer.learning_rate.assign(learning_rate * decayed)
                step += 1
                kept = min(self._config.averaging, (1 + step) / (FIRST_MEANS + step))
                target = examples.target[batch, None]
                self._fit_batch(tf.constant(examples.batch(batch)), tf.constant(target), tf.constant(kept, dtype=tf.float32))
            with self._showing_means():
                yield epoch

    def predict(self, examples: Examples) -> Array:
        """Quantiles (n, levels) with the current weights."""
        outputs = [self._forward(tf.constant(batch)) for batch in examples.batches(self._batch)]
        return np.concatenate(outputs)[: len(examples)].astype(np.float64)

    @property
    def weights(self) -> Weights:
        """A copy of the current weights, by layer and variable."""
        return {variable.path: variable.numpy() for variable in self._model.trainable_variables}

    @weights.setter
    def weights(self, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
        for variable in self._model.trainable_variables:
            variable.assign(weights[variable.path])

    def to_hdf5(self) -> bytes:
        """The current weights as a Keras .weights.h5 file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.weights.h5"
            self._model.save_weights(path)
            return path.read_bytes()

    def from_hdf5(self, content: bytes) -> None:
        """Loads weights that `to_hdf5` wrote, from verified bytes. Raises ValueError if their shapes differ."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.weights.h5"
            path.write_bytes(content)
            self._model.load_weights(path)

    def _descend(self, windows: Any, target: Any, kept: Any) -> None:
        with tf.GradientTape() as tape:
            error = target - self._lstm_expert(windows, training=True)
            loss = tf.reduce_mean(tf.maximum(self._levels * error, (self._levels - 1) * error))
        self._optimizer.apply(tape.gradient(loss, self._fitted), self._fitted)
        for mean, variable in zip(self._means, self._fitted, strict=True):
            mean.assign(kept * mean + (1 - kept) * variable)

    def _showing_means(self) -> "_Swapped":
        return _Swapped(self._fitted, self._means)


class _Swapped:
    """Replaces the weights by their running means inside the block, and restores those of the last step after it."""

    def __init__(self, fitted: list[Any], means: list[Any]) -> None:
        self._fitted, self._means = fitted, means

    def __enter__(self) -> None:
        self._last = [variable.numpy() for variable in self._fitted]
        for variable, mean in zip(self._fitted, self._means, strict=True):
            variable.assign(mean)

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            for variable, value in zip(self._fitted, self._last, strict=True):
                variable.assign(value)


def _build(config: ForecastConfig) -> Any:
    """Both experts. The LSTM expert's output layers start with zero kernels, so that its initial output is only a bias."""
    layers, levels = keras.layers, len(config.quantile_levels)
    window = keras.Input((config.window, len(config.features)), name="window")
    memory = layers.LSTM(
        config.units,
        kernel_initializer=keras.initializers.GlorotUniform(seed=config.seed),
        recurrent_initializer=keras.initializers.Orthogonal(seed=config.seed),
        name="lstm",
    )(window[:, :, : len(SEQUENCE)])
    seen = layers.Concatenate(name="seen")([memory, window[:, -1, len(SEQUENCE) :]])
    scale = keras.ops.exp(layers.Dense(1, kernel_initializer="zeros", name="scale")(seen))
    shape = layers.Dense(levels, kernel_initializer="zeros", name="shape")(seen)
    lstm_expert = layers.Multiply(name="lstm_expert")([scale, shape])
    size = layers.Dense(1, activation="relu", name="size")(window[:, -1, config.regressors]) + SMALLEST_SIZE
    volatility_expert = layers.Dense(levels, use_bias=False, name="volatility_expert")(size)
    share = config.network_share
    # Its name is stored with the weights. Keras would number it, so that two equal trainings of a process would give other bytes.
    return keras.Model(window, share * lstm_expert + (1 - share) * volatility_expert, name="experts")
