"""From trained weights to a device: ONNX, int8, C and safetensors."""
