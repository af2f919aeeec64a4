"""Networks for other runtimes and machines, and weights for other libraries: ONNX files, C, Keras and Flax."""

from .chips.chip import CHIPS, Chip, chip
from .chips.report import CFiles
from .chips.write import c
from .onnx_writer import Exported, onnx
from .weights import from_flax, from_keras, from_onnx, to_flax, to_keras, to_onnx

__all__ = [
    "CHIPS",
    "CFiles",
    "Chip",
    "Exported",
    "c",
    "chip",
    "from_flax",
    "from_keras",
    "from_onnx",
    "onnx",
    "to_flax",
    "to_keras",
    "to_onnx",
]
