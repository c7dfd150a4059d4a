"""Suggestions for a symbol that the price source does not have: other spellings of the same security.

Only obvious spellings are suggested; the caller prefers symbols that it has.
"""

import re
from collections.abc import Callable

INDICES = {
    "SPX": "^GSPC", "SP500": "^GSPC", "GSPC": "^GSPC", "NDX": "^NDX", "IXIC": "^IXIC", "DJI": "^DJI", "DJIA": "^DJI",
    "RUT": "^RUT", "VIX": "^VIX", "TNX": "^TNX", "SOX": "^SOX", "NYA": "^NYA", "FTSE": "^FTSE", "UKX": "^FTSE", "GDAXI": "^GDAXI",
    "FCHI": "^FCHI", "CAC40": "^FCHI", "STOXX50E": "^STOXX50E", "SX5E": "^STOXX50E", "N225": "^N225", "NKY": "^N225", "HSI": "^HSI",
    "IBOV": "^BVSP", "BVSP": "^BVSP", "IBOVESPA": "^BVSP", "NSEI": "^NSEI", "NIFTY": "^NSEI", "NIFTY50": "^NSEI",
    "SENSEX": "^BSESN",
}  # fmt: skip
# Suffixes of Bloomberg, Reuters, EODHD and Stooq, and Yahoo's equivalents.
SUFFIXES = {
    "LN": ".L", "LSE": ".L", "UK": ".L", "GR": ".DE", "GY": ".DE", "XETRA": ".DE", "FP": ".PA", "NA": ".AS", "IM": ".MI",
    "SM": ".MC", "BZ": ".SA", "BVMF": ".SA", "JP": ".T", "JT": ".T", "AU": ".AX", "ASX": ".AX", "CT": ".TO", "TSX": ".TO",
    "IN": ".NS", "NSE": ".NS", "BSE": ".BO", "US": "", "UN": "", "UW": "", "UQ": "", "N": "", "O": "", "OQ": "",
}  # fmt: skip
CURRENCIES = "USD|EUR|GBP|JPY|CHF|AUD|CAD|NZD|BRL|MXN|CNY|HKD|SEK|NOK|DKK|ZAR|TRY|INR|KRW|SGD|PLN|CZK|HUF"
COINS = "BTC|ETH|XRP|LTC|BCH|ADA|SOL|DOGE|DOT|BNB|XLM|TRX|AVAX|LINK|SHIB|XMR|ETC"

# Each rule: a pattern of the whole symbol, and a function that returns possible symbols.
RULES: tuple[tuple[str, Callable[[re.Match[str]], list[str]]], ...] = (
    (r"([A-Z]{4}(?:3|4|5|6|11|34|39))(?:\.(?!SA\Z)[A-Z]+)?", lambda found: [f"{found[1]}.SA"]),  # B3
    (r"([A-Z]{1,4})[._]([ABC])", lambda found: [f"{found[1]}-{found[2]}"]),  # a class of a US share
    (rf"({COINS})[._/-]?(USD|EUR|GBP|BRL)T?", lambda found: [f"{found[1]}-{found[2]}"]),
    (rf"({CURRENCIES})[._/-]?({CURRENCIES})", lambda found: [f"{found[1]}{found[2]}=X"]),
    (r"0(\d{4})(?:\.HK)?", lambda found: [f"{found[1]}.HK"]),  # codes of Hong Kong have five digits, Yahoo's four
    (r"(0\d{3})", lambda found: [f"{found[1]}.HK"]),  # four-digit codes of other exchanges do not begin with 0
    (r"([1-9]\d{3})", lambda found: [f"{found[1]}{suffix}" for suffix in (".T", ".HK", ".TW")]),
    (r"((?:60|68)\d{4})", lambda found: [f"{found[1]}.SS"]),
    (r"([A-Z0-9-]+)\.([A-Z]+)", lambda found: [found[1] + SUFFIXES[found[2]]] if found[2] in SUFFIXES else []),
)


def spellings(ticker: str) -> list[str]:
    """Other symbols that `ticker` may mean; empty if none is obvious."""
    named = [INDICES[ticker]] if ticker in INDICES else []
    made = [spelling for pattern, meant in RULES if (found := re.fullmatch(pattern, ticker)) for spelling in meant(found)]
    return [spelling for spelling in dict.fromkeys(named + made) if spelling != ticker]
