"""`manage.py bench`: measures the speed of the service, one line per figure. Compare runs by ratios rather than seconds."""

import statistics
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from forecasting.management.commands.predict import valid_tickers
from forecasting.management.pipeline_bench import measure_pipeline, measure_reference
from forecasting.management.scale_bench import measure_scale
from forecasting.management.web_bench import measure_web
from forecasting.runtime.private_service import PrivateService, ServiceError

TRAINING_SECONDS = 1800
UNLIMITED = {"RETRAIN_COOLDOWN": "0", "ANONYMOUS_RETRAININGS_PER_DAY": "0"}


class Command(BaseCommand):
    """Measures trainings and requests of a whole service, then the pipeline alone."""

    help = "Measures trainings and requests of a whole service, on simulated prices or on a folder of CSV files."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Symbols and a folder of prices, both optional."""
        parser.add_argument("symbols", nargs="*", default=[f"SAMPLE{n}" for n in range(1, 9)], metavar="SYMBOL")
        parser.add_argument("--prices", type=Path, help="a folder with SYMBOL.csv files; without it, prices are simulated")
        parser.add_argument("--trainings", type=int, default=24, help="number of trainings in the memory test of one trainer")
        parser.add_argument("--scale", type=int, default=1000, metavar="N", help="symbols of the import and the daily job")
        parser.add_argument(
            "--reference", type=Path, metavar="SCRIPT", help="script of another system's training, for comparison; needs --prices"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints one line per figure."""
        tickers = valid_tickers(options["symbols"])
        try:
            with PrivateService(Path(settings.STATE_DIR) / "bench", prices=options["prices"], **UNLIMITED) as service:
                started = time.perf_counter()
                service.until_up()
                say("service ready after", time.perf_counter() - started, "s")
                warm_s = measure_trainings(service, tickers)
                measure_web(service, tickers, say=say)
                if options["scale"]:
                    measure_scale(service, options["scale"], say=say)
        except ServiceError as error:
            raise CommandError(str(error)) from error
        measure_pipeline(options["prices"], tickers, trainings=options["trainings"], say=say)
        if options["reference"] and options["prices"]:
            measure_reference(options["reference"], options["prices"], tickers[0], warm_s=warm_s, say=say)


def say(what: str, value: float, unit: str) -> None:
    """Prints one figure."""
    Console(highlight=False).print(f"{what}: {value:,.2f} {unit}".rstrip())


def measure_trainings(service: PrivateService, tickers: list[str]) -> float:
    """Measures one cold training (process start, TensorFlow, compilation) and warm ones; returns the warm median in seconds."""
    started = time.perf_counter()
    service.post("check", symbols=tickers)
    service.until("the trainings", lambda: all_trained(service, tickers), seconds=TRAINING_SECONDS)
    say(f"{len(tickers)} trainings, from request to served model", time.perf_counter() - started, "s")
    rows = [service.get(f"trainings?symbol={ticker}&state=succeeded")["results"][0] for ticker in tickers]
    times = sorted((datetime.fromisoformat(row["started_at"]), datetime.fromisoformat(row["finished_at"])) for row in rows)
    cold, *warm = [(end - start).total_seconds() for start, end in times]
    say("cold training (process start to published version)", cold, "s")
    median = statistics.median(warm or [cold])
    if warm:
        say(f"warm training (median of {len(warm)})", median, "s")
    return median


def all_trained(service: PrivateService, tickers: list[str]) -> bool:
    """Whether every symbol has a model; raises ServiceError if one cannot be trained."""
    answers = service.post("check", symbols=tickers)
    if stuck := [answer["message"] for answer in answers if not answer["model_exists"] and not answer["training"]]:
        raise service.error(stuck[0])
    return all(answer["model_exists"] for answer in answers)
