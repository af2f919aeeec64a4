"""Packages that only an export needs: imported when it runs; the error for a missing one says what to install."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import MissingPackageError, phrase


def require(name: str, where: str) -> ModuleType:
    """The package `name`. Raises MissingPackageError where it is not installed; `where` begins the message."""
    try:
        return import_module(name)
    except ImportError as error:
        remedy = f"Install it: pip install {name}, or pip install 'ostinato[onnx]' for all that exports to ONNX need."
        raise MissingPackageError(phrase(where, f"the package {name}", "installed", "none", remedy)) from error
