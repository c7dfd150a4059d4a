"""The symbols of the soak and their prices, from a fake Yahoo that follows the moved clock."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache

from tests.fake_yahoo import FakeYahoo, generated_bars
from tests.fake_yahoo.server import Answer, Request, Scenario
from tests.fake_yahoo.trading import Trades, day_of_trades, trading

OWN = tuple(f"OWN{number}" for number in range(1, 9))  # trained
COINS = ("COIN1-USD", "COIN2-USD", "COIN3-USD")  # trained, and always in session
SHORT = ("SHORT1", "SHORT2", "SHORT3")  # with too few bars for a training: the base serves them
NEW = tuple(f"NEW{number}" for number in range(1, 100))  # nobody has asked for them yet
HISTORY, SHORT_HISTORY = timedelta(days=3 * 365), timedelta(days=430)
ALL = (*OWN, *COINS, *SHORT)
QUICK = (*OWN[:2], COINS[0], SHORT[0])  # served by the short form, whose time goes into trainings otherwise

Now = Callable[[], datetime]


def fill(yahoo: FakeYahoo, *, last: date, now: Now) -> None:
    """Bars of all symbols up to `last`. Their answers end at `now`, because the service asks until its own."""
    for symbol in (*OWN, *COINS, *SHORT, *NEW):
        history = SHORT_HISTORY if symbol in SHORT else HISTORY
        yahoo.bars[symbol] = generated_bars(symbol, first=last - history, last=last)
    yahoo.scenarios |= dict.fromkeys(COINS, _in_session(now))


def _in_session(now: Now) -> Scenario:
    """The session of `now` with its trades so far, on a line from open to close."""

    def answer(fake: FakeYahoo, request: Request) -> Answer:
        return trading(_trades(fake, request.symbol, now().date()), clock=now)(fake, request)

    return answer


@lru_cache(maxsize=16)
def _trades(fake: FakeYahoo, symbol: str, session: date) -> Trades:
    bar = fake.bars[symbol].loc[[session.isoformat()], ["open", "close"]].to_numpy()[0]
    return day_of_trades(symbol, session, prices=(float(bar[0]), float(bar[1])), every=timedelta(minutes=5))
