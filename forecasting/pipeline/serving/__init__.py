"""A trained model as it serves: ONNX graph, artifact files, forecaster."""
