"""A cell of the catalogue as text."""

import ast
import inspect
import math
import textwrap

from ostinato.cells import Cell, catalogue
from ostinato.errors import InputError, phrase

LETTERS = {
    "W": "weights on x",
    "U": "weights on the state",
    "V": "projection of the output",
    "b": "bias",
    "d": "second bias, torch's bias_hh",
    "p": "one vector of its own for each name",
}

PROBE = {"C": 7, "H": 11, "P": 13}
"""Sizes that no number of gates multiplies into each other, to read the letters back from a shape."""


def show(name: str | None, kernel: bool) -> str:
    """The list of cells without a name, else one cell's card, or with `kernel` the code emitted for it."""
    known = catalogue()
    if name is None:
        if kernel:
            remedy = f"Write one of: {', '.join(known)}."
            raise InputError(phrase("ostinato cells --kernel", "NAME", "a cell of the catalogue", "none", remedy))
        return listing(known)
    if name not in known:
        remedy = f"The catalogue holds {', '.join(known)}."
        raise InputError(phrase("ostinato cells", "NAME", "a cell of the catalogue", repr(name), remedy))
    return code(known[name]) if kernel else card(known[name])


def listing(known: dict[str, Cell]) -> str:
    """One line for each cell: its name, the first line of its description, its states."""
    width = max(len(name) for name in known)
    lines = [f"{name:<{width}}  {(cell.__doc__ or '').partition(chr(10))[0]}" for name, cell in known.items()]
    return "\n".join([*lines, "", "ostinato cells NAME describes one of them."])


def card(cell: Cell) -> str:
    """Equations as typed, shapes, gates in the order in which torch-style weights stack them, weights, source."""
    order = dict.fromkeys(gate for letter, gates in cell.gates.items() if letter != "p" for gate in gates)
    states = [f"{state} [B, {_width(cell, w)}]" for state, w in zip(cell.states, cell.state_widths, strict=True)]
    shapes = cell.parameters(*PROBE.values())
    rows = [
        ("shapes", f"x [B, C]; {', '.join(states)}; output [B, {_width(cell, cell.output_width)}]"),
        ("gate order", " ".join(order)),
        *((f"letter {letter}", LETTERS[letter]) for letter in cell.letters),
        *((name, f"[{', '.join(_symbol(size) for size in shape)}]") for name, shape in shapes.items()),
        ("weights", _count(cell, shapes)),
        ("source", cell.source),
        ("PyTorch", f"differs {cell.differs}" if cell.differs.startswith("in nothing") else cell.differs),
    ]
    body = [
        textwrap.fill(value, 110, initial_indent=f"{name:<14}", subsequent_indent=" " * 14)
        for name, value in rows
        if value
    ]
    return "\n".join([f"{cell.name}: {cell.__doc__}", "", textwrap.indent(equations(cell), "    "), "", *body])


def equations(cell: Cell) -> str:
    """The function as its author typed it, without decorator and docstring; the canonical text if no file holds it."""
    try:
        source = textwrap.dedent(inspect.getsource(cell.fn))
    except OSError:
        return cell.text
    function = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    body = function.body[1:] if ast.get_docstring(function) else function.body
    lines = source.splitlines()
    return "\n".join([lines[function.lineno - 1], *lines[body[0].lineno - 1 :]])


def code(cell: Cell) -> str:
    """The machine code of the cell's kernels for this machine."""
    from ostinato.kernels import assembly

    return assembly(cell)


def _width(cell: Cell, symbol: str) -> str:
    return "H" if symbol == "P" and not cell.projected else symbol


def _symbol(size: int) -> str:
    """A size computed with PROBE, in letters: 44 is 4H for H = 11."""
    for letter, value in PROBE.items():
        if size % value == 0:
            return letter if size == value else f"{size // value}{letter}"
    return str(size)


def _count(cell: Cell, shapes: dict[str, tuple[int, ...]]) -> str:
    """How many numbers a layer of this cell learns, as a formula and for one pair of sizes."""
    products = [" x ".join(_symbol(size) for size in shape) for shape in shapes.values()]
    example = sum(math.prod(shape) for shape in cell.parameters(64, 256).values())
    return f"{' + '.join(products)}; {example:,} for C = 64, H = 256"
