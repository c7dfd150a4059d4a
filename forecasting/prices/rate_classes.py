"""Classes of symbols that share a base rate of rising days: indices and funds, and the shares of each exchange."""

from forecasting.prices.markets import ALWAYS, FOREX, TABLES, market_of, sessions_like
from forecasting.prices.weeks import is_unknown

INDEX_OR_FUND = "index or fund"
FUNDS = frozenset({"ETF", "MUTUALFUND"})  # Yahoo's words for what a symbol is
INDEX, SHARE = "INDEX", "EQUITY"

_NOT_PRICES = frozenset(TABLES["not_prices"]["indices"])


def rate_class(symbol: str, *, exchange: str = "", instrument: str = "") -> str | None:
    """INDEX_OR_FUND, or the exchange of a share; None for coins, currencies, futures and markets that are not known.

    `exchange`: of the symbol, if not that of its notation. `instrument`: what the price source calls it; "" if it does not say, and
    then a fund counts as a share.
    """
    if instrument in FUNDS:
        return INDEX_OR_FUND
    if symbol.startswith("^"):
        return None if symbol in _NOT_PRICES else INDEX_OR_FUND
    at = sessions_like(exchange or market_of(symbol).exchange)
    is_share = instrument in ("", SHARE) and "=" not in symbol
    return at if is_share and at not in (ALWAYS, FOREX) and not is_unknown(at) else None
