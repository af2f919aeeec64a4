"""`ostinato --version --json`: what a report of an error needs."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, requires, version
from re import match, search

from ostinato.apps.environment import environment
from ostinato.errors import InputError, NoKernelsError
from ostinato.kernels.system.target import host


def version_document() -> str:
    """One JSON document: ostinato, the machine, its vector unit and threads, the kernels' target, and packages."""
    found = {name.replace(" ", "_"): value for name, value in environment().items()}
    document = {"ostinato": found.pop("ostinato"), **found, "kernels": kernels(), "packages": packages()}
    return json.dumps(document, indent=1, ensure_ascii=False)


def kernels() -> str:
    """The instruction set that kernels are compiled for, or why there are no kernels."""
    try:
        return host().name
    except (NoKernelsError, InputError) as error:
        return str(error)


def packages() -> dict[str, str | None]:
    """Package that the metadata of this one names → its version, None where it is not installed.

    Packages of the extras `dev` and `docs` are left out. Empty where this package is run without being installed.
    """
    try:
        named = requires("ostinato") or []
    except PackageNotFoundError:
        return {}
    users = [line for line in named if not search(r"extra == .(dev|docs).$", line)]
    names = [found.group() for line in users if (found := match(r"[\w.-]+", line))]
    return {name: _version(name) for name in dict.fromkeys(names)}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
