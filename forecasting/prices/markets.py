"""The markets that Yahoo Finance knows: a symbol's exchange, currency and country. The tables are in markets.toml."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ALWAYS, FOREX, WEEKDAYS = "24/7", "24/5", "WEEKDAYS"
UNKNOWN_CURRENCY = "XXX"  # ISO 4217: no currency
SHORTEST_QUOTE = 3  # letters of a coin's quote; what follows the hyphen of a share has at most two, or is no currency (-PRA)

TABLES: dict[str, Any] = tomllib.loads((Path(__file__).parent / "markets.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Market:
    """Where a symbol trades. What is no exchange, such as a market of currencies, has no country."""

    exchange: str
    currency: str
    country: str = ""


_SUFFIXES = {suffix: Market(*row) for suffix, row in TABLES["suffixes"].items()}
_EXCHANGES = {market.exchange: market for market in reversed(_SUFFIXES.values())}  # the first of an exchange's suffixes counts
_INDICES = {index: exchange for exchange, indices in TABLES["indices"].items() for index in indices}
_QUOTES = {*TABLES["quotes"]["currencies"].split(), *TABLES["quotes"]["coins"].split()}


def market_of(symbol: str) -> Market:
    """Where `symbol` trades, from the way Yahoo writes symbols."""
    _, dot, suffix = symbol.rpartition(".")
    if symbol.endswith("=X"):  # EURUSD=X, or BRL=X for USDBRL=X
        quote = symbol.removesuffix("=X")[-3:]
        return Market(FOREX, quote if len(quote) == 3 else UNKNOWN_CURRENCY)
    if symbol in _INDICES:
        return market_at(_INDICES[symbol])
    if dot or symbol.startswith("^"):
        return _SUFFIXES.get(suffix, Market(WEEKDAYS, UNKNOWN_CURRENCY))
    if quote := _quote(symbol):
        return Market(ALWAYS, quote)
    return _SUFFIXES[""]


def market_at(exchange: str) -> Market:
    """What is known of an exchange; an exchange without a suffix has the currency and country of the one whose sessions it has."""
    known = _EXCHANGES.get(exchange) or _EXCHANGES.get(sessions_like(exchange))
    return replace(known, exchange=exchange) if known else Market(exchange, UNKNOWN_CURRENCY)


def exchange_named(name: str) -> str:
    """The exchange that Yahoo's answers call `name`; "" where that names none."""
    return str(TABLES["names"].get(name, ""))


def sessions_like(exchange: str) -> str:
    """The exchange under whose code the sessions of `exchange` are known: itself or another one."""
    return str(TABLES["calendars"].get(exchange, exchange))


def _quote(symbol: str) -> str:
    """What a coin is quoted in, such as the TRY of BTC-TRY; "" for a share."""
    _, hyphen, quote = symbol.rpartition("-")
    return quote if hyphen and len(quote) >= SHORTEST_QUOTE and quote in _QUOTES else ""
