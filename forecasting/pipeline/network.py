"""The LSTM in Keras on TensorFlow: build, fit, predict, export. The only file that imports them; only trainings import it."""

import functools
import itertools
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forecasting.pipeline.config import FEATURES, ForecastConfig
from forecasting.pipeline.features import Array
from forecasting.pipeline.windows import Windows

# Read by Keras and TensorFlow when they are imported.
os.environ["KERAS_BACKEND"] = "tensorflow"  # a keras.json in the home folder may name another one
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # else it says at every start that it may round differently

import keras
import tensorflow as tf

# One thread: these matrices are too small to gain from a second one, and sums then have one order.
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
tf.config.experimental.enable_op_determinism()

XLA = sys.platform == "linux"  # a third less time per epoch for a second of compiling; not part of every other TensorFlow

NETWORK_VERSIONS = {"keras": keras.__version__, "tensorflow": tf.__version__}

Weights = list[npt.NDArray[np.float32]]


@functools.lru_cache(maxsize=2)
def network_for(config: ForecastConfig) -> "QuantileNetwork":
    """The process's network of this config: compiled once, then reset for each training."""
    return QuantileNetwork(config)


class QuantileNetwork:
    """An LSTM from windows (n, window, 7) to quantiles of the standardised return (n, levels), not yet put in order.

    A fit depends on the config and its data alone, not on what was fitted before.
    """

    def __init__(self, config: ForecastConfig) -> None:
        self._config = config
        self._model = _build(config)
        self._optimizer = keras.optimizers.Adam(config.learning_rate)
        self._optimizer.build(self._model.trainable_variables)
        self._initial = [(variable, variable.numpy()) for variable in (*self._model.variables, *self._optimizer.variables)]
        self._levels = tf.constant(config.quantile_levels, dtype=tf.float32)
        self._fit_batch = tf.function(self._descend, jit_compile=XLA)
        self._forward = tf.function(functools.partial(self._model, training=False), jit_compile=XLA)

    def epochs(self, windows: Windows, target: Array) -> Iterator[int]:
        """Fits from the seeded start, one epoch per step of the iterator, and yields the number of epochs behind it.

        Each epoch sees the windows in a new order, in batches of one size: what does not fill the last one waits for the next
        epoch. Minimises the pinball loss: Koenker & Bassett, Regression Quantiles (1978).
        """
        self._start(target)
        size = self._config.batch_size
        column = target.astype(np.float32)[:, None]
        rng = np.random.default_rng(self._config.seed)
        for epoch in itertools.count(1):
            order = rng.permutation(len(windows))
            for batch in np.split(order[: len(order) // size * size], len(order) // size):
                self._fit_batch(tf.constant(windows[batch]), tf.constant(column[batch]))
            yield epoch

    def predict(self, windows: Windows) -> Array:
        """Quantiles (n, levels) by the present weights."""
        size = self._config.batch_size
        padded = np.concatenate([windows, np.zeros((-len(windows) % size, *windows.shape[1:]), dtype=np.float32)])
        batches = np.split(padded, len(padded) // size)
        return np.concatenate([self._forward(tf.constant(batch)) for batch in batches])[: len(windows)].astype(np.float64)

    @property
    def weights(self) -> Weights:
        """A copy of the present weights."""
        return list(self._model.get_weights())

    @weights.setter
    def weights(self, weights: Weights) -> None:
        self._model.set_weights(weights)

    def to_onnx(self) -> bytes:
        """The network with its present weights as an ONNX model, input (n, window, 7), output (n, levels)."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            with warnings.catch_warnings():
                # Keras looks for an alias that NumPy 2 removed, to put it back.
                warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
                self._model.export(path, format="onnx", verbose=False)
            return path.read_bytes()

    def to_hdf5(self) -> bytes:
        """The present weights as Keras writes them to a .weights.h5 file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.weights.h5"
            self._model.save_weights(path)
            return path.read_bytes()

    def _start(self, target: Array) -> None:
        """Back to the seeded weights and a fresh optimizer, with the unconditional quantiles of `target` as first answer."""
        for variable, value in self._initial:
            variable.assign(value)
        bias = self._model.layers[-1].bias
        bias.assign(np.quantile(target, self._config.quantile_levels))

    def _descend(self, windows: Any, target: Any) -> None:
        with tf.GradientTape() as tape:
            error = target - self._model(windows, training=True)
            loss = tf.reduce_mean(tf.maximum(self._levels * error, (self._levels - 1) * error))
        variables = self._model.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)


def _build(config: ForecastConfig) -> Any:
    """LSTM -> one linear output per quantile level, which starts from its bias alone: noise there would have to be unlearnt."""
    return keras.Sequential(
        [
            keras.Input((config.window, len(FEATURES))),
            keras.layers.LSTM(
                config.units,
                kernel_initializer=keras.initializers.GlorotUniform(seed=config.seed),
                recurrent_initializer=keras.initializers.Orthogonal(seed=config.seed),
            ),
            keras.layers.Dense(len(config.quantile_levels), kernel_initializer="zeros"),
        ]
    )
