"""A database as large as the service promises to serve: 1,500 symbols, 300,000 scored forecasts. Rows only: nothing can forecast.

Triggers and foreign keys are off while the rows are inserted; that needs a superuser of the database.
"""

from datetime import date, timedelta

from django.db import connection, transaction
from django.utils import timezone

from forecasting.models import JobRun, ModelVersion, Symbol
from forecasting.models.jobs import JobState
from forecasting.models.versions import VersionState
from forecasting.prices.calendars import last_completed_session, session_days
from tests.factories import METRICS, make_worker

SYMBOLS = 1500
SESSIONS = 200  # of forecasts of each symbol
BARS = 30  # sessions with bars of each symbol
CALENDAR = "XNYS"

# A random walk would not change any plan: prices follow from key and place. A fifth of the closes lies outside the interval.
BARS_OF_ALL = """
    INSERT INTO forecasting_pricebar (symbol_id, date, open, high, low, close, volume)
    SELECT symbol.id, session.date, 100, 102, 98, 100 + (symbol.id + session.place) %% 5 * 0.3, 1e6
    FROM forecasting_symbol AS symbol, unnest(%(dates)s::date[]) WITH ORDINALITY AS session (date, place)
    WHERE session.place > %(sessions)s - %(bars)s
"""
FORECASTS = """
    INSERT INTO forecasting_forecast (
        symbol_id, version_id, as_of, target_date, last_close, price, quantiles, interval_level, interval_low, interval_high,
        spread_factor, probability_up, issued_at
    )
    SELECT symbol.id, version.id, session.as_of, session.target, 100, 100,
        '{"0.05": 98, "0.1": 99, "0.25": 99.5, "0.5": 100, "0.75": 100.5, "0.9": 101, "0.95": 102}', 0.8, 99, 101, 1, 0.5,
        session.as_of + interval '27 hours'
    FROM unnest(%(dates)s::date[], %(targets)s::date[]) AS session (as_of, target), forecasting_symbol AS symbol
    JOIN forecasting_modelversion AS version ON version.symbol_id = symbol.id
    ORDER BY session.as_of, symbol.id
"""
SCORES = """
    INSERT INTO forecasting_score (
        forecast_id, symbol_id, version_id, horizon, basis, actual_date, actual_close, absolute_error, naive_absolute_error,
        inside_interval, pinball_loss, reference_pinball_loss, reason, scored_at, latest
    )
    SELECT id, symbol_id, version_id, 1, 'close', target_date, 100.5 + id %% 5 * 0.12, 0.5, 0.5, id %% 5 > 0, 0.004, 0.0041,
        'first', target_date + interval '27 hours', TRUE
    FROM forecasting_forecast WHERE target_date <= %(last)s
"""
TRAININGS = """
    INSERT INTO forecasting_training (
        symbol_id, state, reason, priority, attempts, fence, claimed_by, stage, progress, error, created_at, started_at, finished_at
    )
    SELECT id, CASE WHEN mod(id, 50) = 0 THEN 'failed' ELSE 'succeeded' END, 'too_old', 10, 1, 1, '', '', 1, 'It failed.',
        moment, moment, moment + interval '3 seconds'
    FROM forecasting_symbol, generate_series(now() - interval '60 days', now(), interval '15 days') AS moment
"""
FINDINGS = """
    INSERT INTO forecasting_finding (symbol_id, rule, verdict, date, value, text)
    SELECT id, 'step', 'noted', date, 100, 'A large step.' FROM forecasting_symbol, unnest(%(dates)s::date[]) AS date
    WHERE date >= %(last)s::date - 10
"""
LOG = """
    INSERT INTO django_admin_log (action_time, user_id, content_type_id, object_id, object_repr, action_flag, change_message)
    SELECT now() - number * interval '1 minute', (SELECT min(id) FROM auth_user),
        (SELECT id FROM django_content_type WHERE app_label = 'forecasting' AND model = 'symbol'), number, 'SYMBOL', 2, 'Changed.'
    FROM generate_series(1, 5000) AS number WHERE EXISTS (SELECT FROM auth_user)
"""
INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid IN ('forecasting_forecast'::regclass, 'forecasting_score'::regclass) AND NOT indisprimary
"""


def fill(*, symbols: int = SYMBOLS, sessions: int = SESSIONS) -> None:
    """Adds the rows to an empty database. A few seconds."""
    last = last_completed_session(CALENDAR, now=timezone.now())
    dates = session_days(CALENDAR, first=last - timedelta(days=2 * sessions), last=last + timedelta(days=10)).tolist()
    place = dates.index(last) + 1
    chosen, targets = dates[place - sessions : place], dates[place - sessions + 1 : place + 1]
    values = {"dates": chosen, "targets": targets, "last": last, "sessions": sessions, "bars": BARS}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        _symbols(symbols, last)
        cursor.execute(INDEXES)
        indexes = dict(cursor)
        for index in indexes:  # they are built faster than they grow
            cursor.execute(f"DROP INDEX {index}")
        for statement in (BARS_OF_ALL, FORECASTS, SCORES, TRAININGS, FINDINGS, LOG, *indexes.values()):
            cursor.execute(statement, values if "%(" in statement else None)
    make_worker()
    connection.cursor().execute("ANALYZE")


def _symbols(count: int, last: date) -> None:
    """Symbols with an active version each, and sixty daily runs."""
    now = timezone.now()
    checked = {"exchange": CALENDAR, "currency": "USD", "synced_at": now, "upstream_checked_at": now, "upstream_state": "ok"}
    made = Symbol.objects.bulk_create(Symbol(ticker=f"MANY{number}", **checked) for number in range(count))
    known = {"decision": "First version.", "config": {}, "metrics": METRICS, "files": {}, "bar_count": 1360}
    ModelVersion.objects.bulk_create(
        ModelVersion(
            symbol=symbol,
            number=1,
            state=VersionState.ACTIVE,
            data_start=date(2020, 1, 2),
            data_end=last,
            folder=str(symbol),
            **known,
        )
        for symbol in made
    )
    report = {"symbols": count, "untried": 0, "not_synced": {}, "scored": count, "forecasts": count, "retrainings": 0}
    JobRun.objects.bulk_create(
        JobRun(job="daily", date=last - timedelta(days=ago), state=JobState.SUCCEEDED, finished_at=now, report=report)
        for ago in range(60)
    )
