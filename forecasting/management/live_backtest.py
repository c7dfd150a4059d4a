"""Backtests of forecasts during the session from folders of prices, for `manage.py backtest --hourly` and `--at-open`."""

from datetime import date
from pathlib import Path

import pandas as pd
from django.core.management.base import CommandError
from rich.console import Console
from rich.table import Table

from forecasting import registry
from forecasting.management.hourly_folder import HourlyFolder
from forecasting.management.price_folder import PriceFolder
from forecasting.pipeline.evaluation.backtest import Period
from forecasting.pipeline.evaluation.baselines import as_lines
from forecasting.pipeline.evaluation.live_backtest import COLUMNS, at_hours, at_opens, by_time, live_forecasts
from forecasting.pipeline.model.live import LiveModel
from forecasting.pipeline.model.live_fitting import fit_live
from forecasting.pipeline.serving.trained import BaseModel


def forecasts(folder: PriceFolder | HourlyFolder, daily: pd.DataFrame, base: BaseModel, period: Period) -> pd.DataFrame:
    """Forecasts during the sessions after those of the `daily` forecasts; see `live_forecasts`.

    The live model is that of the base, else one fitted on the folder up to the end of the fit. Raises CommandError without any.
    """
    model = base.live or _fitted(folder, period)
    symbols = {*daily["symbol"]}
    if isinstance(folder, HourlyFolder):
        rows = [at_hours(symbol, bars) for symbol, bars in folder.hours(through=None).items() if symbol in symbols]
    else:
        rows = [at_opens(symbol, bars) for symbol, bars in folder.histories(through=date.max) if symbol in symbols]
    found = live_forecasts(pd.concat(rows, ignore_index=True), daily, model)
    if found.empty:
        raise CommandError("The live model has no forecasts for the exchanges of these symbols; see manage.py fit_live.")
    return found


def _fitted(folder: PriceFolder | HourlyFolder, period: Period) -> LiveModel:
    hours = folder.hours(through=period.through) if isinstance(folder, HourlyFolder) else {}
    return fit_live(folder.histories(through=period.through), hours, registry.forecast_config())


def write(found: pd.DataFrame, path: Path, console: Console, *, with_times: bool) -> None:
    """Writes the quantiles of the close as traded as CSV, and prints the figures by time of day."""
    traded = found.assign(**{name: found[name] * found["traded"] for name in COLUMNS})
    traded = traded.assign(
        as_of=traded["as_of"].dt.strftime("%Y-%m-%d"), known_until=traded["known_until"].dt.strftime("%Y-%m-%dT%H:%M")
    )
    names = ["symbol", "as_of", *(["known_until"] if with_times else []), *COLUMNS]
    traded.sort_values(["symbol", "known_until"])[names].to_csv(path, index=False)
    console.print(f"{len(found):,} forecasts written to {path}")
    table = Table(title="By time of day, out of sample; the reference is the price now with the usual moves", title_justify="left")
    figures = by_time(found)
    for heading in ("", *figures.columns):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in as_lines(figures):
        table.add_row(name, *row)
    console.print(table)
