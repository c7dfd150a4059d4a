"""Two versions of a symbol side by side: metrics, and both backtests on the sessions that they have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from django.http import QueryDict
from django.utils.safestring import SafeString

from forecasting import registry
from forecasting.admin import display, svg
from forecasting.models import ModelVersion, Symbol
from forecasting.pipeline.evaluation.drift import paired_losses
from forecasting.pipeline.evaluation.quantiles import levels_of, quantile_columns
from forecasting.pipeline.serving.verified import ArtifactError

SMOOTHED = 20  # sessions of the mean in the picture
FEWEST = 2 * SMOOTHED  # common sessions for a picture


@dataclass(frozen=True, slots=True)
class Comparison:
    """The form, and the tables if two versions are chosen."""

    versions: Sequence[ModelVersion]
    first: ModelVersion | None
    second: ModelVersion | None
    parts: Sequence[tuple[str, SafeString]] = ()


def comparison(symbol: Symbol, query: QueryDict) -> Comparison:
    """The comparison of the versions with the numbers `first` and `second`; without them, a form that suggests the newest two.

    The files of versions are read only for a chosen pair. One query.
    """
    versions = list(ModelVersion.objects.of([symbol]).with_live_record().select_related("symbol").order_by("-number"))
    by_number = {str(version.number): version for version in versions}
    first, second = (by_number.get(query.get(name, "")) for name in ("first", "second"))
    if first and second:
        return Comparison(versions, first, second, [("Metrics", _metrics(first, second)), *_on_common_sessions(first, second)])
    suggested = (*versions[1::-1], None, None)
    return Comparison(versions, suggested[0], suggested[1])


def _metrics(*versions: ModelVersion) -> SafeString:
    """Metrics of the tests, which may be of different sessions, and the live records."""

    def row(name: str, of: Callable[[ModelVersion], str]) -> Sequence[str]:
        return (name, *(of(version) for version in versions))

    def metric(name: str, places: int = 4) -> Callable[[ModelVersion], str]:
        return lambda version: display.figure(version.metrics.get(name), places=places)

    return display.table(
        ("", *(display.link(ModelVersion, version.pk, str(version)) for version in versions)),
        [
            row("State", lambda version: version.state),
            row("Decision", lambda version: display.sentence(version.decision)),
            row("Trained", lambda version: display.day(version.trained_at)),
            row("Bars", lambda version: f"{version.bar_count:,} to {display.day(version.data_end)}"),
            row("Test: error relative to naive (MASE)", metric("mase")),
            row("Test: quantile loss relative to past returns", metric("pinball_ratio")),
            row("Test: inside the 80 % interval", metric("coverage_80", 3)),
            row("Live: scored", lambda version: _live(version.live, lambda live: f"{live['forecasts']:,}")),
            row("Live: inside the 80 % interval", lambda version: _live(version.live, lambda live: f"{live['coverage']:.3f}")),
            row("Live: error relative to naive", lambda version: _live(version.live, _mase)),
        ],
    )


def _live(record: Mapping[str, Any] | None, of: Callable[[Mapping[str, Any]], str]) -> str:
    return of(record) if record else display.NOTHING


def _mase(live: Mapping[str, Any]) -> str:
    return display.ratio(live["mae"], live["naive_mae"])


def _on_common_sessions(first: ModelVersion, second: ModelVersion) -> list[tuple[str, SafeString]]:
    """Quantile loss and reliability of both out-of-sample backtests where they overlap."""
    title = "Common sessions of both tests"
    try:
        backtests = [registry.load_backtest(version) for version in (first, second)]
    except ArtifactError as error:
        return [(title, display.sentence(f"Cannot be compared: {error}"))]
    losses = paired_losses(*backtests)
    if len(losses) < FEWEST:
        return [(title, display.sentence(f"Cannot be compared: {len(losses)} sessions, at least {FEWEST} are needed."))]
    smooth = losses.rolling(SMOOTHED).mean().dropna()
    names = (f"v{first.number}", f"v{second.number}")
    curves = {name: smooth[column].tolist() for name, column in zip(names, ("first", "second"), strict=True)}
    label = f"Quantile loss on {len(losses)} sessions, mean of {SMOOTHED}"
    means = [display.figure(losses[each].mean(), places=6) for each in ("first", "second")]
    shown = svg.lines(curves, label=label) + display.table(("", *names), [("Mean", *means)])
    return [(title, shown), ("Reliability on them", _reliability(names, backtests))]


def _reliability(names: Sequence[str], backtests: Sequence[pd.DataFrame]) -> SafeString:
    """How often the close was below each quantile, on the common sessions."""
    common = set(backtests[0]["as_of"]) & set(backtests[1]["as_of"])
    shared = [each[each["as_of"].isin(common)] for each in backtests]
    columns = quantile_columns(backtests[0])
    rows = [
        (f"{level:.0%}", *(display.percent(100 * (each["actual_close"] <= each[column]).mean()) for each in shared))
        for column, level in zip(columns, levels_of(columns), strict=True)
    ]
    return display.table(("promised below", *names), rows)
