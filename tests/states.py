"""States of a service for pictures and checks of its pages: `empty`, `idle`, `full` and `failing`, each made from the one before.

Between `empty` and `idle` comes a past (see tests/seeding.py). What a simulation never has is written as rows here.
"""

import itertools
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from forecasting import registry, scoring
from forecasting.models import Delivery, JobRun, Key, ModelVersion, Symbol, Training, Upstream, Webhook, WorkerProcess
from forecasting.models.jobs import JobState
from forecasting.models.restatements import RestatementReason
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.models.upstream import BreakerState
from forecasting.models.webhooks import DeliveryState
from forecasting.prices.findings import Rule, Verdict
from forecasting.training import queue as training_queue
from tests.admin_pages import add_task, page
from tests.factories import (
    add_bars,
    make_finding,
    make_forecast,
    make_name,
    make_restatement,
    make_symbol,
    make_training,
    make_upstream,
    make_version,
    make_worker,
)

STAFF = "ana"
MISSED = "SAMPLE98"  # a symbol whose intervals are far too narrow
STEPPED = "2024-12-25 closed 31 % below the session before, and stayed there; kept"
CHANGED = "12 bars changed by more than 20 % within a sync; the stored ones are kept"
REFUSED = "Yahoo Finance answered 429 (too many requests)"
STOPPED = "The trainer was stopped, because it used more than 3000 MB. (3 attempts)"


def empty() -> None:
    """A new service: STAFF may log in, nothing else. The password is Django's variable for that, if it is set."""
    User.objects.create_superuser(STAFF, password=os.environ.get("DJANGO_SUPERUSER_PASSWORD"))


def idle() -> None:
    """All is well, and nothing runs."""
    make_worker(seen_s=-3600)  # pictures take minutes


@transaction.atomic
def full() -> None:
    """A working day: trainings run and wait, some have failed; findings, restatements, webhooks, names, keys."""
    first, second, *others = Symbol.objects.followed().with_bars().order_by("pk")
    _trainings(others)
    _staff().post(page(Symbol, "changelist"), {"action": "retrain", "_selected_action": [first.pk, second.pk]})
    running = training_queue.claim(by="training 101 on this machine")
    assert running
    training_queue.report(running, stage="fit", fraction=0.42, epoch=9, epochs=40)
    Training.objects.filter(pk=running.pk).update(lease_expires_at=timezone.now() + timedelta(hours=1))
    make_finding(first)
    make_finding(second, rule=Rule.STEP.value, verdict=Verdict.NOTED.value, text=STEPPED)
    make_finding(others[0], verdict=Verdict.REFUSED.value, date=None, text=CHANGED)
    make_restatement(first, date=timezone.localdate() - timedelta(days=40))
    make_restatement(second, reason=RestatementReason.DIVIDEND, date=timezone.localdate() - timedelta(days=20), ratio=0.9871)
    make_name("APPL", reason="No such symbol. Did you mean AAPL?")
    make_name("PETR5.SA")
    Key.objects.create_key(name="spreadsheet of the desk")
    _deliveries(first)
    make_upstream(last_success_at=timezone.now() - timedelta(minutes=3))
    add_task(success=True)
    add_task(success=False, result="OperationalError : the connection was lost")


@transaction.atomic
def failing() -> None:
    """Everything has gone wrong for hours."""
    now, hour = timezone.now(), timedelta(hours=1)
    WorkerProcess.objects.update(seen_at=now - 3.3 * hour)
    pause = {"opened_at": now - hour / 6, "open_until": now + hour, "last_success_at": now - 9 * hour}
    Upstream.objects.update(state=BreakerState.OPEN, reason=REFUSED, failures=9, opens=4, **pause)
    symbols = list(Symbol.objects.followed().with_bars().order_by("pk"))
    for symbol in symbols[1:]:
        ended = {"error": STOPPED, "attempts": 3, "started_at": now - 2.1 * hour, "finished_at": now - 2 * hour}
        make_training(symbol, state=TrainingState.FAILED, **ended)
    Training.objects.active().update(not_before=now - 3 * hour, created_at=now - 3 * hour)
    Training.objects.running().update(lease_expires_at=now - 3 * hour)
    Symbol.objects.exclude(pk=symbols[0].pk).update(upstream_state=UpstreamState.UNAVAILABLE, upstream_reason=REFUSED)
    _jobs(len(symbols))
    _damage(symbols[0])
    _miss()


def _staff() -> Client:
    """A browser of a member of staff, who is logged in."""
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get(username=STAFF), backend="django.contrib.auth.backends.ModelBackend")
    return client


def _trainings(symbols: list[Symbol]) -> None:
    now, (first, second, *_) = timezone.now(), symbols
    hour = timedelta(hours=1)
    for symbol, ago, error in ((first, 5, STOPPED), (second, 30, "Only 412 bars, 490 are needed.")):
        began = now - ago * hour
        make_training(symbol, state=TrainingState.FAILED, error=error, started_at=began, finished_at=began + hour / 60, attempts=3)
    make_training(first, state=TrainingState.CANCELLED, started_at=now - 3 * hour, finished_at=now - 3 * hour + hour / 90)
    make_training(
        second,
        reason=TrainingReason.PERFORMANCE_LOST,
        figures="Version 1: in 48 sessions its quantile loss was 1.35 times that of its backtest (Page's test: 4.71, limit 4.60).",
    )


def _deliveries(symbol: Symbol) -> None:
    now = timezone.now()
    hook = Webhook.objects.create(url="https://example.org/hook", events=["training.ended", "forecast.scored"], failures=2)
    training = Training.objects.of([symbol]).first()
    assert training
    ended = {"webhook": hook, "event": "training.ended", "object_id": training.pk, "ended_at": now}
    Delivery.objects.create(**ended, state=DeliveryState.DELIVERED, attempts=1, status_code=204)
    Delivery.objects.create(**ended, state=DeliveryState.FAILED, attempts=8, status_code=503, error="The receiver answered 503.")
    Delivery.objects.create(webhook=hook, event="forecast.scored", object_id=1)


def _jobs(symbols: int) -> None:
    """Today's run is incomplete, yesterday's failed."""
    today, report = timezone.localdate(), {"symbols": 2, "untried": symbols - 2, "not_synced": {}, "not_tried": {}, "scored": 0}
    states = {0: (JobState.INCOMPLETE, REFUSED), 1: (JobState.FAILED, "OperationalError: the connection was lost")}
    for ago, (state, error) in states.items():
        values = {"state": state, "error": error, "report": report, "finished_at": timezone.now() - timedelta(days=ago)}
        JobRun.objects.update_or_create(job="daily", date=today - timedelta(days=ago), defaults=values)


def _damage(symbol: Symbol) -> None:
    """The files of the symbol's active version are found damaged."""
    version = ModelVersion.objects.active().get(symbol=symbol)
    file = registry.models_root() / version.folder / "model.onnx"
    file.write_bytes(file.read_bytes()[:1000])
    registry.replace_damaged(version, problem="model.onnx has 1,000 bytes instead of those that were published")


def _miss() -> None:
    """A symbol of which about two thirds of the closes lie outside the interval."""
    symbol = make_symbol(MISSED, followed=True)
    bars, version = add_bars(symbol, count=61), make_version(symbol)
    for before, bar in itertools.pairwise(bars):
        make_forecast(
            version,
            before.date,
            target_date=bar.date,
            last_close=before.close,
            price=before.close,
            quantiles=_around(before.close, width=0.004),
            reference=_around(before.close, width=0.013),
            interval_low=before.close * 0.996,
            interval_high=before.close * 1.004,
            simulated=True,
        )
    scoring.score_due([symbol])


def _around(price: float, *, width: float) -> dict[str, float]:
    """Quantiles around the price; the interval of 80 % has half this width, relative to the price."""
    steps = {"0.05": -1.3, "0.1": -1.0, "0.25": -0.5, "0.5": 0.0, "0.75": 0.5, "0.9": 1.0, "0.95": 1.3}
    return {level: price * (1 + step * width) for level, step in steps.items()}


STATES: dict[str, Callable[[], None]] = {"empty": empty, "idle": idle, "full": full, "failing": failing}


def reach(state: str, *, past: Callable[[], None]) -> None:
    """Makes the steps from the database's state to this one. `past`: comes before `idle`."""
    steps = [empty, past, idle, full, failing]
    signs: tuple[QuerySet[Any], ...] = (
        User.objects.all(),
        Symbol.objects.all(),
        WorkerProcess.objects.all(),
        Webhook.objects.all(),
    )
    done = [*(rows.exists() for rows in signs), Symbol.objects.named([MISSED]).exists()]
    last = steps.index(STATES[state])
    for step, there in zip(steps[: last + 1], done, strict=False):
        if not there:
            step()
