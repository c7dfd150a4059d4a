"""Quotes of the fake Yahoo: a session under way, of which an answer shows what has been traded until now.

    trades = day_of_trades("AAA", date(2024, 7, 1), prices=(20.0, 21.0, 20.5))
    fake.scenarios["AAA"] = trading(trades, delay=timedelta(minutes=15))

Move the clock and ask again. The cases:
- before the open, closed market: no trade yet; the answer has the close of the last bar, at its time
- halt: `trades` that end early; half day: the calendar shortens the day
- delayed feed: `delay`; after the close: all trades, and the bar of the session
- split this morning, wrong unit: `prices` divided by two or by a hundred
- coin, currency pair: their symbols
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from forecasting.prices.calendars import exchange_of
from forecasting.prices.schedules import schedule_of
from tests.fake_yahoo.server import Answer, FakeYahoo, Request, Scenario, listing_of, results, timestamp

SHARES = 1_000  # per trade

Trades = Sequence[tuple[datetime, float]]  # times and prices, ascending


def day_of_trades(
    symbol: str, session: date, *, prices: Sequence[float], until: datetime | None = None, every: timedelta = timedelta(minutes=1)
) -> Trades:
    """Trades from open to close of a session, on a line through `prices` at equal distances, outside of lunch breaks.

    `until`: the last trade, of a session that is halted.
    """
    schedule = schedule_of(exchange_of(symbol))
    opens, closes, rest = schedule.open(session), schedule.close(session), schedule.rest(session)
    assert opens, f"{symbol} has no opening time on {session}"
    times = [opens + step * every for step in range(int((closes - opens) / every) + 1)]
    levels = np.interp(np.linspace(0, 1, len(times)), np.linspace(0, 1, len(prices)), prices).round(4).tolist()
    return [
        (time, price)
        for time, price in zip(times, levels, strict=True)
        if (until is None or time <= until) and not (rest and rest[0] < time < rest[1]) and schedule.local_date(time) == session
    ]


def trading(
    trades: Trades, *, delay: timedelta = timedelta(0), clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Scenario:
    """The symbol's bars, with the quote of the session of `trades` as of now; its own bar, if there is one, is replaced by it."""

    def answer(fake: FakeYahoo, request: Request) -> Answer:
        seen = [trade for trade in trades if trade[0] <= clock() - delay]
        listing, chart = listing_of(request.symbol), fake.chart(request)
        session = trades[0][0].astimezone(ZoneInfo(listing.timezone)).date()
        _cut(chart, before=timestamp(session, listing))
        chart["meta"] |= _live(seen) if seen else _finished(fake, request.symbol, before=session)
        chart["meta"]["currentTradingPeriod"] = {"regular": _hours(request.symbol, session)}
        if seen:
            _add_row(chart, seen)
        return results(chart)

    return answer


def _cut(chart: dict[str, Any], *, before: int) -> None:
    """Removes the rows from a moment on."""
    count = sum(moment < before for moment in chart.get("timestamp", []))
    for series in (chart.get("timestamp", []), *_series_of(chart)):
        del series[count:]


def _series_of(chart: dict[str, Any]) -> list[list[Any]]:
    return [*chart["indicators"]["quote"][0].values(), *chart["indicators"]["adjclose"][0].values()]


def _add_row(chart: dict[str, Any], trades: Trades) -> None:
    """The unfinished bar. Like Yahoo's, it has the time of the last trade."""
    prices = [price for _, price in trades]
    row = {"open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1], "volume": SHARES * len(prices)}
    chart.setdefault("timestamp", []).append(int(trades[-1][0].timestamp()))
    for column, value in row.items():
        chart["indicators"]["quote"][0].setdefault(column, []).append(value)
    chart["indicators"]["adjclose"][0].setdefault("adjclose", []).append(prices[-1])


def _live(trades: Trades) -> dict[str, Any]:
    prices = [price for _, price in trades]
    return {
        "regularMarketPrice": prices[-1],
        "regularMarketTime": int(trades[-1][0].timestamp()),
        "regularMarketDayHigh": max(prices),
        "regularMarketDayLow": min(prices),
        "regularMarketVolume": SHARES * len(prices),
    }


def _finished(fake: FakeYahoo, symbol: str, *, before: date) -> dict[str, Any]:
    """The last trade of the last bar before a session."""
    bars = fake.bars[symbol]
    earlier = bars[[day.date() < before for day in bars.index]]
    close = schedule_of(exchange_of(symbol)).close(earlier.index[-1].date())
    return {"regularMarketPrice": float(earlier["close"].iloc[-1]), "regularMarketTime": int(close.timestamp())}


def _hours(symbol: str, session: date) -> dict[str, Any]:
    schedule = schedule_of(exchange_of(symbol))
    opens, closes = schedule.open(session), schedule.close(session)
    assert opens
    return {"timezone": "", "start": int(opens.timestamp()), "end": int(closes.timestamp()), "gmtoffset": 0}
