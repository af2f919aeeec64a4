"""The values of a cell that have a name: pre-activations, gates, and what each state carries over from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ...caching import bounded_cache, graph_bytes
from ...cells import Cell, as_cell
from ...cells.derivative import carries
from ...cells.gates import named_gates
from ...cells.text import formula
from ...cells.tracing import Trace
from ...cells.value import Value


@dataclass(frozen=True)
class NamedValues:
    """A cell's named nodes. All belong to one graph, `trace`, and so go to `evaluate` together."""

    trace: Trace
    """The graph of a step, with the nodes of `carries` added to it."""
    pre_activations: Mapping[str, Value]
    """Gate → the first value that all weights and biases of the gate have entered, with what is added to it:
    W.i @ x + b.i + U.i @ h + d.i."""
    gates: Mapping[str, Value]
    """Gate → its activation, which the cell reads in place of that sum: sigmoid(…). A gate whose pre-activation is read
    in several places, or through no single activation, is absent."""
    carries: Mapping[str, Value]
    """State → the diagonal of ∂new/∂old with products cut, as in `carry`."""
    names: Mapping[int, str]
    """node.id → how the text of another node names it: "f" for a gate, "a.f" for its pre-activation."""


@bounded_cache(16 << 20, size_of=graph_bytes)
def named_values(cell: Cell) -> NamedValues:
    """The named nodes of a cell, found in its graph alone: pre-activations, gates, carries.

    Their values have the units of the equations; `evaluate` computes them. A cell is never refused: a gate that has no
    such node is absent.
    """
    t = cell.retrace()
    sums, gates = named_gates(t)
    names = {v.id: f"a.{gate}" for gate, v in sums.items() if v.args and v.op != "state"}
    # "h" in a text is the state before the step, so a gate of a state's name goes by its activation.
    names.update({v.id: gate for gate, v in gates.items() if gate not in t.states})
    kept = dict(zip(t.states, carries(t), strict=True))
    return NamedValues(t, *(MappingProxyType(m) for m in (sums, gates, kept, names)))


def carry(cell: Cell | str) -> dict[str, str]:
    """What each state keeps of its own old value in a step, as text: ∂new/∂old with products cut, state → formula.

        lens.carry("lstm")     # {"h": "0", "c": "f"}
        lens.carry("mingru")   # {"h": "1 - z"}

    "Products cut" means that no path through a product with a weight (or a mean over the units) counts: what remains
    is the diagonal of the Jacobian that each unit has by itself, the additive path of an LSTM. It comes from the
    derivative of the cell's graph, without names of gates; 0 says that a state is carried through its products alone,
    as in an Elman network. `f` is the activation of gate f, `a.f` its pre-activation W.f @ x + …, a state's name its
    value before the step. A long formula is written in parts, each value that is read more than once by itself:
    "v2 * v2; v1 = …; v2 = …". Raises InputError for a name that the catalogue does not have.
    """
    known = named_values(as_cell(cell, "lens.carry"))
    return {state: formula(v, known.names) for state, v in known.carries.items()}
