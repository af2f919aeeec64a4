"""Locations of values in memory, and the products and loops of a schedule that read and write them.

Kinds of locations:
    previous, next  the carried state of a row before and after the step (in backward: the carried gradient), padded
                    to whole vectors
    tensor          a tensor with one line for each packed row: "x", "output", "history_k", "saved", "d_output", ...
    recorded        backward: a state before the step, in the line of the previous step or in the initial state
    spill           a value that a later stage reads, padded
    workspace       a line of the gradient workspace of one block of steps: gradients of products and vectors, operands
    param           a per-unit parameter, padded
    pregemm         W.name @ x, computed for a chunk of steps ahead of the time loop
    random          a random number of the row, the step and the unit
    const           a constant of the code
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...cells.value import Value

SUM_ORDER = ("spill", "next", "previous", "workspace")
"""The order of a product's operands by the kind of their locations. It fixes the order of a sum: changing it changes
bits."""
MAX_FUSED_GATES = 4
"""Gates whose accumulators share a register tile."""


@dataclass(frozen=True)
class Location:
    """Where a value is stored."""

    kind: str
    """One of the kinds above."""
    name: str = ""
    """Of a tensor, a parameter or a letter of random numbers."""
    index: int = 0
    """Of a state, a spill, a pregemm or a random number."""
    width: str = "H"
    column: tuple[int, ...] = (0, 0)
    """The first column of the value in its line, in units of (H, P, 1)."""


@dataclass(frozen=True)
class Operand:
    """A contiguous k-range of a product: the location of its A and the weights that it is multiplied by.

    Forward: the weights are side by side and share A. Backward: they are stacked along k, as their gradients are in A.
    """

    location: Location
    weights: tuple[tuple[str, str], ...]
    depth: str
    """Columns of A for each weight: "C", "H" or "P"."""


@dataclass
class Product:
    """Products that share a tile: several outputs of one operand, or one output that is a sum over operands."""

    outputs: list[Value]
    operands: list[Operand]
    width: str
    bias_init: list[tuple[str, str] | None]
    """The bias that initialises the accumulator of each output; None for zero."""
    transposed: bool = True
    """True: the panel [K, units] is packed from a weight [units, K]. False: from a weight [K, units]."""
    span: int = 1
    """Vectors of each output in a tile."""

    @property
    def columns(self) -> int:
        """Vectors of a row of the tile, all outputs together."""
        return len(self.bias_init) * self.span


@dataclass
class FusedLoop:
    """A loop over rows and units: the values of one width in one stage, products and then the pointwise epilogue."""

    stage: int
    width: str
    products: list[Product] = field(default_factory=list)
    stores: list[tuple[Value, Location]] = field(default_factory=list)

    @property
    def span(self) -> int:
        """Vectors of units that one iteration computes."""
        return max((p.span for p in self.products), default=1)


def storage_width(w: str) -> str:
    """The width of a value in memory: one of width 1 is stored for every unit."""
    return "H" if w == "1" else w


def gate_groups(members: list[Value]) -> list[list[Value]]:
    """Groups of at most MAX_FUSED_GATES products, of nearly equal size."""
    count = -(-len(members) // MAX_FUSED_GATES)
    return [members[i * len(members) // count : (i + 1) * len(members) // count] for i in range(count)]


def merge_operands(operands: list[Operand]) -> list[Operand]:
    """Operands that are adjacent in a line of the gradient workspace, merged into one k-range."""
    merged: list[tuple[Operand, list[tuple[str, str]]]] = []
    for p in sorted(operands, key=lambda q: (SUM_ORDER.index(q.location.kind), q.location.index, q.location.column)):
        q, weights = merged[-1] if merged else (None, [])
        near = q is not None and p.location.kind == q.location.kind == "workspace" and p.depth == q.depth
        if q is not None and near and _adjacent(q, len(weights), p):
            weights += p.weights
        else:
            merged.append((p, list(p.weights)))
    return [Operand(p.location, tuple(weights), p.depth) for p, weights in merged]


def _adjacent(q: Operand, n: int, p: Operand) -> bool:
    """Whether p follows directly after the n values that begin with q."""
    h, o = q.location.column[:2]
    return p.location.column == ((h + n, o) if q.depth == "H" else (h, o + n))
