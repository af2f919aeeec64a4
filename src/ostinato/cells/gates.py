"""Where the gates of a cell are in its graph: the sum that a gate's weights enter, and the activation of that sum."""

from __future__ import annotations

from .notation import Trace
from .value import Value

LINEAR = frozenset(("add", "sub", "neg", "mul", "div", "mean", "rstd", "norm", "clip_gradient"))


def named_gates(t: Trace) -> tuple[dict[str, Value], dict[str, Value]]:
    """(pre-activations, activations) by gate name.

    A pre-activation is the first value that all weights and biases of the gate have entered, with what is added to it:
    W.i @ x + b.i + U.i @ h + d.i. Its activation is the one value through which all that reads it goes, sigmoid(...). A
    gate is absent where there is no such value: its parameters meet behind a function only, or, for an activation, the
    sum goes several ways or through no single function.
    """
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
        if activation is not None and activation.op not in LINEAR and activation.op not in ("mm", "state"):
            gates[gate] = activation
    return sums, gates


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
        elif v.op in LINEAR:
            inside[v.id] = frozenset().union(*(inside.get(a.id, frozenset()) for a in v.args))
    found = next((v for v in live if inside.get(v.id) and inside[v.id] >= leaves), None)
    while found is not None:
        reader = readers[found.id][0] if len(readers[found.id]) == 1 else None
        if reader is None or reader.op not in ("add", "sub"):
            break
        found = reader
    return found
