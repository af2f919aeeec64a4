"""A process of its own: a .mat file on standard input → the arrays in it as an .npz file on standard output.

scipy's reader can end the interpreter by a damaged file, so that it runs apart from the program; see `mat.py`. Of the
package nothing is imported, as the process has to start fast. Arguments: the bytes of memory that it may take, and
the folders of the program's modules.
"""

from __future__ import annotations

import io
import sys
from typing import Any

READ, NOT_READ, NEW_FORMAT = 0, 2, 3
"""Exit statuses. With the second, standard output has the reason."""


def bound(memory: int) -> None:
    """Limits the address space of this process, and leaves out the file that a crash writes, where systems can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except (ImportError, ValueError, OSError):
        return  # Windows has no such limits, and macOS refuses this one: the time is still limited


def cells_of(content: dict[str, Any]) -> dict[str, Any]:
    """What to write: `names` [V] and `counts` [V] of the variables, and their arrays as 0, 1, …; a cell is one, too.

    An array of anything else than numbers and text becomes one of text of the same shape, as it is no roll.
    """
    import numpy as np

    counts: dict[str, int] = {}
    arrays = []
    for name, value in content.items():
        if name.startswith("__"):
            continue
        is_cells = isinstance(value, np.ndarray) and value.dtype == object
        cells = [np.asarray(cell) for cell in (value.ravel() if is_cells else [value])]
        counts[name] = len(cells)
        arrays += [cell if cell.dtype.kind in "biufcSU" else np.full(cell.shape, "?") for cell in cells]
    of_variables = {"names": np.array(list(counts), "U"), "counts": np.array(list(counts.values()), "int64")}
    return {**of_variables, **{str(number): array for number, array in enumerate(arrays)}}


def main() -> int:
    """The exit status."""
    sys.path[:] = sys.argv[2:]
    out = io.BytesIO()
    try:
        import numpy as np
        from scipy.io import loadmat

        bound(int(sys.argv[1]))
        np.savez(out, **cells_of(loadmat(io.BytesIO(sys.stdin.buffer.read()))))
    except NotImplementedError:
        return NEW_FORMAT
    except Exception as error:  # scipy raises errors of many kinds for damaged files
        sys.stdout.buffer.write((str(error) or type(error).__name__).encode("utf-8", "replace"))
        return NOT_READ
    sys.stdout.buffer.write(out.getbuffer())
    return READ


if __name__ == "__main__":
    sys.exit(main())
