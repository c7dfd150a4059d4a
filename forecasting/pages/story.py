"""What a symbol's page tells of its forecast."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils.text import capfirst

from forecasting.models import PriceBar, Score, Training
from forecasting.models.forecasts import Basis, Forecast, Outlook
from forecasting.pages import previews
from forecasting.pages.cards import CLOSES, Card, card, long_day
from forecasting.pages.record import Record, of_symbol
from forecasting.prices.catalogue import is_simulated
from forecasting.serving import Prediction

NOTHING_YET = "There is no forecast yet."


@dataclass(frozen=True, slots=True)
class Later:
    """A forecast of a later close, as text."""

    sessions: int
    target_date: str  # ISO 8601
    interval: str


@dataclass(frozen=True, slots=True)
class Story:
    """The forecast with what it knew and how earlier ones turned out; or why there is none."""

    ticker: str
    card: Card | None
    record: Record | None
    why: str = ""  # there is no forecast
    knows: str = ""
    made_by: str = ""
    old: str = ""  # it should know more by now
    warnings: Sequence[str] = ()
    price_now: str = ""
    later: Sequence[Later] = ()
    picture: int | None = None  # the key of the forecast of which one has been drawn
    is_due: bool = False  # a request for the forecast would bring another one
    opens: datetime | None = None  # of the session under way or next to come
    closes: datetime | None = None

    @property
    def description(self) -> str:
        """One or two sentences for search engines and social networks."""
        if self.card is None:
            return self.why
        return " ".join([self.card.sentence, *([self.record.coverage_sentence] if self.record else ())])


def story(prediction: Prediction) -> Story:
    """The story of an answer of `predict`. Two queries: closes and record."""
    symbol, forecast, session = prediction.symbol, prediction.forecast, prediction.session
    record = of_symbol(Score.objects.of([symbol]).track_record_with_squares(errors=True).first())
    if forecast is None:
        return Story(symbol.ticker, None, record, why=_why(prediction))
    bars = PriceBar.objects.filter(symbol=symbol, date__lte=forecast.as_of).order_by("-date")
    is_priced = session is not None and session.is_priced
    return Story(
        symbol.ticker,
        card(forecast, list(bars.values_list("close", flat=True)[:CLOSES])),
        record,
        knows=_knows(forecast),
        made_by=_made_by(forecast),
        old=f"This forecast is old: it knows no prices after {long_day(forecast.as_of)}." if prediction.stale else "",
        warnings=_warnings(prediction, forecast),
        price_now=_price_now(prediction, forecast) if is_priced else "",
        later=[_later(each, currency=forecast.symbol.currency) for each in forecast.outlooks],
        picture=_picture(prediction, forecast),
        is_due=prediction.stale or session is None,
        opens=session.hours.opens if session else None,
        closes=session.hours.closes if session else None,
    )


def _why(prediction: Prediction) -> str:
    training = Training.objects.active().of([prediction.symbol]).first()
    return f"{NOTHING_YET} Its model is being trained; come back in a minute." if training else NOTHING_YET


def _knows(forecast: Forecast) -> str:
    """All that it knew: nothing later."""
    known = f"closes up to {long_day(forecast.as_of)}"
    if forecast.basis == Basis.LEAD:
        moves = ", ".join(f"{each['symbol']} {each['percentage']:+.1f} %" for each in forecast.leads or ())
        known += f", and what other markets have done since ({moves})"
    if forecast.basis == Basis.LIVE:
        known += ", and the price during the session"  # of which the page shows price and time, which it keeps up to date
    return f"{capfirst(known)}."


def _made_by(forecast: Forecast) -> str:
    version = forecast.version
    whose = (
        "of the base model of all symbols"
        if version.symbol_id is None
        else "of the symbol\N{RIGHT SINGLE QUOTATION MARK}s own model"
    )
    return f"Made by version {version.number} {whose}, trained on {long_day(version.trained_at.date())}."


def _warnings(prediction: Prediction, forecast: Forecast) -> list[str]:
    found = []
    if forecast.simulated and not is_simulated(settings.PRICE_SOURCE):
        found.append("This forecast was made from simulated prices.")
    if prediction.session and prediction.session.problem:
        found.append(f"The price now is not used: {prediction.session.problem}.")
    return found


def _price_now(prediction: Prediction, forecast: Forecast) -> str:
    session = prediction.session
    if session is None or session.price is None or session.price_time is None:
        return ""
    delayed = ", delayed" if session.delayed else ""
    return f"{session.price:,.{forecast.decimals}f} {forecast.symbol.currency} at {session.price_time:%H:%M} UTC{delayed}"


def _later(each: Outlook, *, currency: str) -> Later:
    ends = f"{each.interval_low:,.{each.decimals}f} to {each.interval_high:,.{each.decimals}f} {currency}"
    return Later(each.horizon, each.target_date, ends.strip())


def _picture(prediction: Prediction, forecast: Forecast) -> int | None:
    """The key of the newest drawn forecast that was made before the session opened."""
    stands = vars(prediction.symbol)
    keys = [forecast.pk, stands.get("lead_id"), stands.get("close_id")]
    return next((key for key in keys if key and previews.exists(forecast.symbol_id, key)), None)
