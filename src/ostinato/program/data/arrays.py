"""Arrays in an .npz file: X (or series, or features), y, and optionally lengths, groups and split.

Nothing in the file is executed: arrays of Python objects, which are pickles, are refused before they are read.
"""

from __future__ import annotations

import io
import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ...errors import InputError
from . import bounded
from .examples import InputKind, Origin, Source
from .refusals import listed, refused, shown
from .rows import Rows

INPUTS: Mapping[str, InputKind | None] = {"series": "series", "features": "features", "X": None, "x": None}
"""Names of the input array and what each says of it; None: its number of axes decides."""
TARGETS = ("y", "target", "label")
DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError, ValueError, TypeError, OSError, EOFError,
    KeyError,
)  # fmt: skip
"""Errors of zipfile and of numpy's reader of headers, which are literals of Python, for a file that is not whole."""


def read_arrays(path: Path, target: str | None, group: str | None, with_target: bool) -> Rows:
    """The rows of an .npz file: series [N, T, C] or [N, T] under the name series, features [N, C].

    `lengths` [N] cuts the series to their own lengths; NaN is missing.

    Raises InputError for arrays of objects, of other shapes, and for a file larger than the limit.
    """
    data, digest = bounded.read_bytes(path)
    arrays = load(data, path)
    name = one_of(arrays, INPUTS, path, "an array of inputs")
    x = numeric(arrays[name], name, path)
    kind = INPUTS[name] or ("series" if x.ndim == 3 else "features")
    wanted = (2, 3) if kind == "series" else (2,)
    if x.ndim not in wanted or not len(x):
        expected = "[N, T, C] or [N, T]" if kind == "series" else "[N, C]"
        raise refused(path, f"the array {name}", f"of shape {expected} with N at least 1", list(x.shape), "Reshape it.")
    inputs = cut(x[:, :, None] if kind == "series" and x.ndim == 2 else x, arrays, kind, path)
    y = None
    chosen = target or "y"
    if with_target or any(t in arrays for t in ([target] if target else TARGETS)):
        chosen = one_of(arrays, [target] if target else TARGETS, path, "an array of targets")
        y = vector(arrays[chosen], chosen, len(x), path).tolist()
    groups = None
    if group is not None:
        groups = [str(g) for g in vector(arrays[one_of(arrays, [group], path, "--group")], group, len(x), path)]
    parts = [str(p) for p in vector(arrays["split"], "split", len(x), path)] if "split" in arrays else None
    what = f"the array {name} of {path.name} has shape {list(x.shape)}"
    origins = [Origin(path.name, 0, row) for row in range(1, len(x) + 1)]
    channels = [f"channel_{c}" for c in range(1, inputs[0].shape[-1] + 1)]
    source = [Source(path, digest, len(x), 0)]
    return Rows(kind, inputs, y, None, what, origins, source, channels, chosen, groups, parts)


def load(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """Every array of the file by name, after its header has been held against its size."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            sizes = sum(item.file_size for item in archive.infolist())
            if sizes > bounded.LIMIT:
                raise bounded.too_large(path, f"{sizes:,} bytes")
            for item in archive.infolist():
                with archive.open(item) as member:
                    check_header(member, item, path)
        with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except DAMAGED as error:
        if isinstance(error, InputError):
            raise
        found = f"one that cannot be read ({str(error)[:80]})"
        raise refused(path, "the file", "a whole .npz file", found, "Write it by numpy.savez.") from error
    except (NotImplementedError, RuntimeError, MemoryError) as error:
        found = f"one of another kind ({str(error)[:80]})"
        raise refused(path, "the file", "a whole .npz file", found, "Write it by numpy.savez.") from error


def check_header(member: Any, item: zipfile.ZipInfo, path: Path) -> None:
    """Raises InputError for an array of objects and for one that is larger than its bytes."""
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(member)
    name = item.filename.removesuffix(".npy")
    if dtype.hasobject:
        remedy = (
            "Such arrays can run code when they are read. Save numbers or strings; pad series with NaN and add lengths."
        )
        raise refused(path, f"the array {name}", "of numbers or strings", "Python objects", remedy)
    count = 1
    for size in shape:
        count *= int(size)
    if count * dtype.itemsize > item.file_size:
        received = f"{item.file_size:,} bytes for shape {shown(shape)}"
        raise refused(path, f"the array {name}", "as large as its header says", received, "Write the file again.")


def one_of(arrays: Mapping[str, Any], names: Any, path: Path, role: str) -> str:
    """The one of `names` that the file has."""
    found = [str(name) for name in names if name in arrays]
    if len(found) != 1:
        received = f"{listed(found)} together" if found else f"none among {listed(sorted(arrays)) or 'no arrays'}"
        raise refused(path, role, f"one array named {' or '.join(map(str, names))}", received, "Rename the arrays.")
    return found[0]


def numeric(array: np.ndarray, name: str, path: Path) -> np.ndarray:
    """float64, infinite values refused."""
    if array.dtype.kind not in "biuf":
        raise refused(path, f"the array {name}", "of numbers", str(array.dtype), "Convert it to float64.")
    x = array.astype(np.float64)
    if np.isinf(x).any():
        count = int(np.isinf(x).sum())
        raise refused(
            path, f"the array {name}", "finite, or NaN where missing", f"{count} infinite values", "Mend them."
        )
    return x


def vector(array: np.ndarray, name: str, rows: int, path: Path) -> np.ndarray:
    """An array [N] of numbers or strings."""
    if array.shape != (rows,) or array.dtype.kind not in "biufU":
        received = f"{array.dtype} {list(array.shape)}"
        raise refused(path, f"the array {name}", f"[{rows}] of numbers or strings", received, "One value a row.")
    return array


def cut(x: np.ndarray, arrays: Mapping[str, np.ndarray], kind: InputKind, path: Path) -> list[np.ndarray]:
    """[N] arrays, series cut to `lengths` where the file has them."""
    if kind != "series" or "lengths" not in arrays:
        return list(x)
    lengths = vector(arrays["lengths"], "lengths", len(x), path)
    if lengths.dtype.kind not in "iu" or (lengths < 0).any() or (lengths > x.shape[1]).any():
        expected = f"whole numbers from 0 to T = {x.shape[1]}"
        raise refused(path, "the array lengths", expected, shown(lengths.tolist()), "Count the steps of each row.")
    return [row[: int(n)] for row, n in zip(x, lengths)]
