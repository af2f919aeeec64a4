"""Networks for other runtimes, and weights for other libraries: ONNX files, WebAssembly, layouts of other packages."""

from .onnx_writer import Exported, onnx
from .web.files import ExportedWasm, wasm
from .web.meaning import Meaning
from .web.page import ExportedPage, page
from .weights import from_flax, from_keras, from_onnx, to_flax, to_keras, to_onnx

__all__ = [
    "Exported", "ExportedPage", "ExportedWasm", "Meaning", "from_flax", "from_keras", "from_onnx", "onnx", "page",
    "to_flax", "to_keras", "to_onnx", "wasm",
]  # fmt: skip
