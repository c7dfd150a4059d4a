"""Rate limit and circuit breaker for a remote price source, shared by all processes.

All state is one Postgres row. Single statements update it by the database's clock, so processes and machines share it.

The breaker opens at once if the source reports a rate limit, or after FAILURES_TO_OPEN failed requests in a row. No request is sent
while it is open. After the pause, one test request (the canary) is allowed. Its success closes the breaker; its failure doubles the
pause.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from forecasting.models import Upstream
from forecasting.prices.sources import PausedError, PriceHistory, PriceSourceError, RateLimitedError, UpstreamUnavailableError

FETCH_SECONDS = 10  # limit of one request with all its HTTP calls
LEASE_SECONDS = FETCH_SECONDS + 5  # then the request of a dead process no longer counts as under way
FAILURES_TO_OPEN = 5  # in a row
PAUSE_WHEN_LIMITED = timedelta(minutes=15), timedelta(hours=4)  # first pause, then doubled up to the longest
PAUSE_WHEN_FAILING = timedelta(minutes=1), timedelta(hours=1)
POLL_SECONDS = 0.05  # while the maximum number of requests is under way

TAKE = """
    UPDATE forecasting_upstream AS upstream SET
        next_request_at = clock.now + %(pause)s,
        leases = array_append(ARRAY(SELECT lease FROM unnest(leases) AS lease WHERE lease > clock.now), clock.now + %(lease)s),
        state = CASE state WHEN 'closed' THEN 'closed' ELSE 'half_open' END,
        open_until = CASE state WHEN 'closed' THEN NULL ELSE clock.now + %(lease)s END
    FROM (SELECT clock_timestamp() AS now) AS clock
    WHERE source = %(source)s
        AND next_request_at <= clock.now
        AND (SELECT count(*) FROM unnest(leases) AS lease WHERE lease > clock.now) < %(limit)s
        AND (state = 'closed' OR open_until <= clock.now)
    RETURNING clock.now + %(lease)s, state = 'half_open'
"""
RETURN = "UPDATE forecasting_upstream SET leases = array_remove(leases, %(lease)s) WHERE source = %(source)s"
SUCCEED = """
    UPDATE forecasting_upstream SET
        leases = array_remove(leases, %(lease)s), last_success_at = clock_timestamp(),
        failures = CASE WHEN state = 'closed' OR %(canary)s THEN 0 ELSE failures END,
        opens = CASE WHEN %(canary)s THEN 0 ELSE opens END,
        reason = CASE WHEN state = 'closed' OR %(canary)s THEN '' ELSE reason END,
        opened_at = CASE WHEN %(canary)s THEN NULL ELSE opened_at END,
        open_until = CASE WHEN %(canary)s THEN NULL ELSE open_until END,
        state = CASE WHEN %(canary)s THEN 'closed' ELSE state END
    WHERE source = %(source)s
"""
FAIL = """
    UPDATE forecasting_upstream SET
        leases = array_remove(leases, %(lease)s), failures = failures + 1,
        reason = CASE WHEN state = 'closed' OR %(canary)s THEN %(reason)s ELSE reason END
    WHERE source = %(source)s
"""
# The first failure among concurrent requests opens the breaker; the others find it open and change nothing.
OPEN = """
    UPDATE forecasting_upstream SET
        state = 'open', opens = opens + 1, opened_at = clock.now,
        open_until = clock.now + least(%(first)s * power(2, least(opens, 20)), %(longest)s)
    FROM (SELECT clock_timestamp() AS now) AS clock
    WHERE source = %(source)s AND ((state = 'closed' AND failures >= %(enough)s) OR (state = 'half_open' AND %(canary)s))
    RETURNING open_until
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission to send one request. The answer to the canary closes or reopens the breaker."""

    source: str
    lease: datetime
    canary: bool


def is_paused(source: str) -> bool:
    """Whether requests to the source are paused."""
    return Upstream.objects.filter(source=source).paused().exists()


def pause_between_requests() -> timedelta:
    """Minimum time between the starts of two requests."""
    return timedelta(minutes=1) / settings.UPSTREAM_REQUESTS_PER_MINUTE


def take(source: str) -> Permit | None:
    """Permission for one request, or None if the rate limit or the breaker does not allow one now."""
    values: dict[str, Any] = {
        "source": source,
        "pause": pause_between_requests(),
        "lease": timedelta(seconds=LEASE_SECONDS),
        "limit": settings.UPSTREAM_IN_FLIGHT,
    }
    with connection.cursor() as cursor:
        cursor.execute(TAKE, values)
        row = cursor.fetchone()
    return Permit(source, lease=row[0], canary=row[1]) if row else None


def obstacle(source: str, *, ticker: str) -> PausedError | float:
    """Why `take` returned None: an error if requests are paused, else the seconds to wait. Creates the source's row if missing."""
    row = Upstream.objects.filter(source=source).values_list("open_until", "reason", "next_request_at", Now()).first()
    if row is None:
        Upstream.objects.bulk_create([Upstream(source=source)], ignore_conflicts=True)
        return 0.0
    open_until, reason, next_request_at, now = row
    if open_until and open_until > now:
        until = f"{open_until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return PausedError(ticker, f"price requests are paused until {until}, because {reason}", open_until)
    return max(0.0, (next_request_at - now).total_seconds()) or POLL_SECONDS


def settle(permit: Permit, outcome: PriceHistory | PriceSourceError | None) -> None:
    """Releases a permit and passes the outcome (None if nothing was sent) to the breaker.

    An unknown symbol or bad data count as success: the source works.
    """
    values: dict[str, Any] = {"source": permit.source, "lease": permit.lease, "canary": permit.canary}
    with connection.cursor() as cursor:
        if outcome is None:
            cursor.execute(RETURN, values)
        elif isinstance(outcome, RateLimitedError | UpstreamUnavailableError):
            _count_failure(outcome, values)
        else:
            cursor.execute(SUCCEED, values)
            if permit.canary:
                logger.info("price source available again: the test request succeeded")


def _count_failure(error: PriceSourceError, values: dict[str, Any]) -> None:
    """Records a failed request and opens the breaker if needed."""
    limited = isinstance(error, RateLimitedError)
    first, longest = PAUSE_WHEN_LIMITED if limited else PAUSE_WHEN_FAILING
    values |= {"reason": error.reason, "first": first, "longest": longest, "enough": 1 if limited else FAILURES_TO_OPEN}
    with connection.cursor() as cursor:
        cursor.execute(FAIL, values)
        cursor.execute(OPEN, values)
        if row := cursor.fetchone():
            logger.warning("price source paused until %s: %s", row[0].isoformat(timespec="seconds"), error.reason)
