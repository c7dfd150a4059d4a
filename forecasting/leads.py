"""What forecasts may know of other markets now: whose leads are usable, and what they have done since the last close."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q

from forecasting import market, registry
from forecasting.models import Forecast, Symbol
from forecasting.models.forecasts import Basis
from forecasting.models.symbols import SymbolQuerySet
from forecasting.pipeline.model.lead_moves import BARS_NEEDED, LeadMarkets, LeadMove
from forecasting.pipeline.model.leads import Lead, LeadModel
from forecasting.prices.calendars import last_completed_session
from forecasting.prices.leads import LeadWindow, lead_window, leads_of

SPARE_BARS = 15  # of a lead, after the last session before its move: the longest holidays of another exchange

Windows = Mapping[str, LeadWindow]  # by exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the leads of an exchange, and when forecasts may be issued that know it."""

    window: LeadWindow
    moves: tuple[LeadMove, ...]
    model: LeadModel  # of the base that serves

    def lead(self, symbol: Symbol) -> Lead | None:
        """What a forecast of this symbol knows; None if its exchange has not passed the model's test."""
        return self.model.lead(symbol.ticker, symbol.calendar, self.moves)


def create_missing() -> None:
    """Creates the leads of all exchanges of which a symbol is followed."""
    Symbol.objects.all().ensure_leads(lead for exchange in _exchanges() for lead in leads_of(exchange))


def open_windows(*, now: datetime) -> dict[str, LeadWindow]:
    """By exchange of the followed symbols, the window in which forecasts that know leads may be issued, if `now` lies in it.

    Only of exchanges for which leads passed their test.
    """
    model = registry.lead_model()
    tested = [exchange for exchange in _exchanges() if leads_of(exchange)] if model else []
    passed = [exchange for exchange in tested if model and model.of("", exchange)]
    found = {exchange: lead_window(exchange, last_completed_session(exchange, now=now)) for exchange in passed}
    return {exchange: window for exchange, window in found.items() if window and window.known_until <= now < window.deadline}


def symbols_of(windows: Windows) -> list[Symbol]:
    """The leads of these exchanges that are in service."""
    return list(Symbol.objects.in_service().named({lead for window in windows.values() for lead in window.sessions}))


def known(windows: Windows) -> dict[str, Known]:
    """By exchange, what is known of its leads. Exchanges are missing while a lead has no bar of its last session."""
    if (model := registry.lead_model()) is None:
        return {}
    leads = symbols_of(windows)
    bars = market.recent_bars(leads, count=BARS_NEEDED + SPARE_BARS)
    markets = LeadMarkets({symbol.ticker: bars[symbol.pk] for symbol in leads})
    moves = {exchange: markets.moves(exchange, window.as_of) for exchange, window in windows.items()}
    return {exchange: Known(window=windows[exchange], moves=each, model=model) for exchange, each in moves.items() if each}


def unforecast(windows: Windows) -> SymbolQuerySet:
    """The followed symbols of these exchanges whose serving version has no forecast that knows leads for the window's session, by
    key."""
    wanted = Q(pk=None)
    for exchange, window in windows.items():
        issued = Forecast.objects.by_serving_versions().filter(symbol=OuterRef("pk"), basis=Basis.LEAD, as_of=window.as_of)
        wanted |= Q(~Exists(issued), exchange=exchange)
    return Symbol.objects.followed().filter(wanted).order_by("pk")


def _exchanges() -> Collection[str]:
    """The exchanges of the followed symbols."""
    listed = Symbol.objects.followed().order_by().values_list("exchange", flat=True).distinct()
    return [exchange for exchange in listed if exchange]
