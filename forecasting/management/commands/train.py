"""`manage.py train SYMBOL...`: trainings at the terminal."""

import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forecasting import ledger, terminal
from forecasting.api.metrics import metrics_json
from forecasting.api.trainings import training_json
from forecasting.background import trainer_parent
from forecasting.management.commands.predict import valid_tickers
from forecasting.models import Training
from forecasting.models.trainings import TrainingState
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests
from forecasting.training.positions import positions_of

POLL_SECONDS = 0.5
PATIENCE = timedelta(minutes=1)  # with a training that waits for prices; a worker takes it up when they may be asked for


class Command(BaseCommand):
    """Trains here, without a worker; what a running worker has taken already is only watched."""

    help = "Trains the models of these symbols now and shows their errors beside the naive forecast's."

    def add_arguments(self, parser: CommandParser) -> None:
        """Symbols."""
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the metrics; CommandError when a training did not succeed."""
        console = terminal.console()
        tickers = valid_tickers(options["symbols"])
        keys = [training_requests.request_one(ticker).pk for ticker in tickers]
        try:
            with terminal.TrainingProgress(console) as bars:
                self._work(keys, bars)
        except KeyboardInterrupt:
            raise CommandError("Interrupted; what was not trained waits in the queue for a worker, or for the next call.") from None
        cards = ledger.scorecards(tickers)
        answers = [metrics_json(ticker, cards.get(ticker)) for ticker in tickers]
        console.print(terminal.metrics_table(answers, simulated=settings.PRICE_SOURCE == "sample"))
        unsuccessful = Training.objects.filter(pk__in=keys).exclude(state=TrainingState.SUCCEEDED).select_related("symbol")
        if reasons := [f"{training.subject}: {training.error or training.state}" for training in unsuccessful]:
            raise CommandError("Not trained:\n" + "\n".join(reasons))

    def _work(self, keys: list[int], bars: terminal.TrainingProgress) -> None:
        """Takes the trainings one by one until all have ended, or those that have not wait for longer than PATIENCE."""

        def show(training: Training, stage: str, fraction: float) -> None:
            bars.update(training.subject, stage=stage, fraction=fraction)

        mine = Training.objects.filter(pk__in=keys).select_related("symbol")
        with trainer_parent.TrainerProcess(watch=show) as trainer:
            while any(training.is_active and not _waits_long(training) for training in mine.all()):
                if training := trainer_parent.claim(among=keys):
                    trainer_parent.train(training, trainer)
                else:  # another process works on it, or has died over it
                    training_queue.rescue()
                    time.sleep(POLL_SECONDS)
                self._show(list(mine.all()), bars)

    def _show(self, trainings: list[Training], bars: terminal.TrainingProgress) -> None:
        """How far each is, those of other processes too."""
        positions = positions_of(trainings)
        for training in trainings:
            text = terminal.where_it_stands(training_json(training, positions)) if training.is_active else training.state
            bars.update(training.subject, stage=text, fraction=training.progress)


def _waits_long(training: Training) -> bool:
    return training.state == TrainingState.QUEUED and training.not_before > timezone.now() + PATIENCE
