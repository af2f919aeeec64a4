"""Where the gates of a cell are in its graph: the sum that a gate's weights enter, and the activation of that sum."""

from __future__ import annotations

from collections import Counter

from .operations import LINEAR
from .tracing import Trace
from .value import Value


def named_gates(t: Trace) -> tuple[dict[str, Value], dict[str, Value]]:
    """(pre-activations, activations) by gate name.

    A pre-activation is the first value that all weights and biases of the gate have entered, with what is added to it:
    W.i @ x + b.i + U.i @ h + d.i. Its activation is the one value through which all that reads it goes, sigmoid(...). A
    gate is absent where there is no such value: its parameters are joined only after a function, or, for an activation,
    the sum is read by several values that no single function joins.
    """
    live = [v for v in t.graph.nodes if v.id in t.widths]
    readers = _readers(live, t)
    after = _post_dominators(live, readers)
    first, whole = _first_sums(live), _whole_sums(live, readers)
    sums, gates = {}, {}
    for gate in t.order:
        if gate not in first:
            continue
        sums[gate] = pre_activation = whole[first[gate].id]
        activation = after.get(pre_activation.id)
        if activation is not None and activation.op not in LINEAR and activation.op not in ("mm", "state"):
            gates[gate] = activation
    return sums, gates


def _readers(live: list[Value], t: Trace) -> dict[int, list[Value | None]]:
    """node.id → the nodes that read it; None is the caller, which reads the output and the new states."""
    readers: dict[int, list[Value | None]] = {v.id: [] for v in live}
    for v in live:
        for a in dict.fromkeys(v.args):
            readers[a.id].append(v)
    for v in dict.fromkeys((t.output, *t.next_states)):
        readers[v.id].append(None)
    return readers


class _Chain:
    """A node's post-dominators, nearest first: the node, then the chain of the first one after it, to the outside.

    `jump` leads far along the chain (E. W. Myers, "An applicative random-access stack", 1983), so that the place where
    two chains of n nodes join is found in O(log n).
    """

    __slots__ = ("after", "depth", "jump", "value")

    def __init__(self, value: Value | None, after: _Chain | None):
        self.value = value
        self.after: _Chain = after or self
        self.depth: int = after.depth + 1 if after is not None else 0
        self.jump: _Chain = self.after
        if after is not None and after.depth - after.jump.depth == after.jump.depth - after.jump.jump.depth:
            self.jump = after.jump.jump

    def join(self, o: _Chain) -> _Chain:
        """The first node that both chains have."""
        a, b = (self, o) if self.depth >= o.depth else (o, self)
        while a.depth > b.depth:
            a = a.jump if a.jump.depth >= b.depth else a.after
        while a is not b:
            a, b = (a.jump, b.jump) if a.jump is not b.jump else (a.after, b.after)
        return a


def _post_dominators(live: list[Value], readers: dict[int, list[Value | None]]) -> dict[int, Value | None]:
    """node.id → the first node through which everything that reads it goes; None where the outside reads it first."""
    outside = _Chain(None, None)
    chains: dict[int, _Chain] = {}
    for v in reversed(live):
        reading = [outside if r is None else chains[r.id] for r in readers[v.id]]
        common = reading[0] if reading else outside
        for chain in reading[1:]:
            common = common.join(chain)
        chains[v.id] = _Chain(v, common)
    return {i: chain.after.value for i, chain in chains.items()}


def _first_sums(live: list[Value]) -> dict[str, Value]:
    """Gate → the first value that all of the gate's weights and biases have entered, through sums and the like.

    A gate has none where its parameters are joined only after a function, or where it is a projection V alone.

    Each weight or bias is a bit, so that one pass holds for all gates: a gate can be complete at a value only if two
    of what the value reads bring bits of it, and those bits are sought on the side that has fewer.
    """
    leaves = [v for v in live if v.op in ("mm", "vec") and v.attr[0] != "V"]
    place = {v.id: k for k, v in enumerate(leaves)}
    whole: Counter[str] = Counter()
    for k, v in enumerate(leaves):
        whole[v.attr[1]] |= 1 << k
    waiting = (1 << len(leaves)) - 1  # the bits of gates whose sum is not found yet
    inside: dict[int, int] = {}
    first: dict[str, Value] = {}
    for v in live:
        if v.id in place:
            inside[v.id] = 1 << place[v.id]
            names = {v.attr[1]}
        elif v.op in LINEAR:
            entered, names = 0, set()
            for a in v.args:
                more = inside.get(a.id, 0) & waiting
                names.update(leaves[k].attr[1] for k in _bits(min(more & ~entered, entered & ~more, key=int.bit_count)))
                entered |= more
            inside[v.id] = entered
        else:
            continue
        for gate in names:
            if gate not in first and inside[v.id] & whole[gate] == whole[gate]:
                first[gate] = v
                waiting &= ~whole[gate]
    return first


def _bits(n: int) -> list[int]:
    """The positions of the bits of n that are set."""
    positions = []
    while n:
        positions.append(n.bit_length() - 1)
        n ^= 1 << positions[-1]
    return positions


def _whole_sums(live: list[Value], readers: dict[int, list[Value | None]]) -> dict[int, Value]:
    """node.id → the last value on the way through sums each of which alone reads the one before."""
    last: dict[int, Value] = {}
    for v in reversed(live):
        reader = readers[v.id][0] if len(readers[v.id]) == 1 else None
        last[v.id] = v if reader is None or reader.op not in ("add", "sub") else last[reader.id]
    return last
