"""Modules that have another place now: their old names keep working, with a warning that says the new one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any


def moved(old: str, new: str) -> Callable[[str], Any]:
    """The `__getattr__` of the module `old`: every name of the module `new`."""

    def get(name: str) -> Any:
        value = getattr(import_module(new), name)
        if not name.startswith("__"):
            warnings.warn(f"{old} is {new} now; the old name goes with the next release.", DeprecationWarning, 2)
        return value

    return get
