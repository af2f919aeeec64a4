"""A Python for aarch64 with torch, llvmlite and numpy, which an emulator runs: what is missing is installed.

Everything lies in one folder outside of the repository: $OSTINATO_EMULATED, else ostinato/emulated in the user's cache
folder. Debian's Python comes from `mmdebstrap`, wheels from `pip download`, both from wherever these programs of this
machine are set to look.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

SUITE, PYTHON = "bookworm", "3.11"
"""The release of Debian, and the Python that it has: wheels are chosen for it."""
INCLUDED = ("python3", "libstdc++6", "libgomp1", "zlib1g")
TORCH = "2.8.0"
"""The newest version whose wheel for aarch64 is one for CPUs alone."""
BESIDE = (
    "typing_extensions", "sympy", "mpmath", "filelock", "fsspec", "jinja2", "networkx", "markupsafe",
)  # fmt: skip
"""What torch imports."""
TOOLS = {"qemu-aarch64": "qemu-user", "mmdebstrap": "mmdebstrap"}
"""Program → Debian's package that has it."""
SIZES = {"root": "Debian's Python, 80 MB", "packages": "wheels of torch, llvmlite and numpy, 180 MB, 700 MB unpacked"}
"""Part of the folder → what it is."""


def folder() -> Path:
    """Where the emulated Python lies."""
    asked = os.environ.get("OSTINATO_EMULATED")
    if asked:
        return Path(asked).resolve()
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else Path.home() / ".cache") / "ostinato" / "emulated"


def set_up(place: Path) -> None:
    """Installs what is missing. A part is put in its place once it is whole: what was cut off is made anew."""
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            refuse(f"{tool} must be installed. Debian has it in its package {package}.")
    makers: dict[str, Callable[[Path], None]] = {"root": _root, "packages": _packages}
    for name, make in makers.items():
        if (place / name).exists():
            continue
        print(f"{place / name}: {SIZES[name]}", flush=True)
        begun = place / f"{name}.part"
        shutil.rmtree(begun, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
        make(begun)
        begun.rename(place / name)


def _root(begun: Path) -> None:
    # Unpacked alone: no program of the other machine runs while it is made.
    included = f"--include={','.join(INCLUDED)}"
    _done(["mmdebstrap", "--quiet", "--arch=arm64", "--variant=extract", included, SUITE, str(begun)])


def _packages(begun: Path) -> None:
    wheels = begun / "wheels"
    # Without --no-deps, pip would add what torch needs on this machine's processor.
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--dest", str(wheels)]
    for platform in ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"):
        options += ["--platform", platform]
    pinned = [f"torch=={TORCH}", *(f"{name}=={version(name)}" for name in ("llvmlite", "numpy"))]
    _done([sys.executable, "-m", "pip", "download", *options, *pinned, *BESIDE])
    for wheel in sorted(wheels.glob("*.whl")):
        zipfile.ZipFile(wheel).extractall(begun)
    shutil.rmtree(wheels)


def _done(command: Sequence[str]) -> None:
    status = subprocess.run(command, check=False).returncode
    if status:
        refuse(f"{' '.join(command)} must end with status 0, got {status}.")


def run(place: Path, paths: Sequence[Path], arguments: Sequence[str]) -> int:
    """Runs Python inside of the emulator with these import paths; its exit status."""
    # Nothing of this machine's environment: its settings of Python and of libraries are those of another processor.
    environment = {
        "HOME": str(Path.home()),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(map(str, (place / "packages", *paths))),
        "PYTHONPYCACHEPREFIX": str(place / "bytecode"),
        "OSTINATO_CACHE": str(place / "kernels"),
    }
    root = place / "root"
    command = ["qemu-aarch64", "-L", str(root), str(root / f"usr/bin/python{PYTHON}"), *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


def emulator() -> str:
    """The emulator's name and version."""
    said = subprocess.run(["qemu-aarch64", "--version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0]


def refuse(why: str) -> NoReturn:
    """Ends with status 2, which is no comparison's."""
    print(f"aarch64: {why}", file=sys.stderr)
    raise SystemExit(2)
