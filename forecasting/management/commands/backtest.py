"""`manage.py backtest`: fits on bars up to a date, forecasts from every later session, and compares with the baselines."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from forecasting import registry, terminal
from forecasting.management import live_backtest
from forecasting.management.hourly_folder import HourlyFolder
from forecasting.management.price_folder import PriceFolder, day, lead_markets, ticker
from forecasting.pipeline.evaluation import baselines, bases
from forecasting.pipeline.evaluation.backtest import (
    CLOSE,
    BaseKnowsTooMuchError,
    Period,
    best,
    historical_forecasts,
    in_one,
    require_ignorance,
)
from forecasting.pipeline.evaluation.reliability import reliability
from forecasting.pipeline.model import horizons
from forecasting.pipeline.model.calibration import told_median
from forecasting.pipeline.model.lead_fitting import fit_leads
from forecasting.pipeline.model.lead_moves import LeadMarkets
from forecasting.pipeline.model.windows import UntrainableError
from forecasting.pipeline.progress import Progress
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import BaseModel
from forecasting.pipeline.serving.verified import ArtifactError


class Command(BaseCommand):
    """Uses neither the database nor the active models."""

    help = "Backtests on price files as if live; writes the forecasts as CSV: symbol, as_of, basis, q01 ... q99 of the close."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Prices, dates, the base model, and the output file."""
        prices = parser.add_mutually_exclusive_group(required=True)
        prices.add_argument("--prices", type=Path, metavar="DIR", help="SYMBOL.csv files, also in subfolders")
        prices.add_argument("--hourly", type=Path, metavar="DIR", help="hourly bars of New York: forecasts during the session")
        parser.add_argument("--splits", type=Path, metavar="FILE", help="splits of the hourly bars: symbol,date,ratio")
        parser.add_argument("--at-open", action="store_true", help="with --prices: forecasts that know the session's open")
        parser.add_argument("--leads", type=Path, metavar="DIR", help="SYMBOL.csv files of leads, such as SPY; none of --prices")
        parser.add_argument("--through", type=day, required=True, metavar="DATE", help="the last session used for fitting")
        parser.add_argument("--from", dest="first", type=day, metavar="DATE", help="the first session to forecast from")
        parser.add_argument("--to", dest="last", type=day, default=date.max, metavar="DATE", help="the last such session")
        parser.add_argument("--base", metavar="DIR|shipped", help="the base to start from (default: train one on the symbols)")
        parser.add_argument("--symbols", nargs="+", type=ticker, metavar="SYMBOL", help="default: all in the folder")
        parser.add_argument("--base-alone", action="store_true", help="forecast every symbol with the unchanged base")
        parser.add_argument(
            "--sessions", type=int, choices=(1, *horizons.SESSIONS), default=1, help="how many sessions ahead (default: 1)"
        )
        parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the forecasts, as CSV")

    def handle(self, *args: Any, **options: Any) -> None:
        """Writes the file and prints a table. Raises CommandError with the reason for a failure."""
        console = terminal.console()
        folder = _folder(console, **options)
        markets = lead_markets(options["leads"], console) if options["leads"] else None
        try:
            period = Period(
                through=options["through"], first=options["first"] or options["through"] + timedelta(days=1), last=options["last"]
            )
            base = _base(options["base"], folder, period, console)
            if markets and not base.leads:
                known = folder.histories(through=period.through)
                base = replace(base, leads=fit_leads(known, markets, registry.forecast_config()))
            console.print(f"Weight of the base's median: {told_median(**base.calibration.median_facts)}.")
            sessions: int = options["sessions"]
            forecasts = _forecasts(
                folder, period, base, markets, console, own_versions=not options["base_alone"], sessions=sessions
            )
        except (BaseKnowsTooMuchError, UntrainableError, ArtifactError, ValueError) as error:
            raise CommandError(str(error)) from error
        if forecasts.empty:
            raise CommandError(f"No session between {period.first} and {period.last} could be forecast from; see above.")
        if options["hourly"] or options["at_open"]:
            live = live_backtest.forecasts(folder, forecasts, base, period)
            live_backtest.write(live, options["out"], console, with_times=bool(options["hourly"]))
            return
        _write(best(forecasts), options["out"], console)
        if markets:
            _write(forecasts[forecasts["basis"] == CLOSE], options["out"].with_suffix(".close.csv"), console)
        symbols = set(forecasts["symbol"])
        histories = {symbol: bars for symbol, bars in folder.histories(through=date.max) if symbol in symbols}
        for table in _tables(forecasts, histories, sessions=sessions, with_leads=markets is not None and sessions == 1):
            console.print(table)


def _folder(
    console: Console, *, prices: Path | None, hourly: Path | None, symbols: list[str] | None, **options: Any
) -> PriceFolder | HourlyFolder:
    """The folder of the prices. Raises CommandError for options that do not go together."""
    if (hourly or options["at_open"]) and (options["leads"] or options["sessions"] != 1):
        raise CommandError("Forecasts during the session are of its close and know no leads; leave out --leads and --sessions.")
    if prices is not None:
        if options["splits"]:
            raise CommandError("--splits belongs to --hourly; files of daily bars must be adjusted already.")
        return PriceFolder(prices, symbols, console, without=options["leads"])
    if options["at_open"]:
        raise CommandError("--hourly has forecasts at the open already; leave out --at-open.")
    return HourlyFolder(hourly, options["splits"], symbols, console)


def _base(where: str | None, folder: PriceFolder | HourlyFolder, period: Period, console: Console) -> BaseModel:
    """The base in the given folder, the shipped base, or a new one trained on the symbols' bars up to `period.through`."""
    if where is not None:
        place = registry.SHIPPED_BASE if where == "shipped" else Path(where)
        base = artifacts.read_base(place, artifacts.recorded(place))
        require_ignorance(base, period)
        return base
    from forecasting.background import base_training  # noqa: PLC0415 - loads TensorFlow, which a given base may not need

    with terminal.TrainingProgress(console) as bars:

        def show(progress: Progress) -> None:
            bars.update("base", stage=progress.stage, fraction=progress.fraction)

        return base_training.train(folder.histories(through=period.through), progress=show)


def _forecasts(
    folder: PriceFolder | HourlyFolder,
    period: Period,
    base: BaseModel,
    markets: LeadMarkets | None,
    console: Console,
    *,
    own_versions: bool,
    sessions: int,
) -> pd.DataFrame:
    def left_out(symbol: str, reason: str) -> None:
        console.print(f"  left out: {reason}")

    frames = []
    with terminal.TrainingProgress(console) as bars:
        histories = folder.histories(through=period.last)
        config = registry.forecast_config()
        how: dict[str, Any] = {
            "base": base,
            "own_versions": own_versions,
            "skipped": left_out,
            "markets": markets,
            "sessions": sessions,
        }
        each = historical_forecasts(histories, period, config, **how)
        for frame in each:
            frames.append(frame)
            bars.update("symbols", stage="forecasting", fraction=len(frames) / len(folder.symbols))
    return in_one(frames)


def _write(forecasts: pd.DataFrame, path: Path, console: Console) -> None:
    forecasts.to_csv(path, index=False, date_format="%Y-%m-%d")
    console.print(f"{len(forecasts):,} forecasts written to {path}")


def _tables(
    forecasts: pd.DataFrame, histories: Mapping[str, pd.DataFrame], *, sessions: int, with_leads: bool
) -> Iterator[Table | str]:
    """The forecasts beside the baselines and their reliability, or the reason for their absence."""
    config = registry.forecast_config()
    summary = baselines.score_beside_baselines(best(forecasts), histories, config, sessions=sessions)
    if summary.empty:
        yield "No target session is over yet, so there is nothing to score."
        return
    yield _table(f"{len(histories)} symbols, out of sample, compared with the baselines", summary)
    if not (promises := reliability(best(forecasts), histories, sessions=sessions)).empty:
        yield _table("How often what was promised has happened", promises)
    if with_leads:
        yield _table("By exchange, without leads (close) and with leads (best)", bases.by_exchange(forecasts, histories, config))
        yield _table("Probability of a rise, by forecasts with leads", bases.reliability(forecasts, histories))


def _table(title: str, figures: pd.DataFrame) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("", *figures.columns):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in baselines.as_lines(figures):
        table.add_row(name, *row)
    return table
