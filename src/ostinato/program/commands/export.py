"""The command `export`, as a function that gives back what is printed."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError, phrase
from ..exporting.check import WHERE
from ..exporting.export import export_folder
from .check import Ended
from .launched import one_process


def export_model(model: Path, onnx: bool, out: Path | None, check: bool) -> Ended:
    """`ostinato export`: files for another runtime. Raises InputError where no format is named."""
    one_process(WHERE)
    if not onnx:
        raise InputError(phrase(WHERE, "the format", "--onnx", "none", "Add --onnx."))
    found = export_folder(model, out, check)
    return Ended(found.text(), found.content())
