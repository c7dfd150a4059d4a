"""Retrainings at a caller's request: who goes first, and how often a symbol is retrained."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from forecasting.callers.budgets import Budget, OverBudgetError, in_words, spend_one
from forecasting.callers.caller import Caller
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingReason
from forecasting.training import requests as training_requests


@transaction.atomic
def retrain(symbol: Symbol, *, by: Caller, now: datetime) -> Training:
    """The symbol's active training, or a new one. Raises OverBudgetError or QueueFullError; nothing is spent then.

    Urgent callers go first and may always retrain. For the others, RETRAIN_COOLDOWN must have passed since the last training ended,
    unless that was the symbol's first one. Their retraining ranks below every first training.
    """
    last = list(Training.objects.of([symbol]).newest_first()[:2])
    is_first = not (last or ModelVersion.objects.of([symbol]).exists())
    if not is_first and not (last and last[0].is_active):
        if len(last) == 2 and not by.urgent:
            _require_cool(last[0], now=now)
        spend_one(by, Budget.RETRAININGS)
    reason = TrainingReason.NEVER_TRAINED if is_first else TrainingReason.ASKED_ANONYMOUSLY
    return training_requests.request_one(symbol, reason=TrainingReason.REQUESTED if by.urgent else reason, by=str(by))


def _require_cool(last: Training, *, now: datetime) -> None:
    """Raises OverBudgetError if the training ended within RETRAIN_COOLDOWN."""
    cooldown = timedelta(seconds=settings.RETRAIN_COOLDOWN)
    if last.finished_at and (wait := last.finished_at + cooldown - now) > timedelta(0):
        ago = f"the last training of {last.subject} ended less than {in_words(settings.RETRAIN_COOLDOWN)} ago"
        raise OverBudgetError(ago, wait_s=wait.total_seconds())
