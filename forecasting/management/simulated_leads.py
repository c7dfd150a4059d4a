"""Shows a lead at work in the simulation, whose second market opens with what the first one has done."""

from datetime import date, timedelta

import pandas as pd
from django.conf import settings
from django.utils import timezone

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.backtest import Period, historical_forecasts, in_one
from forecasting.pipeline.evaluation.bases import by_exchange
from forecasting.pipeline.model.lead_moves import LeadMarkets
from forecasting.pipeline.serving import artifacts
from forecasting.prices.calendars import exchange_of, last_completed_session
from forecasting.prices.simulation import LEAD, LEAD_CORRELATION, Simulation
from forecasting.registry import SHIPPED_BASE

SYMBOLS = [f"SAMPLE{number}.T" for number in range(1, 6)]


def told_lead() -> str:
    """What the shipped base earns by knowing the lead, in the simulated sessions after its data. Loads TensorFlow."""
    base = artifacts.read_base(SHIPPED_BASE, artifacts.recorded(SHIPPED_BASE))
    last = last_completed_session(exchange_of(SYMBOLS[0]), now=timezone.now())
    period = Period(through=base.data_end, first=base.data_end + timedelta(days=1), last=last)
    histories = {symbol: _bars(symbol, last) for symbol in SYMBOLS}
    markets, config = LeadMarkets({LEAD: _bars(LEAD, last)}), ForecastConfig()
    forecasts = historical_forecasts(
        histories.items(), period, config, base=base, own_versions=False, skipped=lambda *_: None, markets=markets
    )
    (found,) = by_exchange(in_one(list(forecasts)), histories, config).itertuples(index=False, name=None)
    symbols, _, without, knowing, error, t, held, *_ = found
    return (
        f"{symbols} stocks of the simulated Tokyo, each session since {period.first}, forecast before it opened:\n"
        f"  knowing what {LEAD} has done, the error is {error:.3f} times the last close's (t {t:.1f}), the quantile loss\n"
        f"  {knowing:.3f} instead of {without:.3f}, and the 80 % interval held {held:.0%}.\n"
        f"  The simulation was made with a correlation of {LEAD_CORRELATION}."
    )


def _bars(symbol: str, last: date) -> pd.DataFrame:
    return Simulation(seed=settings.SEED).fetch(symbol, since=None, through=last).bars
