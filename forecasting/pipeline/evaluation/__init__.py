"""Evaluation of forecasts: metrics, baselines, drift, backtests."""
