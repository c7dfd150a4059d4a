"""The price source Yahoo Finance, through yfinance, with typed errors. The only file that imports yfinance and curl_cffi.

By default, all tickers of a process share one yfinance session, one cookie jar and cached responses, errors included.
yfinance also stores time zones and pickled cookies in SQLite files, whose locks block other processes. Here every thread has
its own connection, and nothing is cached or written, so that fetches cannot delay or affect each other.
"""

import json
import threading
import time
import warnings
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import yfinance
from curl_cffi import CurlECode, CurlOpt, requests
from pandas.errors import Pandas4Warning
from yfinance.data import YfData
from yfinance.exceptions import YFDataException, YFException, YFPricesMissingError, YFRateLimitError
from yfinance.scrapers.history import PriceHistory as YahooHistory

from forecasting.prices.bars import COLUMNS, between, empty
from forecasting.prices.calendars import currency_of
from forecasting.prices.markets import exchange_named
from forecasting.prices.quotes import Quote, widened
from forecasting.prices.sources import (
    BadDataError,
    PriceHistory,
    PriceSourceError,
    RateLimitedError,
    UnknownSymbolError,
    UpstreamUnavailableError,
    checked_history,
)

# The library's code is not yet ready for the next major release of pandas; its import enables deprecation warnings.
warnings.filterwarnings("ignore", category=Pandas4Warning, module=r"yfinance\.")
# By default a failure, a timeout and an unknown symbol all return a frame without rows.
yfinance.config.debug.hide_exceptions = False

CHART = "/v8/finance/chart/"
SIDE_REQUEST_SHARE = 0.25  # share of a fetch's time for each request other than for prices (cookie, crumb, consent)
LONGEST_INSTRUMENT = 16  # characters; CRYPTOCURRENCY has 14
LARGEST_ANSWER = 16 * 1024 * 1024  # bytes; sixty years of daily bars need two million
AHEAD = timedelta(minutes=5)  # by which the requested range ends after now; clocks differ
BROWSER = "chrome"  # browser whose TLS handshake is imitated, because Yahoo rejects plain scripts

BAD_COOKIES = (401, 403)

# Exceptions of the library: its own, curl's (subclasses of OSError), JSON's, and those caused by responses of unexpected shape.
FAILURES = (YFException, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RuntimeError)


class Yahoo:
    """Daily bars of any symbol on Yahoo Finance. Threads may share an instance; processes may not."""

    def __init__(self, *, timeout_s: float = 10, base_url: str | None = None, cache_dir: Path) -> None:
        """`timeout_s`: time limit of one fetch with all its requests, in seconds.

        `base_url`: replaces yahoo.com in every request, for example with a proxy or the fake server of the tests.
        `cache_dir`: the only folder to which yfinance may write, instead of one in the home folder.
        """
        yfinance.set_tz_cache_location(str(cache_dir))
        self._timeout_s = timeout_s
        self._base_url = base_url
        self._threads = threading.local()

    def fetch(self, symbol: str, *, since: date | None, through: date) -> PriceHistory:
        """See PriceSource. Rows without prices are dropped; BadDataError if no row has a price."""
        session, data = self._connection()
        session.start(self._timeout_s)
        # Does the same as Ticker(symbol).history, without its cached request for the time zone. Any zone is valid here,
        # because the response contains the right one.
        history = YahooHistory(data, symbol, tz="UTC", session=session)
        every = _rows(history, session, symbol=symbol, since=since)
        rows = between(every, first=since, last=through)
        bars = rows.dropna(subset=["close"])
        if bars.empty and not rows.empty:
            raise BadDataError(symbol, f"all {len(rows)} bars of Yahoo Finance lack prices; try again later")
        metadata = _metadata(history)
        if (answered_for := _word(metadata.get("symbol"), longest=24)) not in ("", symbol):
            raise UnknownSymbolError(symbol, f"Yahoo Finance answers with {answered_for} instead; use that symbol")
        currency = _word(metadata.get("currency"), longest=8) or currency_of(symbol)
        exchange = exchange_named(_word(metadata.get("exchangeName"), longest=8))
        checked = checked_history(bars, symbol=symbol, currency=currency, exchange=exchange, since=since, through=through)
        instrument = _word(metadata.get("instrumentType"), longest=LONGEST_INSTRUMENT)
        traded_until = _moment(metadata.get("regularMarketTime"))
        return replace(checked, traded_until=traded_until, instrument=instrument, **_quoted(every, metadata, after=through))

    def _connection(self) -> "tuple[_Session, _Data]":
        """The connection of the current thread."""
        if not hasattr(self._threads, "connection"):
            session = _Session(self._base_url)
            # Bypasses the metaclass, which allows one instance per process and replaces its session.
            self._threads.connection = session, type.__call__(_Data, session=session)
        connection: tuple[_Session, _Data] = self._threads.connection
        return connection


class _RefusedError(YFException):
    """Yahoo refused the request for prices; a retry of the same request does not help."""

    def __init__(self, status: int, reason: str | None) -> None:
        """`reason`: Yahoo's error description; None if the response seems to come from another server."""
        super().__init__(f"HTTP status {status}: {reason}")
        self.reason = reason


class _Session(requests.Session[requests.Response]):
    """Enforces one deadline over all requests of a fetch, and records the HTTP status of the request for prices."""

    def __init__(self, base_url: str | None) -> None:
        super().__init__(impersonate=BROWSER, curl_options={CurlOpt.MAXFILESIZE_LARGE: LARGEST_ANSWER})
        self._base_url = base_url

    def start(self, timeout_s: float) -> None:
        """Starts a fetch with a time limit of `timeout_s` seconds."""
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self.chart_status: int | None = None

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        """Sends the request as curl_cffi does, within the remaining time and to the configured address.

        Raises _RefusedError if the request for prices fails for another reason than cookies, because yfinance would
        retry it with new cookies.
        """
        is_chart = urlsplit(url).path.startswith(CHART)
        kwargs["timeout"] = self._time_for(is_chart=is_chart)
        if is_chart:
            self.chart_status = None
        response = super().request(method, self._redirected(url), *args, **kwargs)
        if is_chart:
            self.chart_status = response.status_code
            if response.status_code >= 400 and response.status_code not in BAD_COOKIES:
                raise _RefusedError(response.status_code, _yahoos_words(response.content))
        return response

    def _time_for(self, *, is_chart: bool) -> float:
        left = self._deadline - time.monotonic()
        if left < 0.001:  # curl counts in milliseconds; 0 means no limit
            raise requests.exceptions.Timeout("the time for this fetch is over")
        return left if is_chart else min(left, self._timeout_s * SIDE_REQUEST_SHARE)

    def _redirected(self, url: str) -> str:
        parts = urlsplit(url)
        if self._base_url is None or not f".{parts.hostname}".endswith(".yahoo.com"):
            return url
        query = f"?{parts.query}" if parts.query else ""
        return f"{self._base_url.rstrip('/')}{parts.path}{query}"


class _Data(YfData):
    """Keeps cookies only in its session; yfinance would store them on disk, or request them at every fetch."""

    def _load_cookie_curlCffi(self) -> bool:  # noqa: N802  # the library's name
        return len(self._session.cookies) > 0

    def _save_cookie_curlCffi(self) -> bool:  # noqa: N802  # the library's name
        return True


def _rows(history: YahooHistory, session: _Session, *, symbol: str, since: date | None) -> pd.DataFrame:
    """All rows of the response as bars, including unfinished ones and ones without prices."""
    # One day early: a session of Sydney begins on the UTC date before. The end lies ahead: yfinance caches responses with a past
    # one, and drops a row of a trade that is not before it, such as one of this second.
    begins: dict[str, Any] = {"period": "max"} if since is None else {"start": since - timedelta(days=1)}
    span = begins | {"end": datetime.now(UTC) + AHEAD}
    try:
        frame: pd.DataFrame = history.history(**span, interval="1d", auto_adjust=True, actions=False, keepna=True)
    except FAILURES as error:
        if _says_nothing_newer(error, history, session):
            return empty()
        raise _explained(error, session, symbol=symbol) from error
    rows = frame.rename(columns=str.lower)[list(COLUMNS)]
    return rows.set_index(pd.DatetimeIndex(frame.index).tz_localize(None).normalize())


def _yahoos_words(body: bytes) -> str | None:
    """The description in an error of Yahoo's chart service; None for other bodies, such as a proxy's page."""
    try:
        return str(json.loads(body)["chart"]["error"]["description"])
    except (ValueError, LookupError, TypeError):
        return None


def _says_nothing_newer(error: Exception, history: YahooHistory, session: _Session) -> bool:
    """Whether Yahoo has the symbol, but no session in the requested range."""
    if isinstance(error, _RefusedError):
        return session.chart_status == 400 and (error.reason or "").startswith("Data doesn't exist")
    missing = isinstance(error, YFPricesMissingError) and error.yahoo_reason is None
    return missing and session.chart_status == 200 and "symbol" in _metadata(history)


def _word(value: Any, *, longest: int) -> str:
    """A symbol, currency or exchange from a response; "" if the value cannot be one."""
    return value if isinstance(value, str) and len(value) <= longest and value.isprintable() else ""


def _moment(value: Any) -> datetime | None:
    """A time from a response, of which yfinance has made a timestamp with time zone; None if the value is none."""
    return datetime.fromtimestamp(value.timestamp(), tz=UTC) if isinstance(value, datetime) and value.tzinfo else None


def _quoted(rows: pd.DataFrame, metadata: dict[str, Any], *, after: date) -> dict[str, Any]:
    """The fields `quote` and `quote_problem` of a history: the last trade, with the unfinished bar of its session.

    Without them if the last trade was in session `after` or earlier. The row's prices are as traded, like the price: Yahoo adjusts
    earlier bars only.
    """
    price, traded = metadata.get("regularMarketPrice"), metadata.get("regularMarketTime")
    if not isinstance(price, int | float) or not isinstance(traded, pd.Timestamp) or traded.date() <= after:
        return {}
    session = traded.date()  # yfinance has put the time into the exchange's time zone
    columns = ["open", "high", "low", "volume"]
    bars = rows.loc[rows.index == pd.Timestamp(session), columns].to_numpy(dtype=float)
    if not len(bars) or not np.isfinite([price, *bars[-1]]).all():
        return {"quote_problem": f"Yahoo Finance has a trade of {session}, but no complete bar of that day"}
    numbers = dict(zip(columns, bars[-1].tolist(), strict=True), price=float(price))
    return {"quote": widened(Quote(session=session, time=_in_utc(traded), ends=_end_of(session, metadata), **numbers))}


def _end_of(session: date, metadata: dict[str, Any]) -> datetime | None:
    """When the session ends; None if Yahoo does not say that of this session."""
    hours = metadata.get("currentTradingPeriod")
    regular = hours.get("regular") if isinstance(hours, dict) else None
    ends = regular.get("end") if isinstance(regular, dict) else None
    return _in_utc(ends) if isinstance(ends, pd.Timestamp) and ends.date() == session else None


def _in_utc(moment: pd.Timestamp) -> datetime:
    in_utc: datetime = moment.to_pydatetime().astimezone(UTC)
    return in_utc


def _metadata(history: YahooHistory) -> dict[str, Any]:
    """The response's metadata about the symbol. yfinance's public method sends another request if there is none."""
    return history._history_metadata or {}


def _explained(error: Exception, session: _Session, *, symbol: str) -> PriceSourceError:
    """The failure as a PriceSourceError. Only a 404 of Yahoo itself means an unknown symbol, not one of a proxy."""
    status = session.chart_status
    if isinstance(error, YFRateLimitError) or status == 429:
        return RateLimitedError(symbol, "Yahoo Finance refuses more requests for now; try again in a few minutes")
    if status == 404 and isinstance(error, _RefusedError) and error.reason is not None:
        return UnknownSymbolError(symbol, "Yahoo Finance has no such symbol; check its spelling and exchange suffix")
    if isinstance(error, requests.exceptions.Timeout):
        return UpstreamUnavailableError(symbol, "Yahoo Finance did not answer in time; try again later")
    if isinstance(error, requests.exceptions.RequestException) and error.code == CurlECode.FILESIZE_EXCEEDED:
        return UpstreamUnavailableError(symbol, "Yahoo Finance's response is too large; try again later")
    if status is None:
        return UpstreamUnavailableError(symbol, "Yahoo Finance cannot be reached; check the network or try again later")
    if status != 200:
        return UpstreamUnavailableError(symbol, f"Yahoo Finance failed with HTTP status {status}; try again later")
    if isinstance(error, OSError | json.JSONDecodeError | UnicodeDecodeError | YFDataException | YFPricesMissingError):
        return UpstreamUnavailableError(symbol, "Yahoo Finance returned no data; try again later")
    return BadDataError(symbol, f"Yahoo Finance's response has an unknown format ({error!r}); try again later")
