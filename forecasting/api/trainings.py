"""Trainings that wait or run: in the answers of `check` and `predict`, and the answer of `retrain`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from forecasting.api.fields import Choice, Count, Moment, Rounded, Shape, Text
from forecasting.models import Training
from forecasting.models.trainings import ACTIVE_STATES, TrainingReason
from forecasting.training.positions import Position

STARTED = "Model for this stock code has not been trained yet. Starting training, try again later."
IN_PROGRESS = "Training already in progress. The model will be available soon."
RETRAINING = "Re-training initiated for model: {ticker}"
NOT_QUEUED = Position()


class Located(NamedTuple):
    """An active training and its position in the queue."""

    training: Training
    position: Position


class ActiveTraining(Shape):
    """A training that waits or runs."""

    id = Count(of="training.pk", help_text="See `/models/trainings/{id}`.")
    state = Choice([(str(state), state.label) for state in ACTIVE_STATES], of="training.state")
    reason = Choice(TrainingReason.choices, of="training.reason")
    position = Count(of="position.number", help_text="From 1 in the queue; 0 while it runs.")
    expected_wait = Count(
        of="position.expected_wait_s",
        allow_null=True,
        help_text="Estimated seconds until it ends, from the median of recent trainings. Null before the first one has ended, and "
        "without a worker.",
    )
    stage = Text(of="training.stage", help_text="What the trainer is doing; empty while the training waits.")
    epoch = Count(of="training.epoch", allow_null=True, help_text="Within the stage; null if the stage has no epochs.")
    epochs = Count(of="training.epochs", allow_null=True, help_text="Maximum number of epochs in the stage.")
    progress = Rounded(3, of="training.progress", min_value=0, max_value=1, help_text="Fraction done.")
    error = Text(
        of=lambda located: located.position.absence or located.training.error,
        help_text="Why the last attempt failed, or what the training waits for, such as a worker; else empty.",
    )
    created_at = Moment(of="training.created_at")


class RetrainAnswer(Shape):
    """The training that was requested."""

    message = Text(of=lambda located: RETRAINING.format(ticker=located.training.symbol.ticker))
    training = ActiveTraining(of="*")


def located(training: Training | None, positions: Mapping[int, Position]) -> Located | None:
    """The training with its position."""
    return Located(training, positions.get(training.pk, NOT_QUEUED)) if training else None


def training_json(training: Training, positions: Mapping[int, Position]) -> dict[str, Any]:
    """An active training."""
    return ActiveTraining.json(located(training, positions))


def retrain_json(training: Training, positions: Mapping[int, Position]) -> dict[str, Any]:
    """The answer of `retrain`."""
    return RetrainAnswer.json(located(training, positions))
