"""Answers a request: with what stands, or after asking for what is missing."""

from forecasting.serving.answering import (
    NOT_STARTED,
    UNREQUESTED,
    NoAnswerYetError,
    NotTrainableError,
    current,
    predict,
    standing,
    trainable,
)
from forecasting.serving.issuing import serve, serve_with_leads, serving_versions
from forecasting.serving.ready import Prediction, answer_that_stands

__all__ = [
    "NOT_STARTED",
    "UNREQUESTED",
    "NoAnswerYetError",
    "NotTrainableError",
    "Prediction",
    "answer_that_stands",
    "current",
    "predict",
    "serve",
    "serve_with_leads",
    "serving_versions",
    "standing",
    "trainable",
]
