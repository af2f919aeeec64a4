"""The order of gates: how the names of a letter are stacked in its torch-style tensor.

Each letter stacks its names in the order of their first use in the equations. Letters must agree on the names that they
share, so that there is one order to speak of; where they do not, `@cell(gates=...)` says which it is.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from itertools import islice

from ..errors import CellError


def gate_order(pinned: tuple[str, ...], used: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """One order that every letter's names follow. used: letter -> names by first use. Refuses contradictions."""
    stacked = {k: v for k, v in used.items() if k != "p"}
    if pinned:
        _check_pinned(pinned, tuple(dict.fromkeys(n for v in stacked.values() for n in v)))
        return pinned
    order = merge(stacked.values())
    if order is None:
        seen = " and ".join(f"{' '.join(v)} for {k}" for k, v in stacked.items())
        written = " ".join(dict.fromkeys(n for v in stacked.values() for n in v))
        raise CellError(
            f'gates must come in one order, got {seen}. Write @cell(gates="{written}") to say how they are stacked.'
        )
    return order


def sort_names(used: dict[str, tuple[str, ...]], order: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """letter -> names as they are stacked; vectors p that share no gate's name come after, alphabetically."""
    rank = {n: k for k, n in enumerate(order)}
    return {k: tuple(sorted(v, key=lambda n: (rank.get(n, len(rank)), n))) for k, v in used.items()}


def merge(orders: Iterable[tuple[str, ...]]) -> tuple[str, ...] | None:
    """The first order that agrees with all of `orders`; None where they contradict each other."""
    queues = [deque(o) for o in orders if o]
    preceded = Counter(n for q in queues for n in islice(q, 1, None))  # in how many orders another name comes first
    merged: list[str] = []
    while queues:
        head = next((q[0] for q in queues if not preceded[q[0]]), None)
        if head is None:
            return None
        merged.append(head)
        for q in queues:
            if q[0] == head:
                q.popleft()
                preceded.subtract(islice(q, 1))
        queues = [q for q in queues if q]
    return tuple(merged)


def _check_pinned(pinned: tuple[str, ...], gates: tuple[str, ...]) -> None:
    known, listed = set(gates), Counter(pinned)
    unknown = [g for g in pinned if g not in known]
    missing = [g for g in gates if g not in listed]
    if unknown:
        fault = f"{unknown[0]} is in no equation"
    elif missing:
        fault = f"{missing[0]} is missing"
    elif len(listed) != len(pinned):
        fault = f"{next(g for g in pinned if listed[g] > 1)} stands twice"
    else:
        return
    raise CellError(
        f'gates must list the names of the equations, each once, got "{" ".join(pinned)}": {fault}. '
        f'Write gates="{" ".join(gates)}", in the order in which you want them.'
    )
