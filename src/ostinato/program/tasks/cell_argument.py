"""The cell that a user names: of the catalogue, by its canonical text, or in a Python file of the user's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ...cells import Cell, as_cell
from ...errors import InputError, OstinatoError, phrase


def resolve_cell(text: str, files: bool = False) -> Cell:
    """The cell of a catalogue name, of a canonical text, or, where `files` is set, of FILE.py:NAME.

    FILE.py is executed, so `files` is set only for what the user typed, never for what a model folder says; keep
    `resolve_cell(typed, files=True).text`, which names the same cell without the file. Raises InputError or CellError.
    """
    if not isinstance(text, str):
        raise InputError(phrase("--cell", "the cell", "a name or a canonical text", repr(text), "Write gru, say."))
    if "\n" in text:
        return Cell.from_text(text)
    path, colon, name = text.rpartition(":")
    if not colon or not path.endswith(".py"):
        return as_cell(text, "--cell")
    if not files:
        remedy = "Store the cell's canonical text, resolve_cell(typed, files=True).text."
        raise InputError(phrase("--cell", "the cell", "a name or a canonical text", repr(text), remedy))
    return _cell_in(Path(path), name)


def _cell_in(path: Path, name: str) -> Cell:
    remedy = "Write FILE.py:NAME, where NAME is a function of the file under @ostinato.cell."
    if not path.is_file():
        raise InputError(phrase("--cell", str(path), "a Python file", "no such file", remedy))
    spec = importlib.util.spec_from_file_location(f"ostinato_user_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # a path that ends in .py has a loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OstinatoError:
        raise
    except Exception as error:
        received = f"{type(error).__name__}: {error}"
        raise InputError(phrase("--cell", str(path), "a file that Python can run", received, remedy)) from error
    if not hasattr(module, name):
        known = ", ".join(key for key, value in vars(module).items() if isinstance(value, Cell)) or "no cell"
        raise InputError(phrase("--cell", f"{path}:{name}", "a cell of the file", f"a file with {known}", remedy))
    return as_cell(getattr(module, name), "--cell")
