"""Issues forecasts that know other markets, after those have closed and before the target session opens."""

import time

from django.utils import timezone

from forecasting import leads, market, serving

BATCH = 100  # symbols
SECONDS = 50.0  # less than the minute after which the next run continues


def issue_due() -> int:
    """Issues the forecasts whose leads are known by now; returns their number. Runs every minute.

    First fetches the bars that are missing, of the leads and of the symbols, for at most SECONDS.
    """
    now, ends = timezone.now(), time.monotonic() + SECONDS
    windows = leads.open_windows(now=now)
    if not leads.unforecast(windows).exists():
        return 0
    market.refresh(leads.symbols_of(windows), now=now, budget_s=SECONDS, early=True)
    known = leads.known(windows)
    issued, last = 0, 0
    while (left := ends - time.monotonic()) > 0:
        wanted = leads.unforecast({exchange: each.window for exchange, each in known.items()})
        if not (batch := list(wanted.filter(pk__gt=last)[:BATCH])):
            break
        market.refresh(batch, now=now, budget_s=left)
        issued, last = issued + serving.serve_with_leads(batch, known), batch[-1].pk
    return issued
