"""Looks up names that are no symbols yet. A name becomes a symbol once the price source has answered with prices.

A request asks about a name once. If no answer comes in time, the name waits in a bounded table, and a background task asks again.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction
from django_q.tasks import async_task

from forecasting.market import upstream
from forecasting.market.quotes import keep
from forecasting.market.rate_limit import pause_between_requests
from forecasting.market.syncing import SYNC_SECONDS, first_question, kept, retrying
from forecasting.market.upstream import Answer, Question
from forecasting.models import RequestedName, Symbol
from forecasting.models.locks import Lock, lock_if_free, lock_names, wait_for_names
from forecasting.prices import bars as contract
from forecasting.prices.sources import (
    BadDataError,
    PausedError,
    PriceHistory,
    PriceSourceError,
    RateLimitedError,
    UnknownSymbolError,
    UpstreamUnavailableError,
)
from forecasting.training.requests import with_suggestions

Admit = Callable[[Sequence[str]], Mapping[str, str]]  # names never seen before -> by name, the reasons why some are refused

NO_ANSWERS = (UpstreamUnavailableError, RateLimitedError, type(None))  # after these it is unknown whether the symbol exists
NO_ANSWER = "the price source has not answered in time; try again later"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NoSymbol:
    """Why a name is no symbol. `refused`: by the caller's budget. Without a reason, the price source has not answered yet."""

    reason: str = ""
    refused: bool = False


def admit_all(names: Sequence[str]) -> Mapping[str, str]:
    """No budget."""
    return {}


def look_up(names: Sequence[str], *, now: datetime, budget_s: float, admit: Admit = admit_all) -> dict[str, NoSymbol]:
    """Looks up names that are no symbols, for at most `budget_s` seconds. Returns, by name, why each one still is none.

    Only names never seen before are asked for, if `admit` does not refuse them. A source on this machine is always asked, because
    a file may be new. Waits for names that another process is looking up. If another request of this process waits for a remote
    source, nothing is waited for.
    """
    if not names:
        return {}
    met = {row.ticker for row in RequestedName.objects.named(names).remembered(now=now)}
    new = [name for name in names if name not in met]
    refusals = admit(new) if new else {}
    wanted = [name for name in names if name not in refusals]
    with upstream.deadline(budget_s) as ends:
        answers = _asked_first([name for name in wanted if name in new or not upstream.is_remote()], now=now, ends=ends)
        wait_for_names([name for name in wanted if name not in answers], ends=ends)
    reasons = _reasons(wanted, answers, now=now)
    return {name: NoSymbol(refusals[name], refused=True) if name in refusals else NoSymbol(reasons[name]) for name in names}


def enlist(name: str, *, now: datetime) -> int:
    """Makes a name a symbol at the request of a person at a terminal; returns the number of bars written.

    Transient errors are retried for at most SYNC_SECONDS. Raises PriceSourceError.
    """
    ends = time.monotonic() + SYNC_SECONDS
    return retrying(ends)(_enlist_once, name, now=now, ends=ends)


def look_up_awaited(*, now: datetime, seconds: float) -> int:
    """Looks up the names without an answer one by one, for about `seconds`; returns how many answers came.

    One process does so at a time. It leaves at least every second request of the rate limit to others, and ends if the source
    refuses.
    """
    ends, answered = time.monotonic() + seconds, 0
    with lock_if_free(Lock.NAMES) as mine:
        names = RequestedName.objects.awaited(now=now).values_list("ticker", flat=True) if mine else ()
        for name in names:
            if time.monotonic() > ends:
                break
            with lock_names([name]) as free:
                pass  # released at once, so that no request waits for the background
            outcome = _asked(free, now=now, seconds=SYNC_SECONDS).get(name)
            if isinstance(outcome, RateLimitedError | PausedError):
                break
            answered += not isinstance(outcome, NO_ANSWERS)
            time.sleep(2 * pause_between_requests().total_seconds())
    return answered


def _asked_first(names: Sequence[str], *, now: datetime, ends: float) -> dict[str, int | PriceSourceError]:
    """Asks about those names that no other request is asking about. If answers are missing, a background task will ask again."""
    if not names:
        return {}
    with lock_names(names) as mine:
        listed = Symbol.objects.all().by_ticker(mine)  # another request may have stored them before we got the locks
        new = RequestedName.objects.remember([name for name in mine if name not in listed], now=now)
        to_ask = new if upstream.is_remote() else [name for name in mine if name not in listed]
        answers = _asked(to_ask, now=now, seconds=ends - time.monotonic())
    late = [name for name in new if isinstance(answers.get(name), NO_ANSWERS)]
    if late and not RequestedName.objects.awaited(now=now).exclude(ticker__in=late).exists():
        async_task("forecasting.background.tasks.look_up_names")  # names that have waited longer are looked up by a schedule
    return answers


def _asked(names: Sequence[str], *, now: datetime, seconds: float) -> dict[str, int | PriceSourceError]:
    """Asks the price source about names, and stores its answers; by name, the number of bars written or the error."""
    RequestedName.objects.named(names).update(asked_at=now)
    nothing = contract.empty()
    questions = deque(first_question(Symbol(ticker=name), nothing, now=now) for name in names)
    answers = {
        question.symbol.ticker: _stored(question, answer, now=now)
        for question, answer in upstream.answers(questions, seconds=seconds)
    }
    unknown = {name: answer.reason for name, answer in answers.items() if isinstance(answer, UnknownSymbolError)}
    RequestedName.objects.note_unknown(unknown, now=now)  # together: each commit waits for the disk
    return answers


def _stored(question: Question, answer: Answer, *, now: datetime) -> int | PriceSourceError:
    """Makes the name a symbol if the source knows it, even if the quality gate refuses its prices."""
    name = question.symbol.ticker
    if isinstance(answer, PriceHistory | BadDataError):
        with transaction.atomic():
            (symbol,) = Symbol.objects.all().ensure([name])
            outcome = kept(replace(question, symbol=symbol), answer, now=now)
            if isinstance(answer, PriceHistory) and answer.quote:
                keep({symbol: answer}, now=now)
            return outcome
    if not isinstance(answer, UnknownSymbolError | PausedError):
        logger.warning("name not looked up: %s", answer, extra={"symbol": name})
    return answer


def _enlist_once(name: str, *, now: datetime, ends: float) -> int:
    """One attempt; see `enlist`."""
    outcome = _asked([name], now=now, seconds=ends - time.monotonic()).get(name, UpstreamUnavailableError(name, NO_ANSWER))
    if isinstance(outcome, PriceSourceError):
        raise outcome
    return outcome


def _reasons(names: Sequence[str], answers: Mapping[str, int | PriceSourceError], *, now: datetime) -> dict[str, str]:
    """By name, what the price source said about it, with suggestions; empty if it has not answered."""
    remembered = {row.ticker: row.reason for row in RequestedName.objects.named(names).remembered(now=now)}
    said = {name: answer.reason for name, answer in answers.items() if isinstance(answer, UnknownSymbolError)}
    reasons = dict.fromkeys(names, "") | remembered | said
    return reasons | with_suggestions({name: reason for name, reason in reasons.items() if reason})
