"""A session whose prices are known: New York trades on Monday, 1 July 2024, from 13:30 to 20:00 UTC."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from time_machine import TimeMachineFixture

from forecasting import market
from forecasting.models import Forecast, Symbol
from tests.api.serving import serve
from tests.factories import make_symbol
from tests.fake_yahoo import FakeYahoo, day_of_trades, generated_bars, trading

FRIDAY, MONDAY = date(2024, 6, 28), date(2024, 7, 1)
LONGER = generated_bars("AAA", first=date(2023, 9, 1), last=MONDAY)
KNOWN = LONGER[: str(FRIDAY)]
CLOSE = float(KNOWN["close"].iloc[-1])
RISE = (CLOSE, 1.05 * CLOSE, 1.1 * CLOSE)  # prices from the open to the close, on a line


def monday(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2024, 7, 1, hour, minute, second, tzinfo=UTC)


def followed(ticker: str, yahoo: FakeYahoo, time_machine: TimeMachineFixture) -> Symbol:
    time_machine.move_to(datetime(2024, 6, 29, 2, tzinfo=UTC))
    yahoo.bars[ticker] = KNOWN
    symbol = make_symbol(ticker)
    market.sync(symbol, now=datetime(2024, 6, 29, 2, tzinfo=UTC))
    serve(symbol)
    yahoo.scenarios[ticker] = trading(day_of_trades(ticker, MONDAY, prices=RISE))
    yahoo.requests.clear()
    return symbol


def told(answer: dict[str, Any]) -> tuple[str, str, bool]:
    return answer["basis"], answer["session"]["state"], answer["recorded"]


def live_rows() -> list[Forecast]:
    return list(Forecast.objects.filter(basis="live").order_by("quarter"))


def price_at(moment: datetime) -> float:
    """The price of the last whole minute, which RISE implies."""
    share = (moment - monday(13, 30)) // timedelta(minutes=1) / 390
    return CLOSE * (1 + 0.1 * share)
