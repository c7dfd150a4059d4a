"""Whether the ledger is consistent after the soak: nothing twice, nothing left out, nothing half written."""

import re
from collections.abc import Iterator

from django.conf import settings
from django.db import connection

from forecasting.background.daily import DAILY_JOB
from forecasting.models import Forecast, JobRun, Training
from forecasting.models.jobs import JobState
from tests.chaos import oracle
from tests.chaos.site import stored
from tests.soak.prices import SHORT

# Of each version, session, horizon and basis there is one row; of those during a session, one a quarter of an hour.
TWICE = """
    SELECT count(*) FROM (
        SELECT FROM forecasting_forecast GROUP BY symbol_id, version_id, as_of, horizon, basis, quarter HAVING count(*) > 1
    ) AS twice
"""
# Sessions with a bar, since the first forecast of their symbol, from which nothing was forecast.
NEVER_FORECAST = """
    SELECT symbol.ticker, bar.date FROM forecasting_pricebar AS bar
    JOIN forecasting_symbol AS symbol ON symbol.id = bar.symbol_id
    JOIN (
        SELECT symbol_id, min(as_of) AS first FROM forecasting_forecast WHERE horizon = 1 AND basis = 'close' GROUP BY symbol_id
    ) AS begin ON begin.symbol_id = bar.symbol_id AND bar.date >= begin.first
    WHERE NOT EXISTS (
        SELECT FROM forecasting_forecast AS made
        WHERE made.symbol_id = bar.symbol_id AND made.as_of = bar.date AND made.horizon = 1 AND made.basis = 'close'
    )
    ORDER BY 2, 1
"""
LATEST = """
    SELECT count(*) FROM (SELECT FROM forecasting_score WHERE latest GROUP BY forecast_id HAVING count(*) > 1) AS twice
"""


def problems() -> Iterator[str]:
    """What is wrong. No training may be active, and the daily job must have ended."""
    with connection.cursor() as cursor:
        for what, query in (("forecasts", TWICE), ("latest scores", LATEST)):
            cursor.execute(query)
            if (count := cursor.fetchone()[0]) > 0:
                yield f"{count} {what} exist more than once"
        cursor.execute(NEVER_FORECAST)
        if missing := cursor.fetchall():
            yield f"{len(missing)} sessions were not forecast, the first after {missing[0]}"
    if due := Forecast.objects.due().count():
        yield f"{due} forecasts of past sessions have no score"
    if jobs := list(JobRun.objects.filter(job=DAILY_JOB).exclude(state=JobState.SUCCEEDED).values("date", "state", "error")):
        yield f"daily jobs that did not succeed: {jobs}"
    if active := Training.objects.active().count():
        yield f"{active} trainings have not ended"
    yield from oracle.versions()
    yield from oracle.files(stored)


def logged_errors() -> Iterator[str]:
    """Lines of the service's log above WARNING, except that the base's symbols cannot be trained."""
    for file in sorted(settings.LOG_DIR.glob("app.log*")):
        for line in file.read_text(errors="replace").splitlines():
            if re.search(" ERROR | CRITICAL ", line) and not any(symbol in line for symbol in SHORT):
                yield line
