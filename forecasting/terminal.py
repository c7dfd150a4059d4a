"""Terminal output: progress, forecasts and metrics. The input is the JSON of the API, so both show the same."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

QUARTER = 0.25  # without a progress bar, one line is printed per quarter of a training
PAGE_WIDTH = 120  # characters


def where_it_stands(training: Mapping[str, Any]) -> str:
    """Short status of an active training: its position in the queue, or its stage and epoch."""
    if training["state"] == "queued":
        wait = training["expected_wait"]
        why = f": {training['error']}" if training["error"] else ""
        return f"queued, position {training['position']}" + (f", about {wait} s" if wait is not None else "") + why
    epoch = f" {training['epoch']} of at most {training['epochs']}" if training["epoch"] is not None else ""
    return f"{training['stage']}{epoch}"


def console() -> Console:
    """The terminal; for a pipe or file, a page wide enough for every table."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=PAGE_WIDTH)


class TrainingProgress:
    """A progress bar per training at a terminal; occasional lines in a pipe or log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            TextColumn("{task.fields[stage]}"),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, int] = {}

    def __enter__(self) -> "TrainingProgress":
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def update(self, symbol: str, *, stage: str, fraction: float) -> None:
        """Shows the progress of a symbol's training."""
        if self._console.is_terminal:
            if symbol not in self._tasks:
                self._tasks[symbol] = self._bars.add_task(symbol, total=1.0, stage=stage)
            self._bars.update(self._tasks[symbol], completed=fraction, stage=stage)
            return
        quarter = int(fraction / QUARTER) if not stage.startswith("queued") else -1
        if self._printed.get(symbol) != quarter:
            self._printed[symbol] = quarter
            self._console.print(f"  {symbol}: {stage}, {fraction:.0%}")


def show_forecasts(page: Console, predictions: Mapping[str, Mapping[str, Any]], *, simulated: bool) -> None:
    """Prints the answers of `predict`: a table of the forecasts, and a line for each symbol without one."""
    table = _table("Forecasts of the next session's close", simulated=simulated)
    for heading in ("symbol", "last close", "forecast", "80 % interval", "for session", "P(up)", "by"):
        table.add_column(heading, justify="left" if heading == "symbol" else "right")
    forecasts = {symbol: answer for symbol, answer in predictions.items() if answer["status"] == "success"}
    for symbol, answer in forecasts.items():
        interval, stale = answer["interval"], ", newer prices are missing" if answer["stale"] else ""
        table.add_row(
            symbol,
            f"{answer['last_close']} {answer['currency']} ({answer['as_of']}{stale})",
            _point_forecast(answer),
            f"{interval['low']} to {interval['high']}",
            answer["target_date"],
            f"{answer['probability_up']:.0%}",
            "the base model" if answer["model"]["kind"] == "base" else f"version {answer['model']['version']}",
        )
    if forecasts:
        page.print(table)
    for symbol, answer in predictions.items():
        if symbol not in forecasts:
            where = f" ({where_it_stands(answer['training'])})" if answer.get("training") else ""
            page.print(f"{symbol}: {answer.get('message') or answer.get('error')}{where}")


def _point_forecast(answer: Mapping[str, Any]) -> str:
    if answer["point_forecast"] == "last_close":
        return f"{answer['predicted_price']} (the last close)"
    now = "now, " if answer["point_forecast"] == "price_now" else ""
    return f"{answer['predicted_price']} ({now}{answer['variation']['percentage']:+.2f} %)"


def told_session(answer: Mapping[str, Any]) -> str:
    """What a session under way changes in a forecast, in a few sentences."""
    if answer["status"] != "success":
        return "It cannot be forecast yet."
    if answer["basis"] != "live":
        return f"Its session is {answer['session']['state']}; {answer['price_problem'] or 'the price now is not used'}."
    before, now = ("{low} to {high}".format(**each["interval"]) for each in (answer["close_forecast"], answer))
    time, price = answer["price_time"][11:16], f"{answer['price_now']} {answer['currency']}"
    intervals = f"80 % interval of the next close: {before} before the session, {now} now."
    return f"At {time} UTC it costs {price}, after {answer['last_close']}. {intervals}"


def metrics_table(answers: Iterable[Mapping[str, Any]], *, simulated: bool) -> Table:
    """The answers of `metrics`, one row per symbol: the model's error and that of the naive forecast (the last close)."""
    table = _table("Out-of-sample error compared with the naive forecast (the last close)", simulated=simulated)
    for heading in ("symbol", "MAE", "naive MAE", "ratio", "80 % interval coverage", "test sessions", "trained in"):
        table.add_column(heading, justify="left" if heading == "symbol" else "right")
    for answer in answers:
        if "error" in answer:
            table.add_row(answer["symbol"], answer["error"])
            continue
        metrics = answer["metrics"]
        table.add_row(
            answer["symbol"],
            str(metrics["MAE"]),
            str(metrics["naive"]["MAE"]),
            f"{metrics['mase']:.3f}",
            f"{metrics['coverage_80']:.1%}",
            str(metrics["test_size"]),
            f"{metrics['training_duration']} s",
        )
    return table


def _table(title: str, *, simulated: bool) -> Table:
    return Table(title=title + (", SIMULATED prices" if simulated else ""), title_justify="left")
