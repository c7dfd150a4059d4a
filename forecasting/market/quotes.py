"""Quotes in the database: which are too old, and what is kept of the price source's answers."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.conf import settings

from forecasting.market.stored import recent_bars
from forecasting.market.upstream import Answer
from forecasting.models import Quote, Symbol
from forecasting.models.quotes import COLUMNS
from forecasting.prices.quotes import quote_problem
from forecasting.prices.sources import PriceHistory

NO_QUOTE = "the price source gives no price of the session under way"


def is_old(symbol: Symbol, quote: Quote | None, *, now: datetime) -> bool:
    """Whether a request should ask for another one. Not if the price source has just said that it does not know the symbol."""
    if symbol.is_unknown(now=now):
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

    A quote that cannot be right is refused: the last one stays, with the reason. Three queries.
    """
    newest = recent_bars(answers, count=1)
    usable, others = [], []
    for symbol, answer in answers.items():
        bars = newest[symbol.pk]
        quote, problem = answer.quote if isinstance(answer, PriceHistory) else None, ""
        if isinstance(answer, PriceHistory) and not quote:
            problem = answer.quote_problem or NO_QUOTE
        elif quote and len(bars):
            found = quote_problem(
                quote, exchange=symbol.calendar, last_bar=bars.index[-1].date(), last_close=float(bars["close"].iloc[-1]), now=now
            )
            problem = found.text if found else ""
        if quote and not problem:
            usable.append(Quote(symbol=symbol, asked_at=now, **{name: getattr(quote, name) for name in COLUMNS}))
        else:
            others.append(Quote(symbol=symbol, asked_at=now, problem=problem))
    _upsert(usable, ["asked_at", "problem", *COLUMNS])
    _upsert(others, ["asked_at", "problem"])


def _upsert(rows: list[Quote], fields: list[str]) -> None:
    rows.sort(key=lambda row: row.symbol_id)  # so that two callers cannot deadlock
    Quote.objects.bulk_create(rows, update_conflicts=True, unique_fields=["symbol"], update_fields=fields)
