"""`manage.py demo`: starts the whole service in a separate folder and uses it over HTTP like a client."""

import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from forecasting import terminal
from forecasting.management.commands.predict import valid_tickers
from forecasting.runtime.private_service import PrivateService, ServiceError

COIN = "SAMPLE1-USD"
TRAINING_SECONDS = 900


class Command(BaseCommand):
    """Check, wait, metrics, predict, retrain, wait: a model's life cycle over the real HTTP API."""

    help = "Trains and forecasts two symbols over the real HTTP API, and prints each step."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Symbols and a folder of prices, both optional."""
        parser.add_argument("symbols", nargs="*", default=["SAMPLE1", "SAMPLE2"], metavar="SYMBOL")
        parser.add_argument("--prices", type=Path, help="a folder with SYMBOL.csv files; without it, prices are simulated")

    def handle(self, *args: Any, **options: Any) -> None:
        """Returns after a complete run. Raises CommandError with the failed step and the log's path."""
        tickers, prices = valid_tickers(options["symbols"]), options["prices"]
        if prices and not prices.is_dir():
            raise CommandError(f"--prices {prices} is not a folder.")
        story = Story(tickers, terminal.console())
        try:
            with PrivateService(Path(settings.STATE_DIR) / "demo", prices=prices) as service:
                story.tell(service)
                story.step("Stopping")
        except ServiceError as error:
            raise CommandError(f"The demo failed. {error}") from error
        story.step("Done: everything worked, and all processes have ended.")


class Story:
    """The steps of the demo and their output."""

    def __init__(self, tickers: list[str], console: Console) -> None:
        self._tickers, self._console = tickers, console
        self._started = time.monotonic()

    def tell(self, service: PrivateService) -> None:
        """Runs all steps; raises ServiceError."""
        source = "SIMULATED prices (no real market)" if service.simulated else "real prices from CSV files"
        self._console.print(f"stockpred demo: {', '.join(self._tickers)} on {source}")
        self.step("Starting database, web server and worker")
        service.until_up()
        self._console.print(f"  serving at {service.url}, Swagger at {service.url}/swagger")
        self.step("POST /models/check: is there a model?")
        for answer in service.post("check", symbols=self._tickers):
            self._console.print(f"  {answer['symbol']}: {answer['message']}")
        self.step("POST /models/predict: until then, the base model forecasts")
        self._predict(service, enough=("success", "training"))
        self.step("Waiting for the trainings")
        self._await_trainings(service)
        self.step("POST /models/metrics: how good are they?")
        metrics = service.post("metrics", symbols=self._tickers)
        self._console.print(terminal.metrics_table(metrics, simulated=service.simulated))
        self.step("POST /models/predict: what will the next close be?")
        self._predict(service)
        if service.simulated:
            from forecasting.management.simulated_leads import told_lead  # noqa: PLC0415 - loads TensorFlow

            self.step("What is it worth to know another market?")
            self._console.print(f"  {told_lead()}")
            self.step(f"POST /models/predict: and during the session of {COIN}, which trades around the clock?")
            answer = service.post("predict", symbols=[COIN])["predictions"][COIN]
            self._console.print(f"  {terminal.told_session(answer)}")
        ticker = self._tickers[0]
        self.step(f"POST /models/retrain: train {ticker} again")
        self._console.print(f"  {service.post('retrain', symbol=ticker)['message']}")
        self._await_trainings(service)
        (answer,) = service.post("check", symbols=[ticker])
        self._console.print(f"  {ticker} is now served by version {answer['version']}")

    def step(self, title: str) -> None:
        """Prints a heading with the time since the start."""
        self._console.print(f"\n[bold]{time.monotonic() - self._started:5.1f} s  {title}[/bold]")

    def _predict(self, service: PrivateService, *, enough: tuple[str, ...] = ("success",)) -> None:
        predictions = service.post("predict", symbols=self._tickers)["predictions"]
        terminal.show_forecasts(self._console, predictions, simulated=service.simulated)
        if failed := [ticker for ticker, answer in predictions.items() if answer["status"] not in enough]:
            raise service.error(f"There is no forecast for {', '.join(failed)}.")

    def _await_trainings(self, service: PrivateService) -> None:
        """Shows progress until every symbol has a model and no training is active."""
        with terminal.TrainingProgress(self._console) as bars:

            def all_trained() -> bool:
                answers = service.post("check", symbols=self._tickers)
                for answer in answers:
                    if training := answer["training"]:
                        bars.update(answer["symbol"], stage=terminal.where_it_stands(training), fraction=training["progress"])
                    elif answer["model_exists"]:
                        bars.update(answer["symbol"], stage="done", fraction=1.0)
                    else:
                        raise service.error(f"{answer['symbol']}: {answer['message']}")
                return not any(answer["training"] for answer in answers)

            service.until("the trainings", all_trained, seconds=TRAINING_SECONDS)
