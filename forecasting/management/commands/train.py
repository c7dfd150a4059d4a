"""`manage.py train SYMBOL...`: trains symbols at the terminal."""

import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from forecasting import market, terminal
from forecasting.api.metrics import metrics_json
from forecasting.api.trainings import training_json
from forecasting.background import trainer_parent
from forecasting.management.commands.predict import valid_tickers
from forecasting.models import Symbol, Training
from forecasting.models.symbols import TAKEN_OUT
from forecasting.models.trainings import TrainingState
from forecasting.prices.catalogue import is_simulated
from forecasting.prices.sources import PriceSourceError
from forecasting.scorecards import scorecards
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests
from forecasting.training.positions import positions_of

POLL_SECONDS = 0.5
PATIENCE = timedelta(minutes=1)  # maximum wait for a training without prices; a worker resumes it later


class Command(BaseCommand):
    """Trains without a worker. Trainings that a worker has already claimed are only watched."""

    help = "Trains the models of these symbols now, and compares their errors with the naive forecast."

    def add_arguments(self, parser: CommandParser) -> None:
        """Symbols."""
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the metrics. Raises CommandError if a training did not succeed."""
        console = terminal.console()
        tickers = valid_tickers(options["symbols"])
        symbols = [_trainable(ticker) for ticker in tickers]
        try:
            with transaction.atomic():  # all or none; in the order of others, so that nobody waits for us while we wait for them
                keys = [training_requests.request_one(each, by="terminal").pk for each in sorted(symbols, key=lambda each: each.pk)]
        except training_requests.QueueFullError as error:
            raise CommandError(f"Not trained:\n{error}") from error
        try:
            with terminal.TrainingProgress(console) as bars:
                self._work(keys, bars)
        except KeyboardInterrupt:
            raise CommandError("Interrupted. Unfinished trainings stay in the queue for a worker or the next call.") from None
        cards = scorecards(tickers)
        answers = [metrics_json(ticker, cards.get(ticker)) for ticker in tickers]
        console.print(terminal.metrics_table(answers, simulated=is_simulated(settings.PRICE_SOURCE)))
        unsuccessful = Training.objects.filter(pk__in=keys).exclude(state=TrainingState.SUCCEEDED).select_related("symbol")
        if reasons := [f"{training.subject}: {training.error or training.state}" for training in unsuccessful]:
            raise CommandError("Not trained:\n" + "\n".join(reasons))

    def _work(self, keys: list[int], bars: terminal.TrainingProgress) -> None:
        """Runs the trainings one by one, until each has ended or must wait longer than PATIENCE."""

        def show(training: Training, stage: str, fraction: float) -> None:
            bars.update(training.subject, stage=stage, fraction=fraction)

        mine = Training.objects.filter(pk__in=keys).select_related("symbol")
        with trainer_parent.TrainerProcess(watch=show) as trainer:
            while any(training.is_active and not _waits_long(training) for training in mine.all()):
                if training := trainer_parent.claim(among=keys):
                    trainer_parent.train(training, trainer)
                else:  # another process runs it, or died while running it
                    training_queue.rescue()
                    time.sleep(POLL_SECONDS)
                self._show(list(mine.all()), bars)

    def _show(self, trainings: list[Training], bars: terminal.TrainingProgress) -> None:
        """Shows the progress of all trainings, including those of other processes."""
        positions = positions_of(trainings, by_worker=False)
        for training in trainings:
            text = terminal.where_it_stands(training_json(training, positions)) if training.is_active else training.state
            bars.update(training.subject, stage=text, fraction=training.progress)


def _trainable(ticker: str) -> Symbol:
    """The symbol of this ticker, new or not. Raises CommandError."""
    try:
        if not Symbol.objects.named([ticker]).exists():
            market.enlist(ticker, now=timezone.now())
    except PriceSourceError as error:
        raise CommandError(f"Not trained:\n{error}") from error
    symbol = Symbol.objects.get(ticker=ticker)
    if not symbol.is_in_service:
        raise CommandError(f"Not trained:\n{ticker}: {TAKEN_OUT}")
    return symbol


def _waits_long(training: Training) -> bool:
    return training.state == TrainingState.QUEUED and training.not_before > timezone.now() + PATIENCE
