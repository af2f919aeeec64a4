"""What an observer derives from a cell, once: its named values, its derivative, and evaluation plans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

from ...caching import bounded_cache, graph_bytes
from ...cells import Cell
from ...cells.derivative import Derivative, differentiate
from ...cells.value import Value
from .evaluate import needed
from .named_values import NamedValues, named_values

_id = attrgetter("id")


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """How to compute the values of some nodes from the tensors that a forward pass saved."""

    saved: tuple[int, ...]
    """The node ids to take from the saved tensors."""
    computed: tuple[Value, ...]
    """The nodes to compute, in order."""
    pointwise: bool
    """Whether no node to compute reads x, a state, a parameter or a random number itself."""
    reads_x: bool
    """Whether one of them is x."""
    states_read: tuple[bool, ...]
    """Whether the state before each step is read, of each state."""


@dataclass(frozen=True, slots=True)
class WeightGroup:
    """Weights of one letter whose products read the same operand: their gradients are outer products with it."""

    letter: str
    """"W", "U" or "V"."""
    keys: tuple[tuple[str, str], ...]
    """(letter, gate) of each."""
    operand: Value
    """The operand."""


@dataclass(frozen=True, slots=True)
class ProductPattern:
    """Which gradients of products the norms of a cell's weights are made of, for one size of its layer."""

    columns: tuple[tuple[int, int], ...]
    """(first column, width) of each segment: gradients that are neighbours and belong to the same groups."""
    stride: int
    """Numbers of a line of all gradients."""
    groups: tuple[tuple[int, tuple[int, ...]], ...]
    """(number, segments) of each of the cell's weight groups."""
    widths: tuple[int, ...]
    """The columns of these, added up."""


@dataclass(frozen=True, slots=True)
class SampledColumns:
    """Where the nodes that a report samples are in the lines of what forward saves, for one size of a layer."""

    first: int
    """The first column that they need."""
    width: int
    """How many columns they need."""
    columns: dict[int, tuple[int, int]]
    """node.id → (first, width) within these, of the saved ones."""
    computed: tuple[Value, ...]
    """The nodes to compute from them, in order."""


class CellRecipe:
    """One cell's plan of observation.

    The cell is the one of the canonical text: saved tensors are identified by the node ids of its graph.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = Cell.from_text(cell.text)
        self.named: NamedValues = named_values(self.cell)
        self.states = self.cell.states
        self.output_state = self.cell.output_state
        self.carries = {s: v for s, v in self.named.carries.items() if not (v.op == "const" and v.attr == 0)}
        """State → its carry, where that is not 0 by its formula."""
        self.sampled = (*self.named.gates.values(), *self.carries.values())
        """The nodes that a report samples: the gates, then the carries."""
        self.random = tuple(v for v in self.named.trace.graph.nodes if v.op == "random")
        """The nodes that are random numbers."""
        self.new_states = {
            v.id: k for k, v in enumerate(self.named.trace.next_states) if v.op not in ("state", "const", "x", "vec")
        }
        """node.id → state, of the new states that a step computes."""
        self.product_patterns: dict[tuple[object, ...], ProductPattern] = {}
        """Sizes of a layer → which gradients of products the norms of its weights are made of."""
        self.sampled_columns: dict[tuple[int, ...], SampledColumns | None] = {}
        """Sizes of a layer → where the sampled nodes are; None where what forward saves does not determine them."""
        self._plans: dict[tuple[tuple[int, ...], tuple[int, ...]], EvaluationPlan] = {}

    @cached_property
    def derivative(self) -> Derivative:
        """The derivative of a step."""
        return differentiate(self.cell.retrace())

    @cached_property
    def weight_groups(self) -> tuple[WeightGroup, ...]:
        """The weights by letter and operand."""
        keys: dict[tuple[str, int], list[tuple[str, str]]] = {}
        operands: dict[int, Value] = {}
        for key, (_, operand) in self.derivative.products.items():
            keys.setdefault((key[0], operand.id), []).append(key)
            operands[operand.id] = operand
        return tuple(WeightGroup(letter, tuple(k), operands[i]) for (letter, i), k in keys.items())

    def plan(self, nodes: Sequence[Value], saved: Iterable[int]) -> EvaluationPlan:
        """How to evaluate `nodes` where the values of the node ids `saved` are known."""
        key = tuple(map(_id, nodes)), tuple(saved)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._new_plan(nodes, frozenset(key[1]))
        return plan

    def _new_plan(self, nodes: Sequence[Value], saved: frozenset[int]) -> EvaluationPlan:
        order = needed(nodes, dict.fromkeys(saved))
        computed = tuple(v for v in order if v.id not in saved)
        states = {v.attr for v in computed if v.op == "state"}
        return EvaluationPlan(
            tuple(v.id for v in order if v.id in saved),
            computed,
            not any(v.op in ("x", "state", "vec", "mm", "random") for v in computed),
            any(v.op == "x" for v in computed),
            tuple(s in states for s in self.states),
        )


@bounded_cache(16 << 20, size_of=lambda recipe, cell: 2 * graph_bytes(recipe.named) + graph_bytes(cell))
def cell_recipe(cell: Cell) -> CellRecipe:
    """The recipe of a cell, cached."""
    return CellRecipe(cell)
