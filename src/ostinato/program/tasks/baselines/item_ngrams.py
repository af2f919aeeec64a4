"""Baselines of generated items: n-grams of units with Witten-Bell's interpolation, of all items or by their condition.

An item is the mark, its units and the mark; the first mark is read and never predicted. Letters: T steps of an item.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...data.examples import Examples
from ..task import Predictions
from ..texts.conditions import Conditions
from ..texts.items import framed
from ..texts.units import TextUnits
from .ngrams import WittenBell

ORDERS = (2, 3, 4, 5, 6)
"""Units of an n-gram, of which the best is chosen on every tenth training item."""
HELD = 10
MOST_STEPS = 4_000_000
"""Steps that are counted; of more, the first items that have so many."""


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
        self.whole = WittenBell(order - 1, entries, read=1).fit(rows)
        self.by_start = None
        if self.conditions is not None:
            self.by_start = WittenBell(order - 1, entries, read=1).fit(rows, starts)

    def _said(self, rows: Sequence[np.ndarray], starts: Sequence[int]) -> np.ndarray:
        found = self.whole.of_runs(rows)[-1]
        return found if self.by_start is None else self.by_start.of_runs(rows, starts, found)[-1]

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
