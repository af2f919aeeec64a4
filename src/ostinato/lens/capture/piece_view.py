"""The value of any node of the cell's graph at any packed row of a piece, for observers.

A piece is all of a call of one layer and direction, or a part of one that is checkpointed.

Letters: S packed steps of a piece, N segments, B rows of x, R packed rows of a piece, M chosen ones, H units, C columns
of an operand.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ...cells.reference import drawn
from ...cells.value import Value
from ...execution import backends
from ...execution.observer import SequenceRecord
from .call_layout import CallLayout, chosen_rows, gathered
from .cell_recipe import CellRecipe, EvaluationPlan, SampledColumns
from .evaluate import compute
from .row_norms import Lines


class PieceView:
    """The tensors of one piece, by packed rows."""

    __slots__ = ("base", "end", "layout", "piece", "recipe", "steps", "_columns", "_others")

    def __init__(self, recipe: CellRecipe, layout: CallLayout, piece: SequenceRecord) -> None:
        self.recipe, self.layout, self.piece = recipe, layout, piece
        self.steps = (piece.x if piece.sizes is None else piece.sizes).shape[0]
        """S."""
        self.base, self.end = layout.step_offsets[piece.first], layout.step_offsets[piece.first + self.steps]
        """The first packed row of the piece among those of the call, and the first after it."""
        self._columns = backends.saved_columns(piece.cell, piece.states, piece.weights, piece.kept)
        self._others: dict[int, Tensor] = {}

    def values(self, nodes: Sequence[Value], at: Tensor | None = None) -> list[Tensor]:
        """The values of nodes, [R, H] each, or at the packed rows `at`, [M, H]; saved ones are not computed again."""
        piece, plan = self.piece, self._plan(nodes)
        values = {i: chosen_rows(self._saved(i).flatten(0, -2), at) for i in plan.saved}
        history = piece.histories[0].flatten(0, -2)
        count, width = len(history) if at is None else len(at), history.shape[-1]
        if plan.computed:
            nothing = piece.x.new_empty(count, 0)  # of what is not read only the number of rows counts
            x = chosen_rows(piece.x.flatten(0, -2), at) if plan.reads_x else nothing
            before = [self.state_before(k, at) if read else nothing for k, read in enumerate(plan.states_read)]
            compute(self.recipe.cell, piece.weights, x, before, plan.computed, values)
        return _expanded(nodes, values, count, width)

    def sampled_lines(self, at: Tensor) -> tuple[Lines, Callable[[Tensor], list[Tensor]]] | None:
        """(the lines `at` of what forward saved, their copy [M, width] → the sampled nodes' values there [M, H]).

        So values are computed from copied lines later. None where these lines do not determine the values: where x, a
        state, a parameter or a random number is read.
        """
        piece = self.piece
        if not piece.kept:
            return None
        source, units = piece.kept[0], piece.histories[0].shape[-1]
        key = source.shape[-1], *[s.shape[-1] for s in piece.states]
        known = self.recipe.sampled_columns
        found = known[key] if key in known else known.setdefault(key, self._sampled_columns())
        if found is None:
            return None
        cell, weights, nodes = self.recipe.cell, piece.weights, self.recipe.sampled

        def values_in(lines: Tensor) -> list[Tensor]:
            values = {i: lines.narrow(1, *place) for i, place in found.columns.items()}
            nothing, count = lines[:, :0], lines.shape[0]
            compute(cell, weights, nothing, [nothing] * len(cell.states), found.computed, values)
            return _expanded(nodes, values, count, units)

        return Lines(source, at, found.first, found.width), values_in

    def _sampled_columns(self) -> SampledColumns | None:
        plan, columns = self._plan(self.recipe.sampled), self._columns
        if not plan.saved or not plan.pointwise or not all(i in columns for i in plan.saved):
            return None
        first = min(columns[i][0] for i in plan.saved)
        width = max(sum(columns[i]) for i in plan.saved) - first
        within = {i: (columns[i][0] - first, columns[i][1]) for i in plan.saved}
        return SampledColumns(first, width, within, plan.computed)

    def lines_with(self, node: Value) -> tuple[Tensor, int]:
        """(contiguous lines [..., C], the column at which the node's values begin in them)."""
        place = self._columns.get(node.id)
        return (self.values([node])[0].contiguous(), 0) if place is None else (self.piece.kept[0], place[0])

    def _plan(self, nodes: Sequence[Value]) -> EvaluationPlan:
        """How to evaluate the nodes from what forward saved, the new states and the random numbers."""
        recipe = self.recipe
        if recipe.random and not self._others:
            self._others = self._random_numbers()
        return recipe.plan(nodes, (*self._columns, *recipe.new_states, *self._others))

    def _saved(self, i: int) -> Tensor:
        """The value of a node that forward saved, that is a new state or a random number: laid out as the output."""
        state = self.recipe.new_states.get(i)
        if state is not None:
            return self.piece.histories[state]
        return self.piece.kept[0].narrow(-1, *self._columns[i]) if i in self._columns else self._others[i]

    def state_before(self, k: int, at: Tensor | None = None) -> Tensor:
        """State k before each step of the piece, [R, H], or at the packed rows `at`, [M, H]."""
        after, start = self.piece.histories[k], self.piece.states[k]
        reverse = self.piece.reverse
        if self.layout.dense and at is None:
            return torch.cat([after[1:], start[None]] if reverse else [start[None], after[:-1]]).flatten(0, -2)
        index = self._segment_index()
        segments = torch.arange(index.shape[1], device="cpu").expand_as(index)
        earlier = torch.full_like(index, -1)
        if reverse:
            earlier[:-1] = index[1:]
        else:
            earlier[1:] = index[:-1]
        # The start of segment n is row n, the row r of this piece is row N + r.
        known = torch.where(earlier >= 0, earlier - self.base + len(start), segments)[index >= 0]
        return torch.cat([start, after.flatten(0, -2)])[chosen_rows(known, at).to(after.device)]

    def operand(self, node: Value) -> Tensor:
        """What a product reads, [R, C]."""
        return self.piece.x.flatten(0, -2) if node.op == "x" else self.values([node])[0]

    def operand_after(self, node: Value) -> tuple[Tensor, Tensor | None]:
        """`operand`, or laid out as the output; of a state what it is after each step, and before the first, [N, C]."""
        if node.op == "state":
            k = self.recipe.states.index(node.attr)
            return self.piece.histories[k], self.piece.states[k]
        return self.piece.x if node.op == "x" else self.operand(node).contiguous(), None

    def step_offsets(self) -> array:
        """int64, the first packed row of each step within the piece, and R."""
        whole, first = self.layout.step_offsets, self.piece.first
        if self.steps == len(whole) - 1:
            return whole
        return array("q", [at - self.base for at in whole[first : first + self.steps + 1]])

    def rows_of_steps(self) -> Tensor | None:
        """int64 [S, B], the packed rows of the piece that belong to one step of x, -1 for none.

        None where they are spread over several pieces.
        """
        if self.layout.dense or self.layout.steps_align:
            index = self._segment_index()
            return (index - self.base).where(index >= 0, -1)
        return self.layout.x_index if self.steps == len(self.layout.segment_index) else None

    def by_step(self, rows: Tensor, per_row: Tensor) -> Tensor:
        """[R, C] or [S, B, C] → [S, B, C] by `rows_of_steps`, 0 where there is none."""
        if self.layout.dense:
            return per_row if per_row.dim() == 3 else per_row.unflatten(0, rows.shape)
        return gathered(per_row, rows, 0.0)

    def _segment_index(self) -> Tensor:
        return self.layout.segment_index[self.piece.first : self.piece.first + self.steps]

    def _random_numbers(self) -> dict[int, Tensor]:
        """node.id → the random numbers of the piece, [R, H or P]."""
        p = self.piece
        rows = [p.x.shape[1]] * len(p.x) if p.sizes is None else p.sizes.tolist()
        steps = [drawn(p.cell, p.weights, p.states, p.noise, t, r) for t, r in enumerate(rows)]
        numbers = dict(zip(p.cell.random, (torch.cat(parts) for parts in zip(*steps, strict=True))))
        return {v.id: numbers[v.attr] for v in self.recipe.random}


def _expanded(nodes: Sequence[Value], values: Mapping[int, Tensor], count: int, width: int) -> list[Tensor]:
    """The values of the nodes, [count, H] each; [count, width] where all units share one number."""
    results = []
    for v in nodes:
        value = values[v.id]
        one = not value.dim() or value.shape[-1] == 1
        results.append(value.expand(count, width if one else value.shape[-1]))
    return results
