"""Aliases for renamed attributes and module members: the old name works and raises a DeprecationWarning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any


class RenamedAttribute:
    """A descriptor for the old name of an attribute: `length = RenamedAttribute("lengths")`."""

    def __init__(self, new: str) -> None:
        self.new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self.old, self.owner = name, owner.__name__

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        if instance is None:
            return self
        _warn(f"{self.owner}.{self.old}", f"{self.owner}.{self.new}")
        return getattr(instance, self.new)


def renamed_names(module: str, names: Mapping[str, tuple[str, Any]]) -> Callable[[str], Any]:
    """The `__getattr__` of a module; `names` maps an old name to (new name, object)."""

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new, value = names[name]
        _warn(f"{module}.{name}", f"{module}.{new}")
        return value

    return get


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} was renamed to {new}; the old name goes with the next release.", DeprecationWarning, 3)
