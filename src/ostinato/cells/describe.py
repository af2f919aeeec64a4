"""The description of a cell: equations, shapes, order of gates and states, number of weights, source, differences."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass

from .cell import Cell
from .lookup import as_cell
from .source import typed_body

MEANING = {
    "W": "weights on the input x",
    "U": "weights on what is computed from a state",
    "V": "projection from hidden_size to proj_size",
    "b": "bias",
    "d": "second bias, torch's bias_hh",
    "p": "per-unit vectors, a parameter each",
}
_PROBE = {"C": 101, "H": 10007, "P": 1009}  # primes: no number of gates multiplies one size into another


@dataclass(frozen=True)
class Description:
    """The description of a cell; `str()` formats it for a terminal.

    equations  the lines as they were typed, or the canonical ones where there is no source
    shapes     name -> shape in letters: x, each state, the output, each parameter
    order      letter -> names in the order in which they are stacked
    weights    how many numbers a layer learns, as a formula in C, H (and P)
    count      the same as a number, for `sizes`
    start      what the parameters start from
    """

    name: str
    summary: str
    equations: str
    shapes: dict[str, str]
    order: dict[str, tuple[str, ...]]
    states: tuple[str, ...]
    weights: str
    count: int
    sizes: dict[str, int]
    start: str
    roles: dict[str, str]
    source: str
    differs: str

    def gates(self) -> list[str]:
        """ "W U b d: i f g o", a line for the letters that stack the same names."""
        alike: dict[tuple[str, ...], list[str]] = {}
        for letter, names in self.order.items():
            alike.setdefault(names, []).append(letter)
        return [f"{' '.join(letters)}: {' '.join(names)}" for names, letters in alike.items()]

    def pytorch(self) -> str:
        """How the cell differs from torch.nn's."""
        return f"differs {self.differs}" if self.differs.startswith("in ") else self.differs

    def __str__(self) -> str:
        sizes = ", ".join(f"{k} = {v}" for k, v in self.sizes.items())
        rows = {
            "shapes": "\n".join(f"{name} {shape}" for name, shape in self.shapes.items()),
            "letters": "\n".join(f"{k}  {MEANING[k]}" for k in self.order),
            "gate order": "\n".join(self.gates()),
            "states": " ".join(self.states),
            "roles": ", ".join(f"{gate} is the {role} gate" for role, gate in self.roles.items()),
            "weights": f"{self.weights}; {self.count:,} for {sizes}",
            "start": self.start,
            "source": self.source,
            "PyTorch": self.pytorch(),
        }
        head = f"{self.name}: {self.summary}" if self.summary else self.name
        parts = [textwrap.fill(head, 110), "", textwrap.indent(self.equations, "    "), ""]
        return "\n".join(parts + [_row(title, text) for title, text in rows.items() if text])


def describe(cell: Cell | str, input_size: int = 64, hidden_size: int = 256, proj_size: int = 0) -> Description:
    """The description of a cell, or of a name of the catalogue; the sizes are those of its example count of weights.

    print(describe("gru"))

    Raises InputError for a name that the catalogue lacks.
    """
    cell = as_cell(cell, "describe")
    sizes = {"C": input_size, "H": hidden_size, **({"P": proj_size or hidden_size} if cell.projected else {})}
    symbolic = {name: [_symbol(n) for n in shape] for name, shape in cell.parameters(*_PROBE.values()).items()}
    states = zip(cell.states, cell.state_widths, strict=True)
    shapes = {"x": "[B, C]", **{s: f"[B, {w}]" for s, w in states}, "output": f"[B, {cell.output_width}]"}
    shapes.update({name: f"[{', '.join(symbols)}]" for name, symbols in symbolic.items()})
    shown = cell.parameters(input_size, hidden_size, proj_size)
    return Description(
        name=cell.name,
        summary=" ".join((cell.__doc__ or "").split()),
        equations=equations(cell),
        shapes=shapes,
        order=dict(cell.gates),
        states=cell.states,
        weights=_formula(cell),
        count=sum(math.prod(shape) for shape in shown.values()),
        sizes=sizes,
        start=_start(cell),
        roles=dict(cell.roles),
        source=cell.source,
        differs=cell.differs,
    )


def equations(cell: Cell) -> str:
    """The equations as they were typed, the very text that is compiled; without source the canonical lines."""
    return typed_body(cell.fn) or textwrap.dedent(cell.equations)


def _start(cell: Cell) -> str:
    own = [f"{name} {value:g}" for name, value in cell.init.items()]
    return ", ".join([*own, "others uniform in ±1/√H, as in torch.nn" if own else "uniform in ±1/√H, as in torch.nn"])


def _formula(cell: Cell) -> str:
    """Σ over parameters, like terms together: "4H(C + H + 2)"."""
    terms: dict[str, list[tuple[int, str]]] = {}
    for shape in cell.parameters(*_PROBE.values()).values():
        rows, letter = _multiple(shape[0])
        terms.setdefault(letter, []).append((rows, _symbol(shape[1]) if len(shape) > 1 else "1"))
    written = []
    for letter, parts in terms.items():
        common = math.gcd(*(n for n, _ in parts))
        inner: dict[str, int] = {}
        for n, factor in parts:
            inner[factor] = inner.get(factor, 0) + n // common
        sums = [str(n) if f == "1" else f if n == 1 else f"{n}{f}" for f, n in inner.items()]
        head = letter if common == 1 else f"{common}{letter}"
        if len(sums) == 1:
            written.append(head if sums == ["1"] else f"{head}·{sums[0]}")
        else:
            written.append(f"{head}({' + '.join(sums)})")
    return " + ".join(written) or "0"


def _multiple(size: int) -> tuple[int, str]:
    return next((size // value, letter) for letter, value in _PROBE.items() if size % value == 0)


def _symbol(size: int) -> str:
    n, letter = _multiple(size)
    return letter if n == 1 else f"{n}{letter}"


def _row(title: str, text: str) -> str:
    lines = [wrapped for line in text.splitlines() for wrapped in textwrap.wrap(line, 98)]
    return textwrap.indent("\n".join(lines), " " * 12).replace(" " * 12, f"{title:<12}", 1)
