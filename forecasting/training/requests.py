"""Requests for trainings: at most one active training per symbol, and the reasons why none is started."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from forecasting import tracing
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.locks import Lock, lock_until_commit
from forecasting.models.trainings import PRIORITIES, TrainingReason, TrainingState
from forecasting.prices.catalogue import is_simulated
from forecasting.prices.suggestions import spellings
from forecasting.training.queue import wake_worker

FAILURE_COOL_DOWN = timedelta(hours=1)  # after a failed or cancelled training; only a request to retrain starts the next one sooner

MOST_SUGGESTIONS = 3  # symbols that the message about an unknown one suggests

FULL = "the queue is full ({limit} waiting); try again later"

logger = logging.getLogger(__name__)


class QueueFullError(Exception):
    """The queue holds TRAIN_QUEUE_LIMIT trainings already."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A symbol's active version and active training, if any, and the reason why no training was started.

    `symbol` is not stored if it is only a name. Without version, training and refusal, the price source has not said yet whether
    it knows the name. `refused`: the refusal comes from the caller's budget.
    """

    symbol: Symbol
    version: ModelVersion | None = None
    training: Training | None = None
    started: bool = False
    refusal: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Requested:
    """Result of a request for several symbols: numbers of new, already active and refused trainings; all trainings by symbol."""

    started: int
    active: int
    refused: int
    trainings: dict[int, Training]


def ensure_trained(symbols: Sequence[Symbol], *, now: datetime, by: str = "") -> list[ModelStatus]:
    """Each symbol's status. A symbol with neither a model nor a training gets a training, which notes who asked (`by`).

    Constant number of queries.
    """
    # Trainings first: one that publishes between the two queries is then seen as active, or as a version, never as neither.
    newest = {each.symbol_id: each for each in Training.objects.of(symbols).select_related("symbol").newest_per_symbol()}
    versions = {version.symbol_id: version for version in ModelVersion.objects.active().of(symbols).select_related("symbol")}
    unknown = _unknown(symbols, now=now)
    for symbol in unknown:  # its queued training will fail, whoever requested it
        if symbol.pk in newest and newest[symbol.pk].state == TrainingState.QUEUED:
            del newest[symbol.pk]
    refusals = {symbol.pk: reason for symbol in symbols if (reason := _why_not(newest.get(symbol.pk), now=now))}
    refusals |= {symbol.pk: reason for symbol, reason in unknown.items()}
    missing = [
        symbol
        for symbol in symbols
        if symbol.pk not in versions and symbol.pk not in refusals and not (symbol.pk in newest and newest[symbol.pk].is_active)
    ]
    started = _request_within_limit(missing, reason=TrainingReason.NEVER_TRAINED, by=by) if missing else {}
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


def request(symbols: Iterable[Symbol], *, reason: TrainingReason, by: str = "") -> dict[int, Training]:
    """Ensures one active training per symbol; returns them by the symbol's primary key.

    An active training stays; a higher priority replaces its own, with its reason, who asked (`by`) and the request's id. Rows and
    the task that wakes a worker commit together.
    """
    wanted = sorted(symbols, key=lambda symbol: symbol.pk)  # always in the same order, to avoid deadlocks
    if not wanted:
        return {}
    why = {"reason": reason, "priority": PRIORITIES[reason], "requested_by": by, "request_id": tracing.request_id()}
    with transaction.atomic():
        active = _locked_active(wanted)
        is_new = len(active) < len(wanted)
        while missing := [symbol for symbol in wanted if symbol.pk not in active]:  # repeats only if one has ended meanwhile
            rows = [Training(symbol=symbol, **why) for symbol in missing]
            Training.objects.bulk_create(rows, ignore_conflicts=True)
            active |= _locked_active(missing)
        urgent = Training.objects.filter(pk__in=[each.pk for each in active.values()]).queued()
        if urgent.filter(priority__lt=PRIORITIES[reason]).update(**why) or is_new:
            wake_worker()  # the others have a task already: somebody who asks in a loop must not fill its table
        trainings = {each.symbol_id: each for each in Training.objects.of(wanted).active().select_related("symbol")}
    for training in trainings.values():
        logger.info("training requested: %s", reason.label, extra=training.log_fields)
    return {key: training for key, training in trainings.items() if key is not None}


def request_base(*, reason: TrainingReason) -> Training:
    """The active training of the base model, or a new one."""
    with transaction.atomic():
        Training.objects.bulk_create([Training(symbol=None, reason=reason, priority=PRIORITIES[reason])], ignore_conflicts=True)
        wake_worker()
        training = Training.objects.active().filter(symbol=None).latest("created_at")
    logger.info("training requested: %s", reason.label, extra=training.log_fields)
    return training


def request_unless_cooling_down(symbols: Iterable[Symbol], *, reason: TrainingReason, now: datetime) -> dict[int, Training]:
    """Like `request`, but skips symbols whose last training failed or was cancelled within FAILURE_COOL_DOWN."""
    wanted = list(symbols)
    newest = {training.symbol_id: training for training in Training.objects.of(wanted).newest_per_symbol()}
    return request([each for each in wanted if not _why_not(newest.get(each.pk), now=now)], reason=reason)


def request_many(symbols: Iterable[Symbol], *, reason: TrainingReason = TrainingReason.REQUESTED, by: str) -> Requested:
    """Requests trainings for a caller: active ones become more urgent, new ones start as long as the queue has room."""
    wanted = list(symbols)
    active = {each.symbol_id: each for each in Training.objects.active().of(wanted).select_related("symbol") if each.symbol_id}
    new = [symbol for symbol in wanted if symbol.pk not in active]
    # Those that need no change are not locked: somebody who asks in a loop must not slow down others.
    waiting = {key for key, each in active.items() if each.state == TrainingState.QUEUED and each.priority < PRIORITIES[reason]}
    trainings = active | request([symbol for symbol in wanted if symbol.pk in waiting], reason=reason, by=by)
    started = _request_within_limit(new, reason=reason, by=by) if new else {}
    refused = len(new) - len(started)
    return Requested(started=len(started), active=len(active), refused=refused, trainings=trainings | started)


def request_one(symbol: Symbol, *, reason: TrainingReason = TrainingReason.REQUESTED, by: str) -> Training:
    """Requests one training for a caller: the symbol's active one, or a new one. Raises QueueFullError."""
    requested = request_many([symbol], reason=reason, by=by)
    if requested.refused:
        raise QueueFullError(FULL.format(limit=settings.TRAIN_QUEUE_LIMIT))
    return requested.trainings[symbol.pk]


def with_suggestions(reasons: Mapping[str, str]) -> dict[str, str]:
    """By ticker, the price source's message about an unknown symbol, followed by what may be meant. One query if there are any."""
    if not reasons:
        return {}
    known = list(Symbol.objects.like(reasons).values_list("ticker", flat=True))
    return {ticker: reason + _suggestions(ticker, known) for ticker, reason in reasons.items()}


def _locked_active(symbols: Iterable[Symbol]) -> dict[int | None, Training]:
    """The symbols' active trainings, by symbol; locked, so that they cannot end before our transaction does."""
    rows = Training.objects.active().of(symbols).order_by("symbol_id").select_for_update(of=("self",))
    return {training.symbol_id: training for training in rows}


@transaction.atomic
def _request_within_limit(symbols: Sequence[Symbol], *, reason: TrainingReason, by: str = "") -> dict[int, Training]:
    """Requests trainings for as many of these, in their order, as TRAIN_QUEUE_LIMIT allows; by the symbol's primary key.

    For a first training, only first trainings and those of staff and keys count towards the limit. What is asked anonymously must
    fit beside them. A lock serialises concurrent requests: together they could exceed the limit.
    """
    lock_until_commit(Lock.ROOM)
    counted = min(PRIORITIES[reason], PRIORITIES[TrainingReason.NEVER_TRAINED])
    awaited = Training.objects.queued().filter(priority__gte=counted)
    room = max(0, settings.TRAIN_QUEUE_LIMIT - awaited.count())
    return request(symbols[:room], reason=reason, by=by)


def is_settled(newest: Training | None, *, now: datetime) -> bool:
    """Whether a symbol without a model gets no further training: one is active, or failed or was cancelled a short time ago."""
    if newest is None or newest.is_active:
        return newest is not None
    unsuccessful = newest.state in {TrainingState.FAILED, TrainingState.CANCELLED}
    return unsuccessful and newest.finished_at is not None and now - newest.finished_at < FAILURE_COOL_DOWN


def _unknown(symbols: Iterable[Symbol], *, now: datetime) -> dict[Symbol, str]:
    """Symbols without bars that the price source does not know, with its message and suggestions. Two queries if there are any."""
    unknown = [symbol for symbol in symbols if symbol.was_unknown(now=now)]
    if not unknown:
        return {}
    with_bars = set(Symbol.objects.filter(pk__in=[symbol.pk for symbol in unknown]).with_bars().values_list("pk", flat=True))
    without = {symbol.ticker: symbol for symbol in unknown if symbol.pk not in with_bars}
    reasons = with_suggestions({ticker: symbol.upstream_reason for ticker, symbol in without.items()})
    return {without[ticker]: reason for ticker, reason in reasons.items()}


def _suggestions(ticker: str, known: Iterable[str]) -> str:
    """Symbols with stored bars that may be meant, else other spellings, unless prices are simulated."""
    possible = spellings(ticker)
    stored = [other for other in known if other in possible or other.startswith(f"{ticker}.")]
    suggestions = stored or ([] if is_simulated(settings.PRICE_SOURCE) else possible)
    return f" (perhaps {' or '.join(suggestions[:MOST_SUGGESTIONS])})" if suggestions else ""


def _why_not(newest: Training | None, *, now: datetime) -> str:
    """Why no training starts automatically: the last one failed or was cancelled within FAILURE_COOL_DOWN."""
    if newest is None or newest.is_active or not is_settled(newest, now=now):
        return ""
    return "the last one was cancelled" if newest.state == TrainingState.CANCELLED else newest.error.rstrip(".")


def _if_active(training: Training | None) -> Training | None:
    return training if training and training.is_active else None
