"""Networks for other runtimes and machines, and weights for other libraries: ONNX files, C, WebAssembly, pages."""

from .chips.chip import CHIPS, Chip, chip
from .chips.report import CFiles
from .chips.write import c
from .onnx_writer import Exported, onnx
from .web.files import ExportedWasm, wasm
from .web.meaning import Meaning
from .web.page import ExportedPage, page
from .weights import from_flax, from_keras, from_onnx, to_flax, to_keras, to_onnx

__all__ = [
    "CFiles",
    "CHIPS",
    "Chip",
    "Exported",
    "ExportedPage",
    "ExportedWasm",
    "Meaning",
    "c",
    "chip",
    "from_flax",
    "from_keras",
    "from_onnx",
    "onnx",
    "page",
    "to_flax",
    "to_keras",
    "to_onnx",
    "wasm",
]
