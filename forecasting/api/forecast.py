"""A forecast in the answer of `predict`. A new field is one line in one of these classes, and its figure in examples.py."""

from collections.abc import Callable
from typing import Any

from forecasting import serving
from forecasting.api.fields import (
    PRICE,
    Choice,
    Constant,
    Count,
    Day,
    DayText,
    Flag,
    Moment,
    Number,
    Numbers,
    Price,
    Prices,
    Rounded,
    Shape,
    Shapes,
    Simulated,
    Text,
)
from forecasting.models import Forecast
from forecasting.models.forecasts import Basis
from forecasting.prices.session_state import SessionState

Range = tuple[float, float, float]  # probability that the close lies in it, lower and upper end


def percentage(forecast: Forecast) -> float:
    """The forecast move in percent, as it is shown. The sum turns -0.0 into 0.0."""
    return round(forecast.change_percent, 2) + 0.0


def direction(percentage: float) -> str:
    """The sign of a move as it is shown."""
    return "positive" if percentage > 0 else "negative" if percentage < 0 else "neutral"


def summary(forecast: Forecast, interval: Range | None = None) -> str:
    """The interval of a forecast, or another one, in one sentence for a person."""
    level, low, high = interval or (forecast.interval_level, forecast.interval_low, forecast.interval_high)
    digits, day = forecast.decimals, forecast.target_date
    text = f"{level:.0%}".replace("%", " %") + f": {low:.{digits}f} to {high:.{digits}f} {forecast.symbol.currency}"
    text += f" at the close of {day:%A} {day.day} {day:%B}"
    if (width := forecast.usual_width) is None:
        return f"{text}."
    compared = "as wide as usual" if f"{width:.1f}" == "1.0" else f"{width:.1f} times as wide as usual"
    return f"{text}; {compared}."


class Variation(Shape):
    """The forecast move."""

    status = Choice(["positive", "negative", "neutral"], of=direction)
    percentage = Number(of="*", help_text="Percent of the last close.")


class Interval(Shape):
    """The next close lies inside with probability `level`."""

    level = Number(of="interval_level")
    low = Price(of="interval_low", help_text=PRICE)
    high = Price(of="interval_high", help_text=PRICE)
    spread_factor = Rounded(
        4, help_text="Factor by which the online calibration multiplies the interval's width; below 1 narrows it."
    )


class OutlookInterval(Shape):
    """The close lies inside with probability `level`."""

    level = Number(of="interval_level")
    low = Price(of="interval_low", help_text=PRICE)
    high = Price(of="interval_high", help_text=PRICE)


class OutlookEntry(Shape):
    """A forecast of a later session, issued together with that of the next one."""

    sessions = Count(of="horizon", help_text="From the last known one to the target.")
    target_date = DayText(help_text="The session whose close is forecast.")
    median = Price(of="price", help_text=f"The last close: drifts are too small to forecast. {PRICE}")
    interval = OutlookInterval(of="*", allow_null=True, help_text="Null as that of the next session.")
    quantiles = Prices(help_text="Probability level to price.")


class ServingModel(Shape):
    """The version that made the forecast."""

    version = Count(of="number", help_text="Its number among the symbol's versions.")
    version_id = Count(of="pk", help_text="See `/models/versions/{id}`.")
    kind = Choice(["symbol", "base"], help_text="`base`: the model of all symbols, until this one has its own.")
    trained_at = Moment()


class Skill(Shape):
    """How far to trust it: the error on the version's test sessions beside the naive forecast's."""

    shows_dictionaries = True

    mase = Rounded(4, help_text="Below 1 is better than repeating the last close.")
    beats_naive = Flag(help_text="Whether it is significantly better (5 %).")


class LeadMove(Shape):
    """What another market has done since the symbol's last close."""

    shows_dictionaries = True

    symbol = Text()
    session = DayText(help_text="Its last session that the forecast knew.")
    percentage = Rounded(2, help_text="Its move in percent.")


class Risk(Shape):
    """Probabilities of large moves until the close of the target session, and the loss that may come with them."""

    shows_dictionaries = True

    below = Numbers(3, help_text="Percent to the probability of a close that far below the last one, or further.")
    above = Numbers(3, help_text="Percent to the probability of a close that far above the last one, or further.")
    value_at_risk = Numbers(2, help_text="Percent to the loss, in percent, that is not exceeded with that probability.")


class ForecastFields(Shape):
    """What comes from the forecast."""

    status = Constant("success")
    predicted_price = Price(of="price", help_text=f"Median of the next session's close. {PRICE}")
    point_forecast = Choice(
        ["last_close", "model", "lead", "price_now"],
        help_text="What `predicted_price` is: the last close, the model's median if that was significantly better, what other "
        "markets have done since the last close makes of it, or the price now.",
    )
    basis = Choice(
        Basis.choices,
        help_text="What it knows: the symbol's own bars, or also sessions of other markets, or also the price during the session.",
    )
    known_until = Moment(
        allow_null=True, help_text="When the leads were read, or the time of `price_now`; null if the basis is `close`."
    )
    leads = Shapes(LeadMove(), help_text="What other markets have done since the last close; null unless the basis is `lead`.")
    variation = Variation(of=percentage)
    last_close = Price(help_text=PRICE)
    as_of = Day(help_text="The last session that the forecast knew.")
    target_date = Day(help_text="The session whose close is forecast.")
    interval = Interval(
        of="*", allow_null=True, help_text="Null if `coverage` needs tails that an earlier release's version does not know."
    )
    usual_width = Rounded(
        2, allow_null=True, help_text="Width of the 80 % interval beside its median of the last year; null until that is known."
    )
    risk = Risk(allow_null=True, help_text="Null if the version was trained by an earlier release.")
    summary = Text(of=summary, help_text="The interval in one sentence.")
    probability_up = Rounded(
        3,
        help_text="That the close is above the last one. If the point forecast is the last close: how often the symbol's class "
        "rises, if that has proved better than 0.5; else 0.5.",
    )
    quantiles = Prices(help_text="Probability level to price.")
    outlook = Shapes(OutlookEntry(), of="outlooks", help_text="Later sessions. Null if the version cannot forecast them.")
    model = ServingModel(of="version")
    skill = Skill(of="version.skill")
    currency = Text(of="symbol.currency", help_text="As the price source writes it.")


class SessionHours(Shape):
    """The session that is under way, or that comes next."""

    state = Choice(
        [state.value for state in SessionState],
        help_text="`pre`: on its day, before it opens. `settling`: it has closed, and its bar is not final yet.",
    )
    opens = Moment(allow_null=True, help_text="Null if the exchange's hours are unknown.")
    closes = Moment()


class CloseForecast(Shape):
    """What was forecast from the symbol's own bars, before its session opened."""

    predicted_price = Price(of="price", help_text=PRICE)
    interval = Interval(of="*")
    as_of = Day(help_text="The last session that the forecast knew.")


class RequestFields(Shape):
    """What depends on the time of the request and on the price source."""

    session = SessionHours(of="session.hours")
    price_now = Price(
        of="session.price",
        allow_null=True,
        help_text=f"The last trade of the session; null before it opens and if it cannot be used. {PRICE}",
    )
    price_time = Moment(of="session.price_time", allow_null=True, help_text="When that was traded.")
    delayed = Flag(
        of="session.delayed",
        allow_null=True,
        help_text="Whether that was more than five minutes ago, as of delayed sources. Null without one.",
    )
    price_problem = Text(
        of="session.problem", allow_null=True, help_text="Why the session has no usable price; null if it has one or needs none."
    )
    recorded = Flag(
        help_text="Whether this forecast is in the ledger. During the session the first one of each quarter of an hour is kept."
    )
    close_forecast = CloseForecast(
        of="close", allow_null=True, help_text="What was said after the last close; null if the basis is `close`."
    )
    stale = Flag(help_text="Whether the bar of a session that has closed is missing.")
    simulated = Simulated()


class ForecastAnswer(ForecastFields, RequestFields):
    """The forecast of a symbol."""

    @classmethod
    def writer(cls) -> Callable[[serving.Prediction], dict[str, Any]]:
        """Both parts."""
        of_forecast, of_request = ForecastFields.writer(), RequestFields.writer()
        return lambda prediction: of_forecast(prediction.forecast) | of_request(prediction)
