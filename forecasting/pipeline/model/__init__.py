"""What a forecast is computed from and by: features, windows, the experts, calibration."""
