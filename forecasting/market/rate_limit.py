"""Rate limit and circuit breaker for a remote price source, shared by all processes and machines.

All state is one row of Postgres: pace, leases of requests in flight, and breaker. Single statements update it, on the database's
clock.

The breaker opens at once if the source limits our rate, and after FAILURES_TO_OPEN failed requests in a row. While it is open, no
request is sent. Then one request, the probe, is allowed: success closes the breaker, failure opens it for twice as long.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from forecasting.models import Upstream
from forecasting.prices.catalogue import FETCH_SECONDS
from forecasting.prices.sources import PausedError, PriceHistory, PriceSourceError, RateLimitedError, UpstreamUnavailableError

LEASE_SECONDS = FETCH_SECONDS + 5  # after this, a request whose process died no longer counts as in flight
FAILURES_TO_OPEN = 5  # in a row
PAUSE_WHEN_LIMITED = timedelta(minutes=15), timedelta(hours=4)  # the first pause, and the longest; it doubles each time
PAUSE_WHEN_FAILING = timedelta(minutes=1), timedelta(hours=1)
POLL_SECONDS = 0.05  # if the limit of requests in flight is reached
COURTESY = timedelta(seconds=0.05)  # so much later than it could, a job in the background asks, if somebody else may be waiting

ACQUIRE = """
    UPDATE forecasting_upstream AS upstream SET
        next_request_at = clock.now + %(pause)s, requests = requests + 1,
        leases = array_append(ARRAY(SELECT lease FROM unnest(leases) AS lease WHERE lease > clock.now), clock.now + %(lease)s),
        state = CASE state WHEN 'closed' THEN 'closed' ELSE 'half_open' END,
        open_until = CASE state WHEN 'closed' THEN NULL ELSE clock.now + %(lease)s END
    FROM (SELECT clock_timestamp() AS now) AS clock
    WHERE source = %(source)s
        AND next_request_at + %(courtesy)s <= clock.now
        AND (SELECT count(*) FROM unnest(leases) AS lease WHERE lease > clock.now) < %(limit)s
        AND (state = 'closed' OR open_until <= clock.now)
    RETURNING clock.now + %(lease)s, state = 'half_open'
"""
RELEASE = "UPDATE forecasting_upstream SET leases = array_remove(leases, %(lease)s) WHERE source = %(source)s"
SUCCEED = """
    UPDATE forecasting_upstream SET
        leases = array_remove(leases, %(lease)s), last_success_at = clock_timestamp(),
        failures = CASE WHEN state = 'closed' OR %(probe)s THEN 0 ELSE failures END,
        opens = CASE WHEN %(probe)s THEN 0 ELSE opens END,
        reason = CASE WHEN state = 'closed' OR %(probe)s THEN '' ELSE reason END,
        opened_at = CASE WHEN %(probe)s THEN NULL ELSE opened_at END,
        open_until = CASE WHEN %(probe)s THEN NULL ELSE open_until END,
        state = CASE WHEN %(probe)s THEN 'closed' ELSE state END
    WHERE source = %(source)s
"""
FAIL = """
    UPDATE forecasting_upstream SET
        leases = array_remove(leases, %(lease)s), failures = failures + 1,
        failed_requests = failed_requests + 1,
        reason = CASE WHEN state = 'closed' OR %(probe)s THEN %(reason)s ELSE reason END
    WHERE source = %(source)s
"""
# If several requests in flight fail, the first failure opens the breaker; the others find it open and change nothing.
OPEN = """
    UPDATE forecasting_upstream SET
        state = 'open', opens = opens + 1, opened_at = clock.now,
        open_until = clock.now + least(%(first)s * power(2, least(opens, 20)), %(longest)s)
    FROM (SELECT clock_timestamp() AS now) AS clock
    WHERE source = %(source)s AND ((state = 'closed' AND failures >= %(enough)s) OR (state = 'half_open' AND %(probe)s))
    RETURNING open_until
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """Permission to send one request. If it is the probe, its result opens or closes the breaker."""

    source: str
    expires_at: datetime
    probe: bool


def why_paused(source: str) -> str:
    """Until when and why the breaker is open; empty if it is not."""
    row = Upstream.objects.filter(source=source).paused().first()
    return f"the price source is paused until {_in_words(row.open_until)}, because {row.reason}" if row else ""


def pause_between_requests() -> timedelta:
    """The pause between the starts of two requests."""
    return timedelta(minutes=1) / settings.UPSTREAM_REQUESTS_PER_MINUTE


def courtesy() -> timedelta:
    """How much later than it could a job in the background asks: little beside the pause."""
    return min(COURTESY, pause_between_requests() / 4)


def acquire(source: str, *, courtesy: timedelta = timedelta()) -> Lease | None:
    """A lease for one request; None if pace, requests in flight or the breaker do not allow one now. With `courtesy`, others may
    have it for so long."""
    values: dict[str, Any] = {
        "source": source,
        "pause": pause_between_requests(),
        "lease": timedelta(seconds=LEASE_SECONDS),
        "limit": settings.UPSTREAM_IN_FLIGHT,
        "courtesy": courtesy,
    }
    with connection.cursor() as cursor:
        cursor.execute(ACQUIRE, values)
        row = cursor.fetchone()
    return Lease(source, expires_at=row[0], probe=row[1]) if row else None


def retry_after(source: str, *, ticker: str, courtesy: timedelta = timedelta()) -> PausedError | float:
    """After a refused lease: the error if the source is paused, else the seconds to wait. Creates the source's row if needed."""
    row = Upstream.objects.filter(source=source).values_list("open_until", "reason", "next_request_at", Now()).first()
    if row is None:
        Upstream.objects.bulk_create([Upstream(source=source)], ignore_conflicts=True)
        return 0.0
    open_until, reason, next_request_at, now = row
    if open_until and open_until > now:
        return PausedError(ticker, f"no prices are requested until {_in_words(open_until)}, because {reason}", open_until)
    return max(0.0, (next_request_at + courtesy - now).total_seconds()) or POLL_SECONDS


def release(lease: Lease, answer: PriceHistory | PriceSourceError | None) -> None:
    """Returns a lease and updates the breaker by the answer, which is None if nothing was sent.

    An unknown symbol or bad data counts as success: the source works.
    """
    values: dict[str, Any] = {"source": lease.source, "lease": lease.expires_at, "probe": lease.probe}
    with connection.cursor() as cursor:
        if answer is None:
            cursor.execute(RELEASE, values)
        elif isinstance(answer, RateLimitedError | UpstreamUnavailableError):
            _count_failure(answer, values)
        else:
            cursor.execute(SUCCEED, values)
            if lease.probe:
                logger.info("price source resumed: the probe request succeeded")


def _in_words(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else ""


def _count_failure(error: PriceSourceError, values: dict[str, Any]) -> None:
    """Records a failed request, and opens the breaker if necessary."""
    limited = isinstance(error, RateLimitedError)
    first, longest = PAUSE_WHEN_LIMITED if limited else PAUSE_WHEN_FAILING
    values |= {"reason": error.reason, "first": first, "longest": longest, "enough": 1 if limited else FAILURES_TO_OPEN}
    with connection.cursor() as cursor:
        cursor.execute(FAIL, values)
        cursor.execute(OPEN, values)
        if row := cursor.fetchone():
            logger.warning("price source paused until %s: %s", row[0].isoformat(timespec="seconds"), error.reason)
