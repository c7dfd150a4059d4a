"""`manage.py train_base`: trains the base model on a folder of price files or on the bars in the database."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from forecasting import registry, terminal
from forecasting.management.price_folder import PriceFolder, day, lead_markets, ticker
from forecasting.pipeline.model.calibration import told_median
from forecasting.pipeline.model.lead_fitting import fit_leads
from forecasting.pipeline.model.windows import UntrainableError
from forecasting.pipeline.progress import Progress
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import BaseModel


class Command(BaseCommand):
    """Trains in this process. The result is activated at once, or only written to a folder."""

    help = "Trains the base model, which serves symbols without a model of their own and is the start of all trainings."

    def add_arguments(self, parser: CommandParser) -> None:
        """Prices, symbols, the last session to use, and the output folder."""
        parser.add_argument("--prices", type=Path, metavar="DIR", help="SYMBOL.csv files (default: the bars in the database)")
        parser.add_argument(
            "--leads", type=Path, metavar="DIR", help="SYMBOL.csv files of leads: fits the lead model on --prices too"
        )
        parser.add_argument("--symbols", nargs="+", type=ticker, metavar="SYMBOL", help="default: all")
        parser.add_argument("--through", type=day, default=date.max, metavar="DATE", help="the last session to use")
        parser.add_argument("--out", type=Path, metavar="DIR", help="write its files there instead of activating it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints a report. Raises CommandError with the reason for a failure."""
        from forecasting.background import base_training  # noqa: PLC0415 - loads TensorFlow, which only a training needs

        console = terminal.console()
        out: Path | None = options["out"]
        if out is not None and out.exists() and any(out.iterdir()):
            raise CommandError(f"--out {out} is not empty.")
        with terminal.TrainingProgress(console) as bars:

            def show(progress: Progress) -> None:
                bars.update("base", stage=progress.stage, fraction=progress.fraction)

            try:
                base = base_training.train(_histories(console, **options), progress=show)
            except UntrainableError as error:
                raise CommandError(str(error)) from error
        if options["leads"]:
            markets = lead_markets(options["leads"], console)
            base = replace(base, leads=fit_leads(_histories(console, **options), markets, registry.forecast_config()))
        base = replace(base, command=_command(**options))
        self._report(console, base)
        self._keep(console, base, out)

    def _keep(self, console: Console, base: BaseModel, out: Path | None) -> None:
        if out is None:
            from forecasting.background import base_training  # noqa: PLC0415 - as above

            base = base_training.with_rates(base_training.with_leads(base))
            version = registry.register_base(base, decision="Trained at the terminal.")
            console.print(f"{version} is now active.")
            return
        out.mkdir(parents=True, exist_ok=True)
        artifacts.write(out, base)
        console.print(f"Written to {out}: {sum(len(content) for content in base.contents.values()) / 1000:.0f} kB.")

    def _report(self, console: Console, base: BaseModel) -> None:
        metrics, seen = base.metrics, base.seen
        console.print(
            f"Base of {len(base.symbols)} symbols, {base.bar_count:,} bars, {base.data_start} to {base.data_end}, "
            f"trained in {base.duration_s:.0f} s."
        )
        console.print(
            f"Measured on {metrics['test_size']:,} forecasts after {seen.calibrated_through}, by a fit on bars up to "
            f"{seen.fitted_through}: pinball ratio {metrics['pinball_ratio']:.4f} (worst {metrics['worst_pinball_ratio']:.4f}), "
            f"error relative to the naive forecast {metrics['mase']:.4f}, 80 % interval coverage {metrics['coverage_80']:.1%} "
            f"({metrics['least_coverage_80']:.1%} to {metrics['most_coverage_80']:.1%} by symbol)."
        )
        console.print(f"Weight of the median: {told_median(**base.calibration.median_facts)}.")


def _histories(console: Console, *, prices: Path | None, symbols: list[str] | None, through: date, **options: Any) -> Any:
    from forecasting.background import base_training  # noqa: PLC0415 - as above

    if prices is not None:
        return PriceFolder(prices, symbols, console, without=options["leads"]).histories(through=through)
    return base_training.histories(symbols, through=through)


def _command(*, symbols: list[str] | None, through: date, **options: Any) -> str:
    """The command that reproduces this base from the same prices; paths are placeholders."""
    words = ["python manage.py train_base"]
    words += ["--prices DIR"] if options["prices"] else []
    words += ["--leads DIR"] if options["leads"] else []
    words += ["--symbols", *sorted(symbols)] if symbols else []
    words += [f"--through {through}"] if through != date.max else []
    return " ".join([*words, "--out DIR"] if options["out"] else words)
