"""The training queue: request, claim, renew, finish and rescue trainings.

A training is a row first and a doorbell second: both commit together, so that neither exists without the other. Who works on a row
holds its `fence`; every later write asks for that fence, so that a process that was given up can change nothing any more.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Now
from django_q.models import OrmQ
from django_q.tasks import async_task

from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import MAX_ATTEMPTS, PRIORITIES, TrainingReason, TrainingState

CLUSTER = "training"
ROOM_LOCK = 0x524F4F4D
FAILURE_REST = timedelta(hours=1)  # after a failed or cancelled training only a person starts another one sooner
RETRY_PAUSES = (timedelta(seconds=5), timedelta(seconds=30))  # before the second and the third attempt

FULL = "the queue is full ({limit} waiting); try again later"

logger = logging.getLogger(__name__)


class QueueFullError(Exception):
    """As many trainings wait as TRAIN_QUEUE_LIMIT allows."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What stands between a symbol and its model: a version that serves, a training, or a reason why none was started."""

    symbol: Symbol
    version: ModelVersion | None
    training: Training | None
    started: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Requested:
    """What became of a request for several symbols: how many trainings started, were under way, found no room; all by symbol."""

    started: int
    under_way: int
    refused: int
    trainings: dict[int, Training]


def ensure_trained(tickers: Sequence[str], *, now: datetime) -> list[ModelStatus]:
    """Where each symbol stands; one without a model and without a training gets one. Constant number of queries."""
    symbols = Symbol.objects.all().ensure(tickers)
    # Trainings first: one that publishes between the two reads then shows as active or by its version, never as neither.
    newest = {each.symbol_id: each for each in Training.objects.of(symbols).select_related("symbol").newest_per_symbol()}
    versions = {version.symbol_id: version for version in ModelVersion.objects.active().of(symbols).select_related("symbol")}
    refusals = {symbol.pk: reason for symbol in symbols if (reason := _why_not(symbol, newest.get(symbol.pk), now=now))}
    missing = [
        symbol
        for symbol in symbols
        if symbol.pk not in versions and symbol.pk not in refusals and not (symbol.pk in newest and newest[symbol.pk].is_active)
    ]
    started = _request_in_room(missing, reason=TrainingReason.NEVER_TRAINED) if missing else {}
    refusals |= {symbol.pk: FULL.format(limit=settings.TRAIN_QUEUE_LIMIT) for symbol in missing if symbol.pk not in started}
    return [
        ModelStatus(
            symbol=symbol,
            version=versions.get(symbol.pk),
            training=started.get(symbol.pk) or _if_active(newest.get(symbol.pk)),
            started=symbol.pk in started,
            refusal=refusals.get(symbol.pk, ""),
        )
        for symbol in symbols
    ]


def request(symbols: Iterable[Symbol], *, reason: TrainingReason) -> dict[int, Training]:
    """One active training for each symbol, by the symbol's primary key: the one under way, its priority raised, or a new one.

    Rows and doorbells commit together.
    """
    wanted = sorted(symbols, key=lambda symbol: symbol.pk)  # in one order, else two requests could wait for each other
    if not wanted:
        return {}
    with transaction.atomic():
        active = _locked_active(wanted)
        while missing := [symbol for symbol in wanted if symbol.pk not in active]:  # again only where one ended meanwhile
            rows = [Training(symbol=symbol, reason=reason, priority=PRIORITIES[reason]) for symbol in missing]
            Training.objects.bulk_create(rows, ignore_conflicts=True)
            active |= _locked_active(missing)
        urgent = Training.objects.filter(pk__in=[each.pk for each in active.values()]).queued()
        urgent.filter(priority__lt=PRIORITIES[reason]).update(priority=PRIORITIES[reason], reason=reason)
        ring()
        trainings = {each.symbol_id: each for each in Training.objects.of(wanted).active().select_related("symbol")}
    for training in trainings.values():
        logger.info("training requested: %s", reason.label, extra=_about(training))
    return {key: training for key, training in trainings.items() if key is not None}


def request_base(*, reason: TrainingReason) -> Training:
    """The active training of the base model, or a new one, with its doorbell."""
    with transaction.atomic():
        Training.objects.bulk_create([Training(symbol=None, reason=reason, priority=PRIORITIES[reason])], ignore_conflicts=True)
        ring()
        training = Training.objects.active().filter(symbol=None).latest("created_at")
    logger.info("training requested: %s", reason.label, extra=_about(training))
    return training


def request_unless_resting(symbols: Iterable[Symbol], *, reason: TrainingReason, now: datetime) -> dict[int, Training]:
    """As `request`, but for symbols whose last training failed or was cancelled not long ago."""
    wanted = list(symbols)
    newest = {training.symbol_id: training for training in Training.objects.of(wanted).newest_per_symbol()}
    return request([each for each in wanted if not _why_not(each, newest.get(each.pk), now=now)], reason=reason)


def request_many(symbols: Iterable[Symbol]) -> Requested:
    """A person asks for trainings: those under way become urgent, new ones start as far as the queue has room."""
    wanted = list(symbols)
    under_way = set(Training.objects.active().of(wanted).values_list("symbol_id", flat=True))
    new = [symbol for symbol in wanted if symbol.pk not in under_way]
    trainings = request([symbol for symbol in wanted if symbol.pk in under_way], reason=TrainingReason.REQUESTED)
    started = _request_in_room(new, reason=TrainingReason.REQUESTED) if new else {}
    refused = len(new) - len(started)
    return Requested(started=len(started), under_way=len(under_way), refused=refused, trainings=trainings | started)


def request_one(ticker: str) -> Training:
    """A person asks for a training: the symbol's active one, its priority raised, or a new one. Raises QueueFullError."""
    (symbol,) = Symbol.objects.all().ensure([ticker])
    requested = request_many([symbol])
    if requested.refused:
        raise QueueFullError(FULL.format(limit=settings.TRAIN_QUEUE_LIMIT))
    return requested.trainings[symbol.pk]


def ring() -> None:
    """Rings for a trainer, which takes all that wait; it rings for the next trainer where more is due."""
    async_task("forecasting.tasks.drain_training_queue", cluster=CLUSTER)


def ring_if_unheard() -> None:
    """Rings where a training is due and no doorbell waits to be heard."""
    if Training.objects.claimable().exists() and not OrmQ.objects.filter(key=CLUSTER, lock__lte=Now()).exists():
        ring()


def claim(*, by: str = "", among: Iterable[int] | None = None) -> Training | None:
    """Takes the most urgent due training, of all or of those primary keys, before any work is done on it.

    Its fence and attempts are raised and a lease is granted, in one transaction; None where nothing is due. Where more is due
    than this one, another trainer is rung for.
    """
    due = Training.objects.claimable() if among is None else Training.objects.claimable().filter(pk__in=list(among))
    with transaction.atomic():
        training = due.select_for_update(skip_locked=True, of=("self",)).select_related("symbol").first()
        if training is None:
            return None
        Training.objects.filter(pk=training.pk).update(
            state=TrainingState.RUNNING,
            attempts=F("attempts") + 1,
            fence=F("fence") + 1,
            lease_expires_at=_lease(),
            claimed_by=by,
            started_at=Case(When(started_at__isnull=True, then=Now()), default=F("started_at")),
            stage="starting",
            progress=0.0,
        )
        training.refresh_from_db()
        ring_if_unheard()
    logger.info("training claimed, attempt %d of %d", training.attempts, MAX_ATTEMPTS, extra=_about(training))
    return training


def renew(training: Training) -> bool:
    """Extends the lease; False when the training is no longer ours."""
    return bool(_held(training).update(lease_expires_at=_lease()))


def report(training: Training, *, stage: str, fraction: float, epoch: int | None = None, epochs: int | None = None) -> bool:
    """Notes how far the work is and extends the lease; False when the training is no longer ours."""
    far = {"stage": stage, "progress": fraction, "epoch": epoch, "epochs": epochs}
    return bool(_held(training).update(**far, lease_expires_at=_lease()))


def retry(training: Training, *, error: str) -> None:
    """An attempt that may succeed another time has failed: back to the queue, or failed after the last attempt."""
    if training.attempts >= MAX_ATTEMPTS:
        fail(training, error=f"{error} ({MAX_ATTEMPTS} attempts)")
        return
    pause = RETRY_PAUSES[training.attempts - 1]
    with transaction.atomic():
        if not _requeue(training, not_before=Now() + pause, error=error):
            return
        ring()
    logger.warning("attempt %d failed, trying again: %s", training.attempts, error, extra=_about(training))


def fail(training: Training, *, error: str) -> None:
    """Ends a training that cannot succeed, with the reason."""
    if _held(training).update(state=TrainingState.FAILED, error=error, finished_at=Now(), lease_expires_at=None):
        logger.error("training failed: %s", error, extra=_about(training))


def release(training: Training) -> None:
    """Gives a training back unharmed, because its worker stops: the attempt is not counted."""
    with transaction.atomic():
        if not _requeue(training, not_before=Now(), attempts=F("attempts") - 1):
            return
        ring()
    logger.info("training back in the queue: its worker stops", extra=_about(training))


def cancel(training: Training, *, by: str) -> bool:
    """Ends an active training at a person's wish; False when it had ended already. A trainer at work on it is stopped."""
    cancelled = (
        Training.objects.active()
        .filter(pk=training.pk)
        .update(state=TrainingState.CANCELLED, finished_at=Now(), lease_expires_at=None)
    )
    if cancelled:
        logger.info("training cancelled by %s", by, extra=_about(training))
    return bool(cancelled)


def rescue() -> int:
    """Takes trainings back whose lease ran out, and rings where work waits unrung; returns how many were taken back."""
    return _take_back(Training.objects.expired(), error="The worker disappeared during the training.")


def take_back(*, claimed_by: str, error: str) -> int:
    """Takes back what a trainer held that is gone for certain, at once; the attempt is counted."""
    return _take_back(Training.objects.running().filter(claimed_by=claimed_by), error=error)


def release_all(*, claimed_by: str) -> None:
    """Gives back what a trainer held that was ended with its worker; the attempt is not counted."""
    for training in Training.objects.running().filter(claimed_by=claimed_by).select_related("symbol"):
        release(training)


def _take_back(lost: QuerySet[Training], *, error: str) -> int:
    with transaction.atomic():
        rows = list(lost.select_for_update(skip_locked=True, of=("self",)).select_related("symbol"))
        for training in rows:
            retry(training, error=error)
        ring_if_unheard()
    return len(rows)


def _requeue(training: Training, **values: object) -> int:
    work = {"stage": "", "progress": 0.0, "epoch": None, "epochs": None, "lease_expires_at": None, "claimed_by": ""}
    cleared = {"state": TrainingState.QUEUED} | work
    return _held(training).update(**(cleared | values))


def _held(training: Training) -> QuerySet[Training]:
    return Training.objects.held(training_id=training.pk, fence=training.fence)


def _lease() -> Any:
    """When a lease ends that is granted now, by the database's clock."""
    return Now() + timedelta(seconds=settings.LEASE_SECONDS)


def _locked_active(symbols: Iterable[Symbol]) -> dict[int | None, Training]:
    """The symbols' active trainings, by symbol, which cannot end until our transaction does."""
    rows = Training.objects.active().of(symbols).order_by("symbol_id").select_for_update(of=("self",))
    return {training.symbol_id: training for training in rows}


@transaction.atomic
def _request_in_room(symbols: Sequence[Symbol], *, reason: TrainingReason) -> dict[int, Training]:
    """Requests a training for as many of these, in their order, as the queue has room for; by the symbol's primary key.

    Trainings that nobody waits for, because the model is only old, take no room. Requests at the same moment go one after the
    other, else they would take the same room.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ROOM_LOCK])
    awaited = Training.objects.queued().filter(priority__gte=PRIORITIES[TrainingReason.NEVER_TRAINED])
    room = max(0, settings.TRAIN_QUEUE_LIMIT - awaited.count())
    return request(symbols[:room], reason=reason)


def _why_not(symbol: Symbol, newest: Training | None, *, now: datetime) -> str:
    """Why no training is started by itself: the symbol has no prices, or the last one failed, or was cancelled, not long ago."""
    if symbol.is_unknown(now=now):
        return symbol.upstream_reason
    if newest is None or newest.finished_at is None or now - newest.finished_at >= FAILURE_REST:
        return ""
    if newest.state == TrainingState.CANCELLED:
        return "the last one was cancelled"
    return newest.error.rstrip(".") if newest.state == TrainingState.FAILED else ""


def _if_active(training: Training | None) -> Training | None:
    return training if training and training.is_active else None


def _about(training: Training) -> dict[str, object]:
    """The fields of a log line."""
    return {"symbol": training.subject, "training": training.pk}
