"""Formats values for the admin: badges, links, tables, prices, shares, dates, durations, JSON. Unknown values become a dash."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from django.contrib.admin.templatetags.admin_urls import admin_urlname
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from forecasting.models import Symbol
from forecasting.prices.markets import UNKNOWN_CURRENCY, WEEKDAYS, market_at
from forecasting.prices.price_digits import decimals
from forecasting.prices.weeks import is_unknown, trading_days

NOTHING = "-"


class Tone(StrEnum):
    """A badge's colour. It adds nothing to the text."""

    GOOD = "good"
    BUSY = "busy"
    WARNING = "warning"
    BAD = "bad"
    QUIET = "quiet"


def badge(text: str, tone: Tone, *, title: str = "") -> SafeString:
    """A coloured label; `title` is its tooltip."""
    return format_html('<span class="badge badge-{}" title="{}">{}</span>', tone, title, text)


def link(model: type[Model], key: int, text: str) -> SafeString:
    """A link to one row's page."""
    return format_html('<a href="{}">{}</a>', reverse(admin_urlname(model._meta, SafeString("change")), args=[key]), text)


def symbol_link(symbol: Symbol | None) -> SafeString | str:
    """A link to the symbol's page; `base` for what concerns all symbols together."""
    return link(Symbol, symbol.pk, symbol.ticker) if symbol else "base"


def link_to_ticker(ticker: str) -> SafeString:
    """The same for a ticker whose row is not at hand."""
    return format_html('<a href="{}">{}</a>', reverse("admin:forecasting_symbol_find", query={"q": ticker}), ticker)


def link_to_list(model: type[Model], text: str, **filters: object) -> SafeString:
    """A link to the rows that match the lookups."""
    address = reverse(admin_urlname(model._meta, SafeString("changelist")), query=filters)
    return format_html('<a href="{}">{}</a>', address, text)


def market(exchange: str | None) -> str:
    """An exchange's code and country, or the trading days of an unknown market; a dash before the first bars."""
    if exchange is None:
        return NOTHING
    if is_unknown(exchange):
        week = "Mon to Fri, until its bars show other days" if exchange == WEEKDAYS else f"learned: {trading_days(exchange)}"
        return with_note("unknown market", week)
    country = market_at(exchange).country
    return with_note(exchange, country) if country else exchange


def joined(parts: Iterable[SafeString]) -> str:
    """Pieces of HTML in one line; a dash if there are none."""
    return format_html_join(" \N{MIDDLE DOT} ", "{}", ((part,) for part in parts)) or NOTHING


def with_note(text: str, note: str) -> SafeString:
    """A value with a note in small type below it."""
    return format_html('{}<br><span class="note">{}</span>', text, note)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> SafeString:
    """A table whose first column contains the row headings."""
    cells = ((first, format_html_join("", "<td>{}</td>", ((cell,) for cell in others))) for first, *others in rows)
    return format_html(
        '<div class="table-frame"><table class="figures"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        format_html_join("", '<th scope="col">{}</th>', ((name,) for name in header)),
        format_html_join("", '<tr><th scope="row">{}</th>{}</tr>', cells),
    )


def price(value: float | None, *, reference: float | None = None, currency: str = "") -> str:
    """A price or price difference, with the decimals suitable for prices near `reference` (default: the value itself)."""
    if value is None:
        return NOTHING
    number = f"{value:,.{decimals(value if reference is None else reference)}f}"
    return number if currency in ("", UNKNOWN_CURRENCY) else f"{number} {currency}"


def percent(value: float | None, *, places: int = 1, signed: bool = False) -> str:
    """A percentage, such as `12.3 %`."""
    if value is None:
        return NOTHING
    number = round(value, places) + 0.0  # the sum turns -0.0 into 0.0
    return f"{number:{'+' if signed else ''}.{places}f} %"


def figure(value: float | None, *, places: int = 4) -> str:
    """A number without a unit."""
    return NOTHING if value is None else f"{value:.{places}f}"


def day(value: date) -> str:
    """A date in the admin's format."""
    return date_format(value, "DATE_FORMAT")


def age(moment: datetime) -> str:
    """Age in whole days, such as `2 days old`."""
    return f"{count((timezone.now() - moment).days, 'day')} old"


def count(number: int, noun: str) -> str:
    """`1 day`, `2 days`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span(duration: timedelta | None) -> str:
    """A duration in its two largest units, such as `1 min 12 s`; below ten seconds with tenths."""
    if duration is None:
        return NOTHING
    seconds = duration.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def soon(wait: timedelta) -> str:
    """When something ends: `in about 12 s`; no estimate is good to a second."""
    return f"in about {span(wait)}" if wait >= timedelta(seconds=10) else "in a few seconds"


def shortened(text: str) -> str:
    """A text cut to fit a list column, with the full text as tooltip."""
    return format_html('<span title="{}">{}</span>', text, Truncator(text).chars(100)) if text else NOTHING


def sentence(text: str) -> SafeString:
    """A text that wraps inside a table of figures."""
    return format_html('<span class="sentence">{}</span>', text)


def verbatim(text: str) -> SafeString:
    """A text with its line breaks preserved."""
    return format_html('<pre class="verbatim">{}</pre>', text)


def pretty_json(value: Mapping[str, Any]) -> SafeString:
    """Indented JSON."""
    return verbatim(json.dumps(value, indent=2, ensure_ascii=False))


def ratio(numerator: float, denominator: float) -> str:
    """The ratio of two errors; a dash if the denominator is zero."""
    return f"{numerator / denominator:.3f}" if denominator else NOTHING


def live_record(record: Mapping[str, Any], *, currency: str) -> SafeString:
    """A track record compared with the naive forecast; see `ScoreQuerySet.track_record`."""
    rows = (
        ("Scored forecasts", str(record["forecasts"]), ""),
        ("Mean absolute error (MAE)", *(price(record[name], currency=currency) for name in ("mae", "naive_mae"))),
        ("Error relative to the naive forecast (MASE)", ratio(record["mae"], record["naive_mae"]), "1"),
        ("Closes inside the interval", percent(100 * record["coverage"]), ""),
    )
    return table(("", "model", "naive"), rows)
