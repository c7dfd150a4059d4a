"""Every way in which a trainer changes its training; all need the current fence."""

from collections.abc import Callable

from django.utils import timezone

from forecasting.models import Training
from forecasting.training import queue as training_queue

WRITES: dict[str, Callable[[Training], object]] = {
    "renew": training_queue.renew,
    "report": lambda training: training_queue.report(training, stage="fit", fraction=0.5),
    "retry": lambda training: training_queue.retry(training, error="The network is down."),
    "fail": lambda training: training_queue.fail(training, error="SAMPLE1 has 3 bars."),
    "release": training_queue.release,
    "postpone": lambda training: training_queue.postpone(training, until=timezone.now(), error="The source is paused."),
}
