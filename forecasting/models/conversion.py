"""Forecasts in prices of today: a split or dividend changes all earlier prices, but no row of the ledger."""

from forecasting.models.forecasts import PRICES, Forecast


def in_prices_of_today(forecast: Forecast, *, close: float, rescaled_id: int | None) -> Forecast:
    """Itself, or converted if the last split or dividend of its symbol is newer than what it knew.

    `close`: that of its `as_of`, in prices of today. `rescaled_id`: the key of that split or dividend.
    """
    return from_close(forecast, close) if (rescaled_id or 0) > (forecast.restatement_id or 0) else forecast


def row_in_prices_of_today(row: Forecast) -> Forecast:
    """The same for a row with closes; itself if there are none."""
    return in_prices_of_today(row, close=row.closes[0], rescaled_id=row.rescaled_id) if row.closes else row


def from_close(forecast: Forecast, last_close: float) -> Forecast:
    """Itself, or converted if it started from another close."""
    if forecast.last_close == last_close:
        return forecast
    ratio, other = last_close / forecast.last_close, Forecast.__new__(Forecast)
    stored = {field.attname for field in forecast._meta.concrete_fields} | {"_state", "outlook"}
    kept = dict(vars(forecast))  # other threads may add to it
    vars(other).update({name: value for name, value in kept.items() if name in stored})  # not what was derived of them
    for name in PRICES:
        setattr(other, name, getattr(forecast, name) * ratio)
    other.quantiles = {level: price * ratio for level, price in forecast.quantiles.items()}
    other.reference = forecast.reference and {level: price * ratio for level, price in forecast.reference.items()}
    return other
