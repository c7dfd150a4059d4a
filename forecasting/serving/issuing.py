"""Issues forecasts by the version that serves each symbol, and by another one if its files are damaged."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forecasting import ledger, registry, scoring
from forecasting.leads import Known
from forecasting.models import Forecast, ModelVersion, Symbol
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.verified import ArtifactError, OutOfReachError

DAMAGED = "The model's files cannot be used: {problem}"

_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Damaged:
    """A version whose files cannot be used, and why."""

    version: ModelVersion
    problem: ArtifactError


def serve(serving: Mapping[Symbol, ModelVersion], *, replaces: bool = True) -> tuple[dict[Symbol, Forecast], dict[Symbol, str]]:
    """Each symbol's forecast by its version from its newest bar, new or existing, and the errors, both by symbol.

    If a version's files are out of reach, the base forecasts instead. So does the previous good version or the base if they are
    damaged; without `replaces`, that is an error.
    """
    forecasts, errors, unusable = issue_missing(serving)
    damaged = {symbol: each for symbol, each in unusable.items() if not (replaces or isinstance(each.problem, OutOfReachError))}
    errors |= {symbol: DAMAGED.format(problem=each.problem) for symbol, each in damaged.items()}
    instead, unserved = _replaced({symbol: each for symbol, each in unusable.items() if symbol not in damaged})
    others, more_errors = serve(instead, replaces=replaces) if instead else ({}, {})
    return forecasts | others, errors | unserved | more_errors


def serve_with_leads(symbols: Sequence[Symbol], known: Mapping[str, Known]) -> int:
    """Issues forecasts of these symbols that know leads, beside those that do not; returns the number of the former.

    `known`: by exchange.
    """
    own = {version.symbol_id: version for version in ModelVersion.objects.active().of(symbols)}
    serving = serving_versions({symbol: own.get(symbol.pk) for symbol in symbols})
    forecasts, _ = serve(serving)
    serving = {symbol: forecast.version for symbol, forecast in forecasts.items()}  # without those that have just been replaced
    models, _ = _load(serving)
    return ledger.issue_with_leads(models, serving, known)


def issue_missing(
    serving: Mapping[Symbol, ModelVersion],
) -> tuple[dict[Symbol, Forecast], dict[Symbol, str], dict[Symbol, Damaged]]:
    """Each symbol's forecast by its version, new or existing; the errors; the versions with unusable files.

    Of a process, one thread at a time makes forecasts: after a new bar, all would make the same ones.
    """
    forecasts = ledger.issued(serving)
    if not (missing := _without(forecasts, serving)):
        return forecasts, {}, {}
    with _making:
        forecasts |= ledger.issued(missing)  # those of another thread
        if not (missing := _without(forecasts, missing)):
            return forecasts, {}, {}
        models, unusable = _load(missing)
        scoring.score_due(models)  # the new scores decide the width of the new intervals
        new, errors = ledger.issue(models, missing)
    return forecasts | new, errors, unusable


def serving_versions(own: Mapping[Symbol, ModelVersion | None]) -> dict[Symbol, ModelVersion]:
    """The version that serves each symbol: its own, else the base. Symbols without either are missing."""
    base = registry.base_version() if not all(own.values()) else None
    return {symbol: version for symbol, mine in own.items() if (version := mine or base)}


def _without(forecasts: Mapping[Symbol, Forecast], serving: Mapping[Symbol, ModelVersion]) -> dict[Symbol, ModelVersion]:
    return {symbol: version for symbol, version in serving.items() if symbol not in forecasts}


def _load(serving: Mapping[Symbol, ModelVersion]) -> tuple[dict[Symbol, Forecaster], dict[Symbol, Damaged]]:
    """The loaded models, and the versions with unusable files."""
    models: dict[Symbol, Forecaster] = {}
    unusable: dict[Symbol, Damaged] = {}
    for symbol, version in serving.items():
        try:
            models[symbol] = registry.load_forecaster(version)
        except ArtifactError as error:
            unusable[symbol] = Damaged(version, error)
    return models, unusable


def _replaced(unusable: Mapping[Symbol, Damaged]) -> tuple[dict[Symbol, ModelVersion], dict[Symbol, str]]:
    """The replacement version of each symbol, and the errors of symbols without one. Each version is replaced once."""
    first_of = {damaged.version: damaged for damaged in unusable.values()}
    instead = {version: registry.replacement(version, problem=damaged.problem) for version, damaged in first_of.items()}
    replaced = {symbol: other for symbol, damaged in unusable.items() if (other := instead[damaged.version])}
    errors = {symbol: DAMAGED.format(problem=damaged.problem) for symbol, damaged in unusable.items() if symbol not in replaced}
    return replaced, errors
