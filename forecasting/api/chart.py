"""The chart of a symbol: its closes, the forecasts as they were issued, and those of the sessions to come."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request

from forecasting.api import list_examples as examples
from forecasting.api.callers import caller_of
from forecasting.api.chart_data import Band, chart_of
from forecasting.api.credentials import ApiKey
from forecasting.api.documentation import BAD_PARAMETER, CACHED, answer, errors
from forecasting.api.fields import Choice, Count, Day, DayText, Flag, Moment, Number, Price, Shape, ShapeList, Simulated, Text
from forecasting.api.list_documentation import DETAIL_ERRORS, RECORDS
from forecasting.api.parameters import require_known, whole_number
from forecasting.api.validity import SOON
from forecasting.api.views import OpenRoute
from forecasting.api.written import json_response, json_text
from forecasting.models import Symbol
from forecasting.models.forecasts import Basis
from forecasting.models.restatements import RestatementReason

SESSIONS, MOST_SESSIONS = 120, 1000


def _quantile(level: str) -> Number:
    """A field: the price of a probability level."""

    def price(band: Band) -> float:
        return round(band.quantile(level), band.decimals)

    return Number(of=price)


class ChartClose(Shape):
    """The close of a session, after later splits and dividends."""

    date = Day()
    close = Price()


class ChartBand(Shape):
    """A median and its intervals."""

    price = Price(help_text="The median.")
    low_80 = _quantile("0.1")
    high_80 = _quantile("0.9")
    low_90 = _quantile("0.05")
    high_90 = _quantile("0.95")


class ChartNext(ChartBand):
    """A forecast of the next close."""

    session = Day(of="forecast.target_date", help_text="The session whose close is forecast.")
    basis = Choice(Basis.choices, of="forecast.basis", help_text="What it knew, see `/models/predict`.")
    version = Count(of="forecast.version.number", help_text="Number of the version that made it.")
    kind = Choice(["symbol", "base"], of="forecast.version.kind", help_text="Whose version that is.")
    issued_at = Moment(of="forecast.issued_at")


class ChartForecast(ChartNext):
    """A forecast of the close of a session that is over."""

    close = Price(allow_null=True, help_text="The close that it was scored against; null before that.")
    inside = Flag(allow_null=True, help_text="Whether that was inside the interval of probability `level`; null before that.")


class ChartOutlook(ChartBand):
    """A forecast of a later close."""

    session = DayText(of="of.target_date", help_text="The session whose close is forecast.")
    sessions = Count(of="of.horizon", help_text="From the last known one to that.")


class ChartLive(Shape):
    """The last trade of the session that is under way."""

    session = Day(of="session.hours.session")
    price = Price(of="session.price")
    time = Moment(of="session.price_time", help_text="When that was traded.")
    delayed = Flag(of="session.delayed", help_text="Whether that was more than five minutes ago, as of delayed sources.")


class ChartVersion(Shape):
    """From which session on a version forecast from the symbol's own bars."""

    number = Count(of="version.number")
    kind = Choice(["symbol", "base"], of="version.kind")
    since = Day(help_text="As far as the chart shows it.")


class ChartRestatement(Shape):
    """A change of stored bars by the price source."""

    date = Day(help_text="Split or dividend: the first session after the rescaled bars. Else the first corrected session.")
    reason = Choice(RestatementReason.choices)


class ChartAnswer(Shape):
    """What a chart of a symbol shows, oldest first. All prices are those of its closes: splits and dividends that came after a
    forecast rescale it."""

    symbol = Text(of="symbol.ticker")
    exchange = Text(of="symbol.exchange", allow_null=True, help_text="See `/models/symbols`.")
    currency = Text(of="symbol.currency", help_text="As the price source writes it.")
    decimals = Count(help_text="Decimal places of its prices.")
    simulated = Simulated()
    level = Number(help_text="Probability of the interval that `inside` is about.")
    closes = ShapeList(ChartClose())
    forecasts = ShapeList(
        ChartForecast(),
        help_text="Forecasts of the next close, one for each session and basis: the one issued last; of those during the session "
        "the first, which knew least.",
    )
    next = ShapeList(ChartNext(), help_text="Of the session to come or under way; the last one is served. Empty if none stands.")
    outlook = ShapeList(ChartOutlook(), help_text="Of later sessions, issued together with it, nearest first.")
    live = ChartLive(allow_null=True, help_text="Null outside the session, and if there is no usable price.")
    versions = ShapeList(ChartVersion())
    restatements = ShapeList(ChartRestatement())


documentation = extend_schema(
    operation_id="get_chart",
    tags=[RECORDS],
    summary="Get a symbol's chart",
    description="Closes, the forecasts as they were issued with what became of them, and what is forecast now. Nothing is started, "
    "and the price source is not asked. A symbol that was taken out of service keeps its history.",
    parameters=[
        OpenApiParameter(
            "sessions",
            {"type": "integer", "minimum": 1, "maximum": MOST_SESSIONS, "default": SESSIONS},
            description="How many of the last sessions.",
        ),
        CACHED,
    ],
    responses={200: ChartAnswer, **errors(DETAIL_ERRORS | {400: BAD_PARAMETER})},
    examples=[answer("Two sessions", examples.CHART)],
)


class ChartRoute(OpenRoute):
    """The chart of a symbol. The admin shows it too, so that a login will do."""

    authentication_classes = (ApiKey, SessionAuthentication)

    @documentation
    def get(self, request: Request, ticker: str) -> HttpResponse:
        """The chart of the followed symbol of this ticker; case is ignored."""
        require_known(request.query_params, {"sessions"})
        sessions = whole_number(request.query_params, "sessions", default=SESSIONS, most=MOST_SESSIONS)
        symbol = get_object_or_404(Symbol.objects.filter(followed=True), ticker=ticker.upper())
        chart = chart_of(symbol, sessions=sessions, now=timezone.now())
        whose = "" if caller_of(request).is_anonymous else "private, "
        return json_response(json_text(ChartAnswer.json(chart)), headers={"Cache-Control": f"{whose}max-age={SOON}"})
