"""A model folder as ONNX files that another program runs, with what it needs to know beside them."""
