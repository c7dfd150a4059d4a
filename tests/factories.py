"""Rows for tests: valid by default, with every column adjustable."""

import itertools
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from forecasting.models import (
    Finding,
    Forecast,
    ModelVersion,
    PriceBar,
    RequestedName,
    Restatement,
    Score,
    Symbol,
    Training,
    Upstream,
    WorkerProcess,
)
from forecasting.models.forecasts import Basis
from forecasting.models.names import REMEMBERED_FOR
from forecasting.models.restatements import RestatementReason
from forecasting.models.scores import ScoreReason
from forecasting.models.trainings import PRIORITIES, TrainingReason, TrainingState
from forecasting.models.upstream import BreakerState
from forecasting.models.versions import VersionState
from forecasting.models.workers import Beat
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.live import parts_of
from forecasting.prices.calendars import currency_of, exchange_of, last_completed_session, next_session, sessions
from forecasting.prices.findings import Rule, Verdict
from forecasting.training import queue as training_queue

METRICS: dict[str, Any] = {
    "MAE": 0.1234567,
    "RMSE": 0.2345678,
    "MAPE": 1.2345678,
    "R²": 0.9345678,
    "last_data_date": "2025-06-02",
    "training_duration": 12.3456,
    "training_data_size": 1000,
    "validation_data_size": 200,
    "test_size": 250,
    "naive": {"MAE": 0.1254567, "RMSE": 0.2325678, "MAPE": 1.2445678, "R²": 0.9355678},
    "mase": 0.9840598,
    "beats_naive_p": 0.3123456,
    "pinball_ratio": 0.9854321,
    "coverage_80": 0.8012345,
    "directional_accuracy": 0.5212345,
    "brier": 0.2487654,
}

AT_LAST_CLOSE: dict[str, Any] = METRICS | {
    **{name: METRICS["naive"][name] for name in METRICS["naive"]},
    "mase": 1.0,
    "beats_naive_p": None,
    "directional_accuracy": None,
    "median": {
        "weight": 0.0,
        "reason": "not significantly better than the last close on later validation days",
        "tried": 0.4312,
        "p": 0.3123,
        "p_by_exchange": {"BVMF": 0.62, "XNYS": 0.181},
    },
}

_folders = itertools.count(1)


def make_symbol(ticker: str = "SAMPLE1", **values: Any) -> Symbol:
    """A symbol with the exchange and currency of its ticker."""
    return Symbol.objects.create(**({"ticker": ticker, "exchange": exchange_of(ticker), "currency": currency_of(ticker)} | values))


def add_bars(symbol: Symbol, *, count: int = 30, end: date | None = None, seed: int = 7) -> list[PriceBar]:
    """The last `count` sessions up to `end` (default: the last completed one): a random walk around 100, ascending."""
    last = end or last_completed_session(symbol.calendar, now=timezone.now())
    days = sessions(symbol.calendar, first=last - timedelta(days=2 * count + 30), last=last)[-count:]
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, count)))
    return PriceBar.objects.bulk_create(
        PriceBar(symbol=symbol, date=day.date(), open=close, high=1.01 * close, low=0.99 * close, close=close, volume=1e6)
        for day, close in zip(days, closes.tolist(), strict=True)
    )


def add_bar(symbol: Symbol, day: date, close: float) -> PriceBar:
    """One bar whose prices all equal its close."""
    return PriceBar.objects.create(symbol=symbol, date=day, open=close, high=close, low=close, close=close, volume=1e6)


def make_restatement(symbol: Symbol, **values: Any) -> Restatement:
    """A 2:1 split that halved bars."""
    defaults: dict[str, Any] = {"reason": RestatementReason.SPLIT, "date": date(2025, 6, 2), "ratio": 0.5, "bars_changed": 1360}
    return Restatement.objects.create(symbol=symbol, **(defaults | values))


def make_name(ticker: str = "MADEUP", **values: Any) -> RequestedName:
    """A name that the price source has not answered about."""
    now = timezone.now()
    defaults: dict[str, Any] = {"source": settings.PRICE_SOURCE, "asked_at": now, "expires_at": now + REMEMBERED_FOR}
    return RequestedName.objects.create(ticker=ticker, **(defaults | values))


def make_upstream(**values: Any) -> Upstream:
    """Yahoo's state. A pause began a minute ago and lasts 14 more minutes, by the database's clock."""
    fitting: dict[str, Any] = {"source": "yahoo"}
    if values.get("state", BreakerState.CLOSED) != BreakerState.CLOSED:
        fitting |= {"opened_at": Now() - timedelta(minutes=1), "open_until": Now() + timedelta(minutes=14), "opens": 1}
    upstream = Upstream.objects.create(**(fitting | values))
    upstream.refresh_from_db()
    return upstream


def make_training(symbol: Symbol | None, **values: Any) -> Training:
    """A queued training requested by a person. Lease, times and error follow from the given state."""
    now = timezone.now()
    state = values.get("state", TrainingState.QUEUED)
    reason = values.get("reason", TrainingReason.REQUESTED)
    fitting: dict[str, Any] = {"reason": reason, "priority": PRIORITIES[reason]}
    if state != TrainingState.QUEUED:
        fitting |= {"started_at": now - timedelta(seconds=30), "attempts": 1, "fence": 1}
    if state == TrainingState.RUNNING:
        fitting |= {"lease_expires_at": now + timedelta(minutes=1)}
    elif state != TrainingState.QUEUED:
        fitting |= {"finished_at": now}
    if state == TrainingState.FAILED:
        fitting |= {"error": "The price source does not know this symbol."}
    return Training.objects.create(symbol=symbol, **(fitting | values))


def make_worker(*, seen_s: float = 0.0) -> None:
    """A worker of this machine and its two clusters, last seen `seen_s` seconds ago by the database's clock."""
    parts = ("", "short", "training")
    WorkerProcess.objects.all().record(Beat(part, 100 + number, 3600.0, seen_s) for number, part in enumerate(parts))


def make_finding(symbol: Symbol, **values: Any) -> Finding:
    """A finding of a phantom bar on a holiday, which was left out."""
    defaults: dict[str, Any] = {
        "rule": Rule.PHANTOM.value,
        "verdict": Verdict.REPAIRED.value,
        "date": date(2024, 12, 25),
        "value": 100.0,
        "text": "2024-12-25 was not a session; its bar repeats 100 without volume; dropped",
    }
    return Finding.objects.create(symbol=symbol, **(defaults | values))


def make_claimed(symbol: Symbol | None, **values: Any) -> Training:
    """A running training; the test holds its fence like a trainer."""
    training = training_queue.claim(among=[make_training(symbol, **values).pk])
    assert training
    return training


def make_version(symbol: Symbol | None, **values: Any) -> ModelVersion:
    """An active version with complete metrics. Its files exist only in the row. `number` must be unused."""
    defaults: dict[str, Any] = {
        "number": 1,
        "state": VersionState.ACTIVE,
        "decision": "First version.",
        "config": ForecastConfig().to_dict(),
        "metrics": METRICS,
        "data_start": date(2020, 1, 2),
        "data_end": date(2025, 6, 2),
        "bar_count": 1360,
        "folder": f"{next(_folders)}-of-a-test",
        "files": {name: {"sha256": "ab" * 32, "size": 24_576} for name in ("model.onnx", *(() if symbol else ("trees.onnx",)))},
    }
    return ModelVersion.objects.create(symbol=symbol, **(defaults | values))


def make_forecast(version: ModelVersion, as_of: date, **values: Any) -> Forecast:
    """A forecast of the session after `as_of`: last close 100, forecast 101, 80 % between 99 and 103.

    Given an `actual_close`, it is scored.
    """
    symbol = values.pop("symbol", version.symbol)
    defaults: dict[str, Any] = {
        "target_date": next_session(symbol.calendar, after=as_of),
        "last_close": 100.0,
        "price": 101.0,
        "quantiles": {"0.05": 98.0, "0.1": 99.0, "0.25": 100.0, "0.5": 101.0, "0.75": 102.0, "0.9": 103.0, "0.95": 104.0},
        "interval_level": 0.8,
        "interval_low": 99.0,
        "interval_high": 103.0,
        "probability_up": 0.75,
    }
    actual = values.pop("actual_close", None)
    forecast = Forecast.objects.create(symbol=symbol, version=version, as_of=as_of, **(defaults | values))
    if actual is not None:
        make_score(forecast, actual)
    return forecast


def make_live_forecast(version: ModelVersion, as_of: date, *, hour: int, fraction: float, **values: Any) -> Forecast:
    """A forecast so many hours after the session after `as_of` has opened, at 13:00 UTC; it closes at 21:00."""
    assert version.symbol
    day = datetime.combine(next_session(version.symbol.calendar, after=as_of), time(13), tzinfo=UTC)
    issued_at = day + timedelta(hours=hour)
    known: dict[str, Any] = {"basis": Basis.LIVE, "price_now": 101.0, "session_fraction": fraction, "quote": {}}
    hours = {"known_until": issued_at, "quarter": issued_at, "target_opens": day, "target_closes": day + timedelta(hours=8)}
    return make_forecast(version, as_of, **(known | hours | {"issued_at": issued_at} | values))


def make_score(forecast: Forecast, actual_close: float, **values: Any) -> Score:
    """The first score of a forecast, made after its session closed."""
    defaults: dict[str, Any] = {
        "symbol": forecast.symbol,
        "version": forecast.version,
        "actual_date": forecast.target_date,
        "absolute_error": abs(actual_close - forecast.price),
        "naive_absolute_error": abs(actual_close - forecast.last_close),
        "inside_interval": forecast.interval_low <= actual_close <= forecast.interval_high,
        "horizon": forecast.horizon,
        "basis": forecast.basis,
        "part": None if forecast.session_fraction is None else int(parts_of(np.array([forecast.session_fraction]))[0]),
        "reason": ScoreReason.FIRST,
        "scored_at": datetime.combine(forecast.target_date, datetime.min.time(), tzinfo=UTC) + timedelta(days=1),
    }
    return Score.objects.create(forecast=forecast, actual_close=actual_close, **(defaults | values))
