"""The answer of `check`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from forecasting.api.fields import Count, Flag, Shape, Text
from forecasting.api.trainings import IN_PROGRESS, STARTED, ActiveTraining, Located, located
from forecasting.serving import NOT_STARTED
from forecasting.training.positions import Position
from forecasting.training.requests import ModelStatus

AVAILABLE = "Model and scaler are available."


class Standing(NamedTuple):
    """What `check` shows: a symbol's status, and its active training with its position."""

    status: ModelStatus
    training: Located | None

    @property
    def version(self) -> int | None:
        """Number of the version that serves."""
        return self.status.version.number if self.status.version else None

    @property
    def version_id(self) -> int | None:
        """Id of the version that serves."""
        return self.status.version.pk if self.status.version else None

    @property
    def message(self) -> str:
        """One of the four sentences of the contract."""
        if self.status.version:
            return AVAILABLE
        if self.status.training:
            return STARTED if self.status.started else IN_PROGRESS
        if self.status.refusal:
            return NOT_STARTED.format(reason=self.status.refusal)
        return STARTED  # once the price source has said that it knows the symbol


class CheckAnswer(Shape):
    """The answer of `check` for one symbol."""

    symbol = Text(of="status.symbol.ticker", help_text="Trimmed and in upper case.")
    model_exists = Flag(of=lambda standing: standing.version is not None)
    message = Text(help_text="One of four sentences, see the route.")
    version = Count(allow_null=True, help_text="Number of the version that serves.")
    version_id = Count(allow_null=True, help_text="See `/models/versions/{id}`.")
    training = ActiveTraining(allow_null=True, help_text="The symbol's active training, if any.")


def check_json(status: ModelStatus, positions: Mapping[int, Position]) -> dict[str, Any]:
    """The answer of `check` for one symbol."""
    return CheckAnswer.json(Standing(status, located(status.training, positions)))
