"""A digest of the sources that determine the content of kernels, wherever the package was imported from."""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The version of marshal without references between objects: its bytes follow from the code alone.
_PLAIN = 2


def digest(folder: Path, package: str, parts: Sequence[str]) -> str | None:
    """Digest of the modules of some parts of a package, subfolders included; None where they cannot be read.

    folder  where the package's files would be. Where there are none (in a zip, in a frozen program), the importer is
            asked for the sources, and for the compiled modules where it has no sources.
    """
    found = _files(folder, parts) or _modules(package, parts)
    if not found:
        return None
    total = hashlib.sha256()
    for name, content in sorted(found.items()):
        total.update(f"{name} {len(content)}\n".encode() + content)
    return total.hexdigest()


def _files(folder: Path, parts: Sequence[str]) -> dict[str, bytes]:
    """Path from the folder → content; nothing where one of the parts has no file."""
    found: dict[str, bytes] = {}
    for part in parts:
        paths = list((folder / part).rglob("*.py"))
        if not paths:
            return {}
        found |= {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return found


def _modules(package: str, parts: Sequence[str]) -> dict[str, bytes]:
    """Module → source or code, from the importer; nothing where it does not list this very module or has no code."""
    found: dict[str, bytes] = {}
    waiting = [f"{package}.{part}" for part in parts]
    while waiting:
        name = waiting.pop()
        spec = importlib.util.find_spec(name)
        content = None if spec is None else _content(spec.loader, name)
        if spec is None or content is None:
            return {}
        found[name] = content
        inside = pkgutil.iter_modules(spec.submodule_search_locations or [], f"{name}.")
        waiting += [module.name for module in inside]
    return found if __name__ in found else {}


def _content(loader: Any, name: str) -> bytes | None:
    if not hasattr(loader, "get_code"):
        return None
    source = loader.get_source(name) if hasattr(loader, "get_source") else None
    if source is not None:
        return source.encode()
    code = loader.get_code(name)
    return None if code is None else marshal.dumps(code, _PLAIN)
