"""Forecasts of the next session's closing price: market data, trainings, model versions, forecasts and their track record."""
