"""Quotes in the database: which are too old, and what is kept of the price source's answers."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import pandas as pd
from django.conf import settings

from forecasting.market.stored import recent_bars
from forecasting.market.upstream import Answer
from forecasting.models import Quote, Symbol
from forecasting.models.quotes import COLUMNS
from forecasting.prices.quotes import quote_problem
from forecasting.prices.sources import PriceHistory

NO_QUOTE = "the price source gives no price of the session under way"
NO_BARS = "there are no earlier prices to compare it with"


def is_old(symbol: Symbol, quote: Quote | None, *, now: datetime) -> bool:
    """Whether a request should ask for another one. Not if the price source has just said that it does not know the symbol, nor if
    requests may not wait for it."""
    if symbol.is_unknown(now=now) or not settings.PREDICT_REFRESH_SECONDS:
        return False
    return quote is None or now - quote.asked_at >= timedelta(seconds=settings.QUOTE_MAX_AGE_SECONDS)


def old_quotes(symbols: Collection[Symbol], *, now: datetime) -> list[Symbol]:
    """Those of these symbols whose quote is too old, the oldest first. One query."""
    if not symbols:
        return []
    quotes = Quote.objects.in_bulk([symbol.pk for symbol in symbols])
    old = [symbol for symbol in symbols if is_old(symbol, quotes.get(symbol.pk), now=now)]
    never = datetime.min.replace(tzinfo=now.tzinfo)
    return sorted(old, key=lambda symbol: quotes[symbol.pk].asked_at if symbol.pk in quotes else never)


def keep(answers: Mapping[Symbol, Answer | None], *, now: datetime) -> None:
    """Keeps the quotes of these answers; None stands for an answer that did not come in time.

    A quote that cannot be right is refused: the last one stays, with the reason, until another one comes. Four queries.
    """
    newest = recent_bars(answers, count=1)
    usable, refused, silent = [], [], []
    for symbol, answer in answers.items():
        if not isinstance(answer, PriceHistory):
            silent.append(Quote(symbol=symbol, asked_at=now))
        elif problem := _problem(symbol, answer, newest[symbol.pk], now=now):
            refused.append(Quote(symbol=symbol, asked_at=now, problem=problem))
        else:
            usable.append(Quote(symbol=symbol, asked_at=now, **{name: getattr(answer.quote, name) for name in COLUMNS}))
    _upsert(usable, ["asked_at", "problem", *COLUMNS])
    _upsert(refused, ["asked_at", "problem"])
    _upsert(silent, ["asked_at"])


def _problem(symbol: Symbol, answer: PriceHistory, bars: pd.DataFrame, *, now: datetime) -> str:
    """Why the answer's quote cannot be used; "" if it can. `bars`: the newest stored one."""
    if answer.quote is None:
        return answer.quote_problem or NO_QUOTE
    if bars.empty:
        return NO_BARS
    last_bar, last_close = bars.index[-1].date(), float(bars["close"].iloc[-1])
    found = quote_problem(answer.quote, exchange=symbol.calendar, last_bar=last_bar, last_close=last_close, now=now)
    return found.text if found else ""


def _upsert(rows: list[Quote], fields: list[str]) -> None:
    rows.sort(key=lambda row: row.symbol_id)  # so that two callers cannot deadlock
    Quote.objects.bulk_create(rows, update_conflicts=True, unique_fields=["symbol"], update_fields=fields)
