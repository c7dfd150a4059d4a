"""Forecasts during the session, from what was forecast after the last close and the price now.

The first one of each quarter of an hour is kept in the ledger. Later ones in it are computed anew from the newest quote, with the
calibration of the kept one, and are not kept.
"""

import functools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.conf import settings
from django.db import connection
from django.utils import timezone

from forecasting import direction, market, registry
from forecasting.models import Forecast, LiveCalibration, ModelVersion, Quote, Restatement, Symbol
from forecasting.models.forecasts import Basis, ascending, quarter_of
from forecasting.pipeline.model.distribution import PriceDistribution
from forecasting.pipeline.model.live import LiveModel, next_live_factor, parts_of
from forecasting.prices import quotes
from forecasting.prices.catalogue import is_simulated
from forecasting.prices.quotes import halt, is_delayed
from forecasting.prices.session_state import SessionState, TradingSession, elapsed, session_at

NO_PRICE_YET = "no price of this session is known yet"
MODEL_SECONDS = 60  # for so long a process uses the model that it has found; a new one comes about once in weeks


@dataclass(frozen=True, slots=True)
class Session:
    """A symbol's session that is under way or comes next. `quote`: the last one of it, if that can be used; else why not."""

    hours: TradingSession
    quote: quotes.Quote | None = None
    problem: str | None = None
    delayed: bool | None = None  # None without a quote
    asked_at: datetime | None = None  # when the price source was last asked for it

    @property
    def is_priced(self) -> bool:
        """Whether it is under way, with a quote that can be used."""
        return self.hours.state == SessionState.OPEN and self.quote is not None

    @property
    def price(self) -> float | None:
        """Of the last trade."""
        return self.quote.price if self.quote else None

    @property
    def price_time(self) -> datetime | None:
        """Of the last trade."""
        return self.quote.time if self.quote else None


def session_of(symbol: Symbol, stored: Quote | None, *, now: datetime) -> Session:
    """The symbol's session at `now`, with its stored quote."""
    hours = session_at(symbol.calendar, now=now)
    quote = stored.last if stored else None
    if hours.state not in (SessionState.OPEN, SessionState.SETTLING):
        return Session(hours)
    if stored is None:
        return Session(hours, problem=NO_PRICE_YET if is_under_way(symbol, hours) else None)
    if quote is None or quote.session != hours.session:
        of_today = hours.opens is not None and stored.asked_at >= hours.opens
        return Session(hours, problem=(of_today and stored.problem) or NO_PRICE_YET, asked_at=stored.asked_at)
    halted = halt(quote, exchange=symbol.calendar, now=now) if hours.state == SessionState.OPEN else None
    if problem := stored.problem or (halted and halted.text):
        return Session(hours, problem=problem, asked_at=stored.asked_at)
    return Session(hours, quote, delayed=is_delayed(quote, now=now), asked_at=stored.asked_at)


def is_under_way(symbol: Symbol, hours: TradingSession) -> bool:
    """Whether forecasts can be made now that know a quote."""
    if hours.state != SessionState.OPEN:
        return False
    model = current_model()
    return model is not None and model.of(symbol.calendar) is not None


def under_way(symbols: Iterable[Symbol], *, now: datetime) -> list[Symbol]:
    """Those of these symbols of which forecasts can be made now that know a quote."""
    return [symbol for symbol in symbols if is_under_way(symbol, session_at(symbol.calendar, now=now))]


def newest(stored: Forecast, close: Forecast, session: Session, *, now: datetime) -> tuple[Forecast, bool]:
    """The forecast from the session's quote, and whether it is the kept one of this quarter of an hour, which is `stored`.

    Another one stays in memory with `stored` until the next quote.
    """
    quote = session.quote
    if quote is None or (min(quote.time, stored.issued_at), quote.price) == (stored.known_until, stored.price_now):
        return stored, True
    known = stored.computed  # another thread may replace it
    if known and known[0] == quote:
        return known[1], False
    computed = forecast(
        close,
        session,
        last_close=stored.last_close,
        factor=stored.spread_factor,
        restatement_id=stored.restatement_id,
        issued_at=now,
    )
    if computed is None:
        return stored, True
    computed.outlook = close.outlook
    stored.computed = quote, computed
    return computed, False


def forecast(
    close: Forecast, session: Session, *, last_close: float, factor: float, restatement_id: int | None, issued_at: datetime
) -> Forecast | None:
    """An unsaved forecast that knows the session's quote; None if the exchange has no usable model.

    `close`: the forecast from the symbol's own bars. `last_close`: in the units of the quote, for a split may lie between.
    """
    model, quote, hours = current_model(), session.quote, session.hours
    if model is None or quote is None or close.reference is None:
        return None
    known_until = min(quote.time, issued_at)  # the clock of a source may be ahead
    fraction = elapsed(close.symbol.calendar, hours.session, known_until)
    rescaled = last_close / close.last_close
    computed = model.forecast(
        {level: price * rescaled for level, price in ascending(close.quantiles)},
        reference={level: price * rescaled for level, price in close.reference.items()},
        last_close=last_close,
        exchange=close.symbol.calendar,
        price=quote.price,
        open=quote.open,
        high=quote.high,
        low=quote.low,
        fraction=fraction,
        factor=factor,
    )
    if computed is None:
        return None
    distribution = PriceDistribution(computed.quantiles, last_close=last_close)
    low, high = distribution.interval(close.interval_level)
    return Forecast(
        symbol=close.symbol,
        version=close.version,
        as_of=close.as_of,
        target_date=close.target_date,
        basis=Basis.LIVE,
        known_until=known_until,
        target_opens=hours.opens,
        target_closes=hours.closes,
        quarter=quarter_of(issued_at),
        price_now=quote.price,
        session_fraction=fraction,
        quote={"open": quote.open, "high": quote.high, "low": quote.low, "volume": quote.volume},
        last_close=last_close,
        price=computed.price,
        quantiles=computed.quantiles,
        reference=computed.reference,
        interval_level=close.interval_level,
        interval_low=low,
        interval_high=high,
        spread_factor=factor,
        probability_up=1 - distribution.probability_below(last_close),
        risk=direction.risk(computed.quantiles, last_close=last_close),
        simulated=is_simulated(settings.PRICE_SOURCE),
        issued_at=issued_at,
        restatement_id=restatement_id,
    )


def issue(serving: Mapping[Symbol, ModelVersion], *, now: datetime) -> None:
    """Keeps a forecast of each symbol with a usable quote, unless its version has one of this quarter of an hour.

    `serving`: with their forecasts from the newest bar. A constant number of queries.
    """
    sessions = _priced(serving, now=now)
    closes = _closes({symbol: serving[symbol] for symbol in sessions}, now=now)
    if not closes:
        return
    restatements = Restatement.objects.last_by_symbol(closes)  # before the bars: see ledger.py
    bars, factors = market.recent_bars(closes, count=1), _factors()
    rows = []
    for symbol, close in sorted(closes.items(), key=lambda item: item[0].pk):  # sorted, so that two callers cannot deadlock
        session, bar, issued_at = sessions[symbol], bars[symbol.pk], timezone.now()
        if bar.index[-1].date() == close.as_of and close.target_date == session.hours.session and issued_at < session.hours.closes:
            row = forecast(
                close,
                session,
                last_close=float(bar["close"].iloc[-1]),
                factor=factors.get((symbol.calendar, _part(symbol, session)), 1.0),
                restatement_id=restatements.get(symbol.pk),
                issued_at=issued_at,
            )
            rows += [row] if row else []
    Forecast.objects.bulk_create(rows, ignore_conflicts=True)


def calibrate() -> int:
    """Learns the width of the next forecasts from sessions scored since the last call; returns how many were new.

    All symbols of an exchange count together. Three queries at most.
    """
    query = """
        SELECT symbol.exchange, score.part, score.actual_date, avg(score.inside_interval::int)
        FROM forecasting_score AS score
        JOIN forecasting_symbol AS symbol ON symbol.id = score.symbol_id
        LEFT JOIN forecasting_livecalibration AS known ON known.exchange = symbol.exchange AND known.part = score.part
        WHERE score.latest AND score.basis = 'live' AND score.actual_date > coalesce(known.through, '-infinity')
        GROUP BY symbol.exchange, score.part, score.actual_date
        ORDER BY score.actual_date
    """
    with connection.cursor() as cursor:
        cursor.execute(query)
        sessions = cursor.fetchall()
    factors, through = _factors(), {}
    for exchange, part, session, inside in sessions:
        factors[exchange, part] = next_live_factor(factors.get((exchange, part), 1.0), float(inside))
        through[exchange, part] = session
    rows = [LiveCalibration(exchange=each[0], part=each[1], factor=factors[each], through=last) for each, last in through.items()]
    LiveCalibration.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["exchange", "part"], update_fields=["factor", "through"]
    )
    return len(sessions)


def current_model() -> LiveModel | None:
    """The live model of the base that serves; None if it has none."""
    return _model_at(int(time.monotonic() // MODEL_SECONDS))


@functools.lru_cache(maxsize=1)
def _model_at(minute: int) -> LiveModel | None:
    return registry.live_model()


def _priced(symbols: Iterable[Symbol], *, now: datetime) -> dict[Symbol, Session]:
    """The sessions that are under way and have a usable quote. A query if there are any."""
    if not (open_now := under_way(symbols, now=now)):
        return {}
    quotes_now = Quote.objects.in_bulk([symbol.pk for symbol in open_now])
    sessions = {symbol: session_of(symbol, quotes_now.get(symbol.pk), now=now) for symbol in open_now}
    return {symbol: session for symbol, session in sessions.items() if session.is_priced}


def _closes(serving: Mapping[Symbol, ModelVersion], *, now: datetime) -> dict[Symbol, Forecast]:
    """The forecast of each version from its symbol's newest bar, without those that have one of this quarter of an hour."""
    if not serving:
        return {}
    theirs = Forecast.objects.of(serving).filter(version__in=list(serving.values()))
    newest_bar = list(theirs.of_next_close().from_newest_bar().select_related("symbol", "version"))
    done = set(theirs.filter(quarter=quarter_of(now)).values_list("symbol_id", "version_id", "as_of"))
    return {
        each.symbol: each
        for each in newest_bar
        if serving[each.symbol] == each.version and (each.symbol_id, each.version_id, each.as_of) not in done
    }


def _part(symbol: Symbol, session: Session) -> int:
    """The part of the session in which its quote was made."""
    if session.quote is None:
        return 0
    return int(parts_of(np.array([elapsed(symbol.calendar, session.hours.session, session.quote.time)]))[0])


def _factors() -> dict[tuple[str, int], float]:
    """The next factor of each exchange and part of the session."""
    return {(each.exchange, each.part): each.factor for each in LiveCalibration.objects.all()}
