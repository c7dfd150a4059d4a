"""Progress of a training."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a training; `fraction` never decreases."""

    stage: str
    fraction: float  # of the whole training, 0 to 1
    epoch: int | None = None  # within the stage
    epochs: int | None = None  # at most, within the stage


def ignore(progress: Progress) -> None:
    """A callback that ignores the progress."""
