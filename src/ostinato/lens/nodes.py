"""The values of a cell that have a name: pre-activations, gates, and what each state carries over from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from ..cells import Cell, as_cell
from ..cells.derivative import carries
from ..cells.notation import Trace
from ..cells.text import expression
from ..cells.value import Value

_LINEAR = frozenset(("add", "sub", "neg", "mul", "div", "mean"))


@dataclass(frozen=True)
class Nodes:
    """A cell's named nodes. All belong to one graph, `trace`, and so go to `evaluate` together.

    pre_activations  gate → the first value that all weights and biases of the gate have entered, with what is added to
                     it: W.i @ x + b.i + U.i @ h + d.i
    gates            gate → what the cell reads in its place, the activation of that sum: sigmoid(…). A gate whose
                     pre-activation goes several ways, or through no single activation, is absent
    carries          state → ∂new/∂old with products cut, as `carry` says it
    names            node.id → how the text of another node names it: "f" for a gate, "a.f" for its pre-activation
    """

    trace: Trace
    pre_activations: Mapping[str, Value]
    gates: Mapping[str, Value]
    carries: Mapping[str, Value]
    names: Mapping[int, str]


@lru_cache(maxsize=256)
def named(cell: Cell) -> Nodes:
    """The named nodes of a cell, found in its graph alone."""
    t = cell.retrace()
    live = [v for v in t.graph.nodes if v.id in t.widths]
    readers = _readers(live, t)
    after = _post_dominators(live, readers)
    sums, gates = {}, {}
    for gate in t.order:
        found = _pre_activation(gate, live, readers)
        if found is None:
            continue
        sums[gate] = found
        activation = after.get(found.id)
        if activation is not None and activation.op not in _LINEAR and activation.op not in ("mm", "state"):
            gates[gate] = activation
    names = {v.id: f"a.{gate}" for gate, v in sums.items() if v.args and v.op != "state"}
    # "h" in a text is the state before the step, so a gate of a state's name goes by its activation.
    names.update({v.id: gate for gate, v in gates.items() if gate not in t.states})
    kept = dict(zip(t.states, carries(t), strict=True))
    return Nodes(t, *(MappingProxyType(m) for m in (sums, gates, kept, names)))


def carry(cell: Cell | str) -> dict[str, str]:
    """What each state keeps of its own old value in a step, as text: ∂new/∂old with products cut, state → formula.

        lens.carry("lstm")     # {"h": "0", "c": "f"}
        lens.carry("mingru")   # {"h": "1 - z"}

    "Products cut" means that no path through a product with a weight (or a mean over the units) counts: what remains
    is each unit's own path through the step, the additive path of an LSTM. It comes from the derivative of the cell's
    graph and knows no names of gates; 0 says that a state lives on through its products alone, as in an Elman network.
    `f` is the activation of gate f, `a.f` its pre-activation W.f @ x + …, a state's name its value before the step.
    """
    known = named(as_cell(cell, "lens.carry"))
    return {state: expression(v, known.names) for state, v in known.carries.items()}


def _readers(live: list[Value], t: Trace) -> dict[int, list[Value | None]]:
    """node.id → the nodes that read it; None stands for the outside, which reads the output and the new states."""
    readers: dict[int, list[Value | None]] = {v.id: [] for v in live}
    for v in live:
        for a in dict.fromkeys(v.args):
            readers[a.id].append(v)
    for v in dict.fromkeys((t.output, *t.new)):
        readers[v.id].append(None)
    return readers


def _post_dominators(live: list[Value], readers: dict[int, list[Value | None]]) -> dict[int, Value | None]:
    """node.id → the first node through which everything that reads it goes; None where the outside reads it first."""
    above: dict[int, tuple[Value, ...]] = {}  # the chain of post-dominators, nearest first, the outside left out
    for v in reversed(live):
        chains = [(r, *above[r.id]) if r is not None else () for r in readers[v.id]]
        common = [n for n in chains[0] if all(n in chain for chain in chains[1:])] if chains else []
        above[v.id] = tuple(common)
    return {i: chain[0] if chain else None for i, chain in above.items()}


def _pre_activation(gate: str, live: list[Value], readers: dict[int, list[Value | None]]) -> Value | None:
    """The first value that all of a gate's weights and biases have entered, then on through sums that it alone feeds.

    None where no such value exists: the gate's parameters meet behind a function only, or it is a projection V.
    """
    leaves = {v.id for v in live if v.op in ("mm", "vec") and v.attr[1] == gate and v.attr[0] != "V"}
    inside: dict[int, frozenset[int]] = {}
    for v in live:
        if v.id in leaves:
            inside[v.id] = frozenset((v.id,))
        elif v.op in _LINEAR:
            inside[v.id] = frozenset().union(*(inside.get(a.id, frozenset()) for a in v.args))
    found = next((v for v in live if inside.get(v.id) and inside[v.id] >= leaves), None)
    while found is not None:
        reader = readers[found.id][0] if len(readers[found.id]) == 1 else None
        if reader is None or reader.op not in ("add", "sub"):
            break
        found = reader
    return found
