"""Networks for other runtimes, and weights for other libraries: ONNX files, and the layouts of ONNX, Keras and Flax."""

from .onnx_writer import Exported, onnx
from .weights import from_flax, from_keras, from_onnx, to_flax, to_keras, to_onnx

__all__ = ["Exported", "from_flax", "from_keras", "from_onnx", "onnx", "to_flax", "to_keras", "to_onnx"]
