"""Markets of Yahoo Finance: a symbol's exchange, currency and country. The tables are in markets.toml."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ALWAYS, FOREX, WEEKDAYS = "24/7", "24/5", "WEEKDAYS"
UNKNOWN_CURRENCY = "XXX"  # ISO 4217: no currency
SHORTEST_QUOTE = 3  # letters of a coin's quote; a share has at most two after its hyphen, or no currency (-PRA)

TABLES: dict[str, Any] = tomllib.loads((Path(__file__).parent / "markets.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Market:
    """The market of a symbol. `country` is "" for markets that are not exchanges, such as currencies."""

    exchange: str
    currency: str
    country: str = ""


_SUFFIXES = {suffix: Market(*row) for suffix, row in TABLES["suffixes"].items()}
_EXCHANGES = {market.exchange: market for market in reversed(_SUFFIXES.values())}  # the first suffix of an exchange wins
_INDICES = {index: exchange for exchange, indices in TABLES["indices"].items() for index in indices}
_QUOTES = {*TABLES["quotes"]["currencies"].split(), *TABLES["quotes"]["coins"].split()}


def market_of(symbol: str) -> Market:
    """The market of `symbol`, by Yahoo's notation."""
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
    """The market of an exchange. An exchange without a suffix takes currency and country from the one with the same sessions."""
    known = _EXCHANGES.get(exchange) or _EXCHANGES.get(sessions_like(exchange))
    return replace(known, exchange=exchange) if known else Market(exchange, UNKNOWN_CURRENCY)


def exchange_named(name: str) -> str:
    """The exchange that Yahoo's responses call `name`; "" if none is known."""
    return str(TABLES["names"].get(name, ""))


def sessions_like(exchange: str) -> str:
    """Code of the exchange whose calendar applies to `exchange`: its own or another one."""
    return str(TABLES["calendars"].get(exchange, exchange))


def _quote(symbol: str) -> str:
    """Currency or coin in which a coin is quoted, such as TRY for BTC-TRY; "" for a share."""
    _, hyphen, quote = symbol.rpartition("-")
    return quote if hyphen and len(quote) >= SHORTEST_QUOTE and quote in _QUOTES else ""
