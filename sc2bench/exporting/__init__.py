"""Device halves as ONNX, for devices without PyTorch: `runner` needs ONNX Runtime and the coder alone."""
