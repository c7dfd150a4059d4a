"""Forecasts as visitors see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from forecasting.api.forecast import summary
from forecasting.models import Forecast, Symbol
from forecasting.models.conversion import row_in_prices_of_today
from forecasting.pages.remembered import Remembered
from forecasting.pages.sparkline import Drawing

PER_PAGE = 24
CLOSES = 60  # sessions in a chart


@dataclass(frozen=True, slots=True)
class Card:
    """One forecast of the next close: its numbers, its sentence and its chart."""

    forecast: Forecast
    drawing: Drawing | None  # None without bars

    @property
    def ticker(self) -> str:
        """Of its symbol."""
        return self.forecast.symbol.ticker

    @property
    def target(self) -> str:
        """The session whose close is forecast."""
        return long_day(self.forecast.target_date)

    @property
    def as_of(self) -> str:
        """The last session that the forecast knew."""
        return long_day(self.forecast.as_of)

    @property
    def is_over(self) -> bool:
        """Whether that session is, everywhere on earth."""
        return self.forecast.target_date < datetime.now(UTC).date()

    @property
    def level(self) -> str:
        """Of the interval."""
        return f"{100 * self.forecast.interval_level:.0f} %"

    @property
    def interval(self) -> str:
        """Both ends, with the currency."""
        digits = self.forecast.decimals
        ends = f"{self.forecast.interval_low:,.{digits}f} to {self.forecast.interval_high:,.{digits}f}"
        return f"{ends} {self.forecast.symbol.currency}".strip()

    @property
    def last_close(self) -> str:
        """The close that the forecast knew."""
        return f"{self.forecast.last_close:,.{self.forecast.decimals}f} {self.forecast.symbol.currency}".strip()

    @property
    def sentence(self) -> str:
        """The sentence that `predict` gives."""
        return summary(self.forecast)


def card(forecast: Forecast, closes: Sequence[float]) -> Card:
    """The card of a forecast. `closes`: up to its `as_of`, newest first."""
    return Card(forecast, Drawing.of(forecast, closes) if closes else None)


def cards(keys: list[int]) -> list[Card]:
    """The cards of these forecasts, in the order of the keys, in prices of today. One query."""
    rows = Forecast.objects.filter(pk__in=keys).with_closes(CLOSES).select_related("symbol", "version").in_bulk()
    return [card(row_in_prices_of_today(rows[key]), rows[key].closes) for key in keys if key in rows]


def _newest() -> list[int]:
    followed = Forecast.objects.newest_of(Symbol.objects.followed())
    return list(followed.order_by("-as_of", "symbol__ticker").values_list("pk", flat=True))


newest = Remembered(_newest)  # the keys of the newest forecast of each followed symbol, the newest and then the first ticker first


def long_day(day: date) -> str:
    """Such as `Tuesday 3 June 2025`."""
    return f"{day:%A} {day.day} {day:%B %Y}"
