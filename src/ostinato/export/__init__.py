"""Networks for other runtimes, and weights for other libraries: ONNX files, and the layouts of ONNX, Keras and Flax."""

from .file import Exported, onnx

__all__ = ["Exported", "onnx"]
