"""The packages of the extra `program`, which no part of the library needs besides the program."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import MissingPackageError, phrase

PACKAGES = {"polars": "polars", "sklearn": "scikit-learn", "scipy": "scipy"}
"""Module that every task imports → its name in a package index. Other packages are imported where they are used."""
EXTRA = "pip install 'ostinato[program]'"


def missing_packages() -> list[str]:
    """Names, in a package index, of the packages that every task needs and that are not installed."""
    return [name for module, name in PACKAGES.items() if find_spec(module) is None]


def require_program(where: str) -> None:
    """Raises MissingPackageError where a package that every task needs is not installed; `where` begins the message."""
    names = missing_packages()
    if names:
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        name = f"the package{'s' if len(names) > 1 else ''} {listed}"
        remedy = f"Install what the program on files needs: {EXTRA}."
        raise MissingPackageError(phrase(where, name, "installed", "none", remedy))
