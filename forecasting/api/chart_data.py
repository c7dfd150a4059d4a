"""What a chart shows: read with a constant number of queries, and in the prices of its closes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from forecasting import live, serving
from forecasting.api.rows import all_but
from forecasting.models import Forecast, ModelVersion, PriceBar, Restatement, Symbol
from forecasting.models.forecasts import Basis, Outlook
from forecasting.pipeline.config import ForecastConfig
from forecasting.prices.price_digits import decimals

EARLIER = 5  # bars before the first shown one, from which the first forecasts may have been made
NOT_SHOWN = ("reference", "risk", "quote", "leads", *all_but("version", ModelVersion, "number", "symbol"))


@dataclass(frozen=True, slots=True)
class Band:
    """A forecast, or its outlook on a later session, in the prices of the chart."""

    forecast: Forecast
    of: Forecast | Outlook
    ratio: float  # of a price in the chart to one of the forecast: splits and dividends came between
    decimals: int

    @property
    def price(self) -> float:
        """The median."""
        return self.of.price * self.ratio

    def quantile(self, level: str) -> float:
        """The price of a probability level."""
        return float(self.of.quantiles[level]) * self.ratio

    @property
    def close(self) -> float | None:
        """The close against which it was scored; None before that."""
        return self.forecast.score.actual_close * self.ratio if self.forecast.score else None

    @property
    def inside(self) -> bool | None:
        """Whether that was inside the interval."""
        return self.forecast.score.inside_interval if self.forecast.score else None


@dataclass(frozen=True, slots=True)
class Close:
    """The close of a session."""

    date: date
    close: float
    decimals: int


@dataclass(frozen=True, slots=True)
class LivePrice:
    """The last trade of the session that is under way."""

    session: live.Session
    decimals: int


@dataclass(frozen=True, slots=True)
class Served:
    """From which session on a version forecast."""

    version: ModelVersion
    since: date


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it, oldest first."""

    symbol: Symbol
    decimals: int
    closes: Sequence[Close]
    forecasts: Sequence[Band]
    next: Sequence[Band]
    outlook: Sequence[Band]
    live: LivePrice | None
    restatements: Sequence[Restatement]
    level: float = ForecastConfig().interval_level

    @property
    def versions(self) -> list[Served]:
        """From which session on each version forecast, as far as the chart shows it."""
        return list(_changes(band.forecast for band in self.forecasts if band.forecast.basis == Basis.CLOSE))


def chart_of(symbol: Symbol, *, sessions: int, now: datetime) -> Chart:
    """The chart of a symbol's last sessions. Starts nothing, and does not ask the price source. Seven queries at most."""
    bars = list(PriceBar.objects.of(symbol).reverse().values_list("date", "close")[: sessions + EARLIER])[::-1]
    shown = bars[-sessions:]
    digits = decimals(min((close for _, close in shown), default=1.0))
    first, last = (shown[0][0], shown[-1][0]) if shown else (date.max, date.max)
    known = dict(bars)
    rows = Forecast.objects.of([symbol]).filter(target_date__gte=first).one_per_session_and_basis().with_score()
    bands = [_band(each, known, digits) for each in rows.select_related("version").defer(*NOT_SHOWN)]
    answer = serving.answer_that_stands(symbol.ticker, now=now)
    standing = answer.forecast if answer else _of_another_version(symbol, last)
    best = _band(standing, known, digits) if standing else None
    return Chart(
        symbol,
        digits,
        closes=[Close(day, close, digits) for day, close in shown],
        forecasts=[band for band in bands if band.forecast.target_date <= last],
        next=_open(bands, best) if best else [],
        outlook=[Band(best.forecast, each, best.ratio, digits) for each in best.forecast.outlooks] if best else [],
        live=LivePrice(answer.session, digits) if answer and answer.session and answer.session.is_priced else None,
        restatements=list(Restatement.objects.filter(symbol=symbol, date__gte=first).order_by("date", "pk")),
    )


def _of_another_version(symbol: Symbol, as_of: date) -> Forecast | None:
    """The newest forecast from the last bar: a version that staff have just activated may have none before the first request."""
    if not symbol.is_in_service:
        return None
    newest = Forecast.objects.of([symbol]).of_next_close().filter(as_of=as_of).with_outlook().order_by("-issued_at", "-pk")
    return newest.select_related("version").first()


def _band(forecast: Forecast, closes: Mapping[date, float], digits: int) -> Band:
    """The forecast in the prices of the chart, which has the close that it was made from."""
    return Band(forecast, forecast, closes.get(forecast.as_of, forecast.last_close) / forecast.last_close, digits)


def _open(bands: Sequence[Band], best: Band) -> list[Band]:
    """The forecasts of the next session, of which the best is served: it knows most."""
    same = ("version_id", "as_of", "target_date")
    others = [
        each
        for each in bands
        if all(getattr(each.forecast, name) == getattr(best.forecast, name) for name in same)
        and each.forecast.basis < best.forecast.basis
    ]
    return [*others, best]


def _changes(forecasts: Iterator[Forecast]) -> Iterator[Served]:
    serving_id: Any = None
    for forecast in forecasts:
        if forecast.version_id != serving_id:
            yield Served(forecast.version, forecast.target_date)
            serving_id = forecast.version_id
