"""docs/cells.md, written from the catalogue: `python -m ostinato.cells.page` prints it."""

from __future__ import annotations

import sys

from .catalogue import FAMILIES
from .cell import Cell
from .describe import describe
from .latex import latex

_HEAD = """# The cells of the catalogue

This page is written by `python -m ostinato.cells.page` from the cells themselves; a test holds the two equal.
Letters: T steps, B rows, C input features, H hidden units, P projected units; `W U V b d p` as [notation](notation.md)
says. Names of gates stand in the order in which they are stacked in torch-style parameters. Parameters start uniformly
in ±1/√H, as in torch.nn, unless the row "start" says otherwise.
"""


def catalogue_page() -> str:
    """docs/cells.md as text."""
    parts = [_HEAD]
    for family in FAMILIES.values():
        title = (family.__doc__ or "").strip().splitlines()[0]
        name, colon, _ = title.partition(":")
        parts.append(f"## {name}\n\n{title}\n" if colon else f"## {title.removesuffix('.')}\n")
        parts += [_section(c, latex(c)) for c in vars(family).values() if isinstance(c, Cell)]
    return "\n".join(parts)


def _section(cell: Cell, math_text: str) -> str:
    d = describe(cell)
    rows = {
        "gates": "; ".join(d.gates()),
        "states": ", ".join(f"{s} {d.shapes[s]}" for s in d.states),
        "parameters": ", ".join(f"`{n}` {d.shapes[n]}" for n in d.shapes if n not in ("x", "output", *d.states)),
        "weights": f"{d.weights}, which is {d.count:,} for {', '.join(f'{k} = {v}' for k, v in d.sizes.items())}",
        "roles": ", ".join(f"{gate} is the {role} gate" for role, gate in d.roles.items()),
        "start": d.start if cell.init else "",
        "source": d.source,
        "PyTorch": d.pytorch(),
    }
    table = "\n".join(f"| {k} | {v} |" for k, v in rows.items() if v)
    code = f"```text\n{d.equations}\n```"
    return f"### {d.name}\n\n{d.summary}\n\n{code}\n\n```math\n{math_text}\n```\n\n| | |\n|---|---|\n{table}\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(catalogue_page().encode("utf-8"))
