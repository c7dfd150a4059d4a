"""How good forecasts are: metrics, baselines, drift, backtests."""
