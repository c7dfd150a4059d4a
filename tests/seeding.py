"""A service's past, lived session by session under a moved clock: `live_through(tickers, sessions=120)`.

`python -m tests.seed` calls it from the shell. Nothing is made up: at 03:00 UTC of each day the real daily job syncs, scores,
forecasts and requests retrainings, and the real trainer trains; forecasts with leads and during the session are issued at their
hours. The clocks of Python and of the database both show the hour, so no bar that came later is known. Rows that a simulation never
has, such as failures and findings, are written by tests/states.py.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any

import curl_cffi  # noqa: F401 - must be loaded before TensorFlow
import time_machine
from django.db import connection
from django.db.backends.signals import connection_created
from django.test import override_settings
from django.utils import timezone
from django_q.models import OrmQ

from forecasting import market, serving
from forecasting.background import daily, lead_forecasts, trainer_child
from forecasting.models import Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import Outcome
from forecasting.prices.calendars import last_completed_session, session_days
from forecasting.training import queue as training_queue

SYMBOLS = ("SAMPLE1", "SAMPLE2", "SAMPLE1.T", "SAMPLE2.T", "SAMPLE1-USD", "SAMPLE3")
SESSIONS = 120
CALENDAR = "XNYS"  # whose sessions are counted
MODEL_AGE_DAYS = 60  # until a retraining; the usual 15 would take four times as long
JOB_AT, LEADS_AT = time(3), time(23, 10)  # UTC; the latter after New York's close and before Tokyo's open
LIVE_AT = (time(15, 5), time(18, 20))  # UTC, in the session of New York
LIVE_DAYS = 20  # the last ones, with forecasts during the session
LOST_DAYS = 16
WAIT_SECONDS = 30.0

At = Callable[[datetime], AbstractContextManager[Any]]

MOVED = """
    CREATE SCHEMA moved;
    CREATE TABLE moved.clock AS SELECT interval '0' AS ahead;
    CREATE FUNCTION moved.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
        AS 'SELECT pg_catalog.statement_timestamp() + ahead FROM moved.clock';
    CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
        AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM moved.clock';
"""
DEFAULTS = """
    SELECT format('ALTER TABLE %I.%I ALTER COLUMN %I SET DEFAULT ', table_schema, table_name, column_name)
    FROM information_schema.columns WHERE table_schema = 'public' AND lower(column_default) LIKE '%statement_timestamp()'
"""


def live_through(
    tickers: Sequence[str] = SYMBOLS, *, sessions: int = SESSIONS, lost: str = "", train: Callable[[], None] | None = None
) -> None:
    """Follows the symbols from `sessions` sessions ago until now; if the price source has older bars only, until these end.

    The price source is the configured one. It does not know the symbol `lost` any more in the last LOST_DAYS. `train` runs the
    waiting trainings; by default, as the trainer does.
    """
    train = train or train_waiting
    until = _until(tickers)
    first, *_ = session_days(CALENDAR, first=until.date() - timedelta(days=2 * sessions + 10), last=until.date())[
        -sessions:
    ].tolist()
    days = [first + timedelta(days=number) for number in range((until.date() - first).days + 1)]
    with moved_clock() as at, override_settings(MODEL_MAX_AGE_DAYS=MODEL_AGE_DAYS):
        with at(datetime.combine(first, JOB_AT, UTC) - timedelta(minutes=10)):
            serving.standing(tickers, now=timezone.now(), budget_s=WAIT_SECONDS)
            train()
        for day in days:
            if days[-1] - day == timedelta(days=LOST_DAYS):
                gone = {"upstream_state": UpstreamState.UNKNOWN, "upstream_reason": "No such symbol."}
                Symbol.objects.named([lost]).update(**gone, unknown_until=until + timedelta(days=LOST_DAYS))
            live = LIVE_AT if day > days[-1] - timedelta(days=LIVE_DAYS) else ()
            for hour in (JOB_AT, *live, LEADS_AT):
                if (moment := datetime.combine(day, hour, UTC)) <= until:
                    with at(moment):
                        _do(hour, tickers, train)
    OrmQ.objects.all().delete()  # tasks that woke nobody


def _do(hour: time, tickers: Sequence[str], train: Callable[[], None]) -> None:
    """What the service does at this hour."""
    if hour == JOB_AT:
        daily.run()
        train()
    elif hour == LEADS_AT:
        lead_forecasts.issue_due()
    else:
        serving.predict(tickers, now=timezone.now(), budget_s=WAIT_SECONDS)


def train_waiting(*, most: float = math.inf) -> None:
    """Runs the waiting trainings in this process, at `most` so many."""
    ended = 0
    while ended < most and (training := training_queue.claim(by="seeding")):
        ended += 1
        outcome, error = trainer_child.work(training.pk, fence=training.fence, progress=lambda _: None)
        if outcome == Outcome.FAILED:
            training_queue.fail(training, error=error)
        elif outcome != Outcome.PUBLISHED:
            raise RuntimeError(f"{training}: {outcome}: {error}")


def _until(tickers: Sequence[str]) -> datetime:
    """Now; an hour after the job that knows the newest bar if the price source's bars end long ago."""
    source, now = market.price_source(), timezone.now()
    through = last_completed_session("24/7", now=now)
    newest = max(source.fetch(ticker, since=None, through=through).bars.index[-1].date() for ticker in tickers)
    return min(now, datetime.combine(newest + timedelta(days=4), JOB_AT, UTC))


@contextmanager
def moved_clock() -> Iterator[At]:
    """Yields `at(moment)`, a context in which Python and this process's connections to the database take it to be `moment`."""

    def show(connection: Any = connection, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = moved, pg_catalog, public")

    defaults = install_clock()
    show()
    connection_created.connect(show)
    try:
        yield _at
    finally:
        connection_created.disconnect(show)
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = public")
            for alter in defaults:
                cursor.execute(f"{alter} statement_timestamp()")
            cursor.execute("DROP SCHEMA moved CASCADE")
        connection.close()  # its prepared statements know the moved clock


def install_clock() -> list[str]:
    """Gives the database a second clock, of all connections whose search path begins with `moved` and of the columns' defaults.

    Returns the beginnings of the statements that change these defaults.
    """
    with connection.cursor() as cursor:
        cursor.execute(DEFAULTS)
        defaults = [row[0] for row in cursor]
        cursor.execute(MOVED)
        for alter in defaults:
            cursor.execute(f"{alter} moved.statement_timestamp()")
    return defaults


def _at(moment: datetime) -> AbstractContextManager[Any]:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE moved.clock SET ahead = %s - pg_catalog.clock_timestamp()", [moment])
    return time_machine.travel(moment, tick=True)
