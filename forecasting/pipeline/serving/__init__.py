"""Serving of a trained model: ONNX graph, artifact files, forecaster."""

import os

# ONNX Runtime would keep a device id and events in the home folder, and send them. It reads this variable while it is imported;
# `disable_telemetry_events()` comes too late for the device id. Child processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
