"""Leave to ask a remote price source: paced for all processes together, and refused for a while when the source refuses or fails.

Pace, requests under way and breaker are one row of Postgres, moved on by single statements and by the database's clock, so that
processes and machines share them.

The breaker opens at once when the source limits our rate and after FAILURES_TO_OPEN failed requests in a row; while it is open
nothing is asked. When its time is over one request, the canary, is let through: its answer closes the breaker, its failure opens it
for twice as long.

Own code: pace, requests under way and breaker change together in one statement; rate limit libraries cover the pace alone.
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

FETCH_SECONDS = 10  # of one request with all that belongs to it
LEASE_SECONDS = FETCH_SECONDS + 5  # after this a request whose process died no longer counts as under way
FAILURES_TO_OPEN = 5  # in a row
PAUSE_WHEN_LIMITED = timedelta(minutes=15), timedelta(hours=4)  # the first one and, doubled each time, the longest
PAUSE_WHEN_FAILING = timedelta(minutes=1), timedelta(hours=1)
POLL_SECONDS = 0.05  # where as many requests are under way as may be

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
# Of requests that were under way together the first failure opens it; the others find it open and change nothing.
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
    """Leave to send one request; the source's answer decides over the breaker where it is the canary."""

    source: str
    lease: datetime
    canary: bool


def is_paused(source: str) -> bool:
    """Whether the source is left alone now."""
    return Upstream.objects.filter(source=source).paused().exists()


def pause_between_requests() -> timedelta:
    """What the pace leaves between the starts of two requests."""
    return timedelta(minutes=1) / settings.UPSTREAM_REQUESTS_PER_MINUTE


def take(source: str) -> Permit | None:
    """Leave for one request, None where pace, requests under way or the breaker do not allow it now."""
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
    """Why there was no permit: the source is left alone, or it takes some seconds. Makes the source's row where it is missing."""
    row = Upstream.objects.filter(source=source).values_list("open_until", "reason", "next_request_at", Now()).first()
    if row is None:
        Upstream.objects.bulk_create([Upstream(source=source)], ignore_conflicts=True)
        return 0.0
    open_until, reason, next_request_at, now = row
    if open_until and open_until > now:
        until = f"{open_until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return PausedError(ticker, f"prices are not asked for until {until}, because {reason}", open_until)
    return max(0.0, (next_request_at - now).total_seconds()) or POLL_SECONDS


def settle(permit: Permit, outcome: PriceHistory | PriceSourceError | None) -> None:
    """Ends a permit and lets the answer, None where nothing was sent, count for the breaker.

    That a symbol is unknown or its data are bad is an answer as well: the source works.
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
                logger.info("price source asked again: the one request that was tried succeeded")


def _count_failure(error: PriceSourceError, values: dict[str, Any]) -> None:
    """Notes a failed request; opens the breaker where that is due."""
    limited = isinstance(error, RateLimitedError)
    first, longest = PAUSE_WHEN_LIMITED if limited else PAUSE_WHEN_FAILING
    values |= {"reason": error.reason, "first": first, "longest": longest, "enough": 1 if limited else FAILURES_TO_OPEN}
    with connection.cursor() as cursor:
        cursor.execute(FAIL, values)
        cursor.execute(OPEN, values)
        if row := cursor.fetchone():
            logger.warning("price source left alone until %s: %s", row[0].isoformat(timespec="seconds"), error.reason)
