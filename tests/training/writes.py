"""Writes of trainings: requests, and every way in which a trainer changes its training, which needs the current fence."""

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from forecasting.models import Symbol, Training
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests
from forecasting.training.requests import ModelStatus

WRITES: dict[str, Callable[[Training], object]] = {
    "renew": training_queue.renew,
    "report": lambda training: training_queue.report(training, stage="fit", fraction=0.5),
    "retry": lambda training: training_queue.retry(training, error="The network is down."),
    "fail": lambda training: training_queue.fail(training, error="SAMPLE1 has 3 bars."),
    "release": training_queue.release,
    "postpone": lambda training: training_queue.postpone(training, until=timezone.now(), error="The source is paused."),
}


def asked(ticker: str) -> Training:
    """A training that an account has asked for."""
    (symbol,) = Symbol.objects.all().ensure([ticker])
    return training_requests.request_one(symbol, by="account ana")


def statuses(*tickers: str, now: datetime | None = None) -> list[ModelStatus]:
    """The statuses of these symbols, which are made if they do not exist."""
    symbols = Symbol.objects.all().ensure(tickers)
    return training_requests.ensure_trained(symbols, now=now or timezone.now())
