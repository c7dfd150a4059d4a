"""Serving of a trained model: ONNX graph, artifact files, forecaster."""
