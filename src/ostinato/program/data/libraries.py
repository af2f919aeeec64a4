"""The libraries of tables and treebanks: imported here, and missed in a message that says what to install."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ...errors import MissingPackageError, phrase


def needed(name: str, where: str) -> ModuleType:
    """The package `name`; where it is not installed, an error that says so in the name of `where`."""
    try:
        return import_module(name)
    except ImportError as error:
        remedy = f"Install it: pip install {name}, or pip install 'ostinato[program]' for all that training needs."
        raise MissingPackageError(phrase(where, f"the package {name}", "installed", "none", remedy)) from error


needed("polars", "reading a table")
import polars  # noqa: E402  (after the check above, so that a missing package is said in our words)

__all__ = ["needed", "polars"]
