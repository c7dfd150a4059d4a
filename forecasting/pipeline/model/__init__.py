"""The forecasting model: features, windows, the two experts, calibration."""
