"""Baselines of generated items: n-grams of units with Witten-Bell's interpolation, of all items or by their condition.

An item is the mark, its units and the mark; the first mark is a context alone. Letters: N items, P steps of all items
together, V entries with the mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...data.examples import Examples
from ..task import Predictions
from ..texts.conditions import Conditions
from ..texts.items import framed
from ..texts.units import TextUnits

ORDERS = (2, 3, 4, 5, 6)
"""Units of an n-gram, of which the best is chosen on every tenth training item."""
HELD = 10
MOST_STEPS = 4_000_000
"""Steps that are counted; of more, the first items that have so many."""


@dataclass(frozen=True)
class _Level:
    """Counts of one length of context."""

    contexts: np.ndarray
    """int64, rising: a context as the number of the one that is a unit shorter, times V, plus the unit before it."""
    totals: np.ndarray
    """float64: how often each context is there."""
    kinds: np.ndarray
    """float64: different units that follow each."""
    pairs: np.ndarray
    """int64, rising: the place of a context, times V, plus a unit that follows it."""
    counts: np.ndarray
    """float64: how often."""


class ItemCounts:
    """Counts of n-grams of items up to an order; the first mark of an item is read and never predicted.

    P(u | h) = (c(h u) + T(h) · P(u | h')) / (c(h) + T(h)): T(h) different units follow h, and h' is h without its
    first unit. I. Witten and T. Bell, The zero-frequency problem, 1991, method C, interpolated.
    """

    def __init__(self, rows: Sequence[np.ndarray], starts: Sequence[int], entries: int, order: int) -> None:
        self.entries, self.order = entries, order
        self.levels: list[_Level] = []
        units, depth, start, target = _steps(rows, starts)
        place = np.arange(len(target))
        key = start
        for length in range(order):
            contexts, found = np.unique(key, return_inverse=True)
            pairs, counts = np.unique(found * entries + target[place], return_counts=True)
            totals = np.bincount(found, minlength=len(contexts)).astype(np.float64)
            kinds = np.bincount(pairs // entries, minlength=len(contexts)).astype(np.float64)
            self.levels.append(_Level(contexts, totals, kinds, pairs, counts.astype(np.float64)))
            deeper = depth[place] > length
            place, found = place[deeper], found[deeper]
            key = found * entries + units[place - length]

    def probabilities(self, rows: Sequence[np.ndarray], starts: Sequence[int], base: np.ndarray | float) -> np.ndarray:
        """float64 [P] of the units that follow, on top of `base` [P]."""
        units, depth, start, target = _steps(rows, starts)
        found = np.zeros(len(target)) + base
        place, key = np.arange(len(target)), start
        for length, level in enumerate(self.levels):
            context, known = _places(level.contexts, key)
            place, context = place[known], context[known]
            pair, seen = _places(level.pairs, context * self.entries + target[place])
            count = np.where(seen, level.counts[pair], 0.0)
            total, kinds = level.totals[context], level.kinds[context]
            found[place] = (count + kinds * found[place]) / (total + kinds)
            deeper = depth[place] > length
            place, context = place[deeper], context[deeper]
            key = context * self.entries + units[place - length]
        return found


def _steps(rows: Sequence[np.ndarray], starts: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of P steps: the unit before it, how many units of the item are before it, its item's start, and its unit."""
    before = np.concatenate([row[:-1] for row in rows]).astype(np.int64)
    target = np.concatenate([row[1:] for row in rows]).astype(np.int64)
    depth = np.concatenate([np.arange(1, len(row)) for row in rows])
    start = np.repeat(np.asarray(starts, np.int64), [len(row) - 1 for row in rows])
    return before, depth, start, target


def _places(known: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the place of each key among rising ones, whether it is there)"""
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return places, known[places] == keys


class ItemNgrams:
    """The best order of n-grams; of each condition, n-grams of its own items on top of those of all items."""

    without_order = False

    def __init__(self, name: str, units: TextUnits, conditions: Conditions | None, orders: Sequence[int]) -> None:
        self.units, self.conditions, self.orders = units, conditions, orders
        self.name, self.trivial, self.note = name, max(orders) == 1, ""
        self.numbers: dict[tuple[str, ...], int] = {}
        """A combination of values → its number; -1 stands for those that the training rows lack."""

    def fit(self, train: Examples) -> ItemNgrams:
        rows, starts = self._rows(train, True)
        steps = np.cumsum([len(row) - 1 for row in rows])
        kept = max(1, int((steps <= MOST_STEPS).sum()))
        if kept < len(rows):
            self.note = f"counted in the first {kept:,} of {len(rows):,} items"
        rows, starts = rows[:kept], starts[:kept]
        order = self.orders[0]
        if len(self.orders) > 1:
            order = min(self.orders, key=lambda order: self._held_nats(rows, starts, order))
            self.note = "; ".join(filter(None, [f"order {order}, chosen on training items", self.note]))
        self._count(rows, starts, order)
        return self

    def predict(self, examples: Examples) -> Predictions:
        """float64 [T] nats of the units and the end of each item."""
        rows, starts = self._rows(examples, False)
        if not rows:
            return Predictions([])
        nats = -np.log(self._said(rows, starts))
        return Predictions(np.split(nats, np.cumsum([len(row) - 1 for row in rows])[:-1]))

    def _rows(self, examples: Examples, new: bool) -> tuple[list[np.ndarray], list[int]]:
        rows = [framed(str(text), self.units) for text in examples.targets or ()]
        if self.conditions is None:
            return rows, [0] * len(rows)
        if new:
            self.numbers = {values: k for k, values in enumerate(dict.fromkeys(map(tuple, examples.inputs)))}
        return rows, [self.numbers.get(tuple(values), -1) for values in examples.inputs]

    def _count(self, rows: Sequence[np.ndarray], starts: Sequence[int], order: int) -> None:
        entries = len(self.units) + 1
        self.whole = ItemCounts(rows, [0] * len(rows), entries, order)
        self.by_start = None if self.conditions is None else ItemCounts(rows, starts, entries, order)

    def _said(self, rows: Sequence[np.ndarray], starts: Sequence[int]) -> np.ndarray:
        found = self.whole.probabilities(rows, [0] * len(rows), 1.0 / (len(self.units) + 1))
        return found if self.by_start is None else self.by_start.probabilities(rows, starts, found)

    def _held_nats(self, rows: Sequence[np.ndarray], starts: Sequence[int], order: int) -> float:
        """Nats of a step of every tenth item, by the counts of the others."""
        held = [k for k in range(len(rows)) if k % HELD == HELD - 1] or [0]
        kept = [k for k in range(len(rows)) if k % HELD != HELD - 1]
        self._count([rows[k] for k in kept], [starts[k] for k in kept], order)
        return float(-np.log(self._said([rows[k] for k in held], [starts[k] for k in held])).mean())


def for_items(units: TextUnits, conditions: Conditions) -> list[ItemNgrams]:
    """Single units, n-grams of all items and, where they are given values, n-grams of each combination of them."""
    found = [
        ItemNgrams("each unit alone", units, None, (1,)),
        ItemNgrams("n-grams of all items", units, None, ORDERS),
    ]
    if conditions.columns and conditions.scaling is None:
        found.append(ItemNgrams(f"n-grams by {' and '.join(conditions.columns)}", units, conditions, ORDERS))
    return found
