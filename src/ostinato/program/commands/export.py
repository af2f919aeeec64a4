"""The command `export`, as a function that gives back what is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError, phrase
from ..exporting.check import WHERE
from ..exporting.chips import export_steps
from ..exporting.export import export_folder
from ..options import ExportOptions
from .check import Ended
from .launched import one_process

FORMATS = ("--onnx", "--c", "--wasm", "--page")


def export_model(model: Path, formats: Sequence[str], check: bool, given: Mapping[str, Any]) -> Ended:
    """`ostinato export`: files for other programs. Raises InputError for no format or several, and for flags of one
    beside another.

    formats  flags that were typed, of FORMATS
    given    fields of ExportOptions that were typed
    """
    one_process(WHERE)
    options = ExportOptions(**given)
    if len(formats) != 1:
        received = ", ".join(formats) or "none"
        remedy = "Write one of them for each export." if formats else "Add --c, say."
        raise InputError(phrase(WHERE, "the format", f"one of {', '.join(FORMATS)}", received, remedy))
    (asked,) = formats
    for flag, typed, of in (
        ("--target", options.target is not None, "--c"),
        ("--form", options.form is not None, "--c"),
        ("--max-steps", options.max_steps is not None, "--c"),
        ("--no-check", not check, "--onnx"),
    ):
        if typed and asked != of:
            raise InputError(phrase(WHERE, flag, f"given beside {of}", f"beside {asked}", "Leave it out."))
    if asked == "--onnx":
        found = export_folder(model, options.out, check)
        return Ended(found.text(), found.content())
    written = export_steps(model, asked.removeprefix("--"), options)
    return Ended(written.text(), written.content())
