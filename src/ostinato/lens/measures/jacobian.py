"""The Jacobian of a step and of many steps: the growth of a small change in the state.

Letters: T steps, B rows, C input features, H hidden units, N numbers of a whole state, all states side by side, R rows
measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from ...cells import Cell
from ...errors import InputError, phrase
from ..capture.replay import LayerReplay, replay_layer
from ..report.format import aligned, number, to_dict, to_json
from ..report.statistics import median
from .long_matrix_products import LongProduct, frame, lyapunov_step
from .pascanu import Pascanu, pascanu

_WHERE = "lens.jacobian"
_MOST_NUMBERS = 2**22  # numbers in the Jacobians in memory at a time: 32 MiB


@dataclass(frozen=True)
class Jacobian:
    """J_t = ∂s_t/∂s_{t-1} of one layer and direction, s all its states side by side, N numbers. Computed in float64.

    R rows of the batch are measured, a column each. Values of a step are indexed as x is, NaN past a row's end.
    """

    rows: tuple[int, ...]
    """The R rows of the batch."""
    largest_singular_value_per_step: Tensor
    """σ_max(J_t) [T, R], no unit: the most that the step can stretch a change. Healthy: about 1; where it is below 1 at
    every step, the past fades whatever the input."""
    spectral_radius_per_step: Tensor
    """max |eigenvalue of J_t| [T, R], no unit: the growth of a change if the step were repeated. At most σ_max.
    Healthy: about 1."""
    mean_squared_singular_value_per_step: Tensor
    """(1/N) tr J_t J_tᵀ [T, R], no unit: the mean square stretch of a change in a random direction. Healthy: about
    1."""
    between: tuple[tuple[int, int], ...]
    """(k, t) for each row, in steps taken: the product of all steps between is ∂s_t/∂s_k; s_0 is the state before any
    step."""
    log_singular_values: Tensor
    """ln σ_i(J_t ⋯ J_{k+1}) [R, N], in nats, the largest first; -inf for a direction that is lost. Healthy: all near
    0 (dynamical isometry: M. Chen, J. Pennington, S. Schoenholz, ICML 2018)."""
    lyapunov_exponents_per_step: Tensor
    """[R, N], in nats per step, the largest first: 1/T ln growth of a change, by the QR method. Below 0 a change fades,
    above 0 it grows, chaos. -inf for a direction that is lost. Healthy: the largest about 0."""
    pascanu: Pascanu | None
    """Pascanu's test of U alone; None where it does not apply to the cell."""
    pascanu_absent: str
    """Why it does not apply; "" where it does."""

    @property
    def log_condition_number(self) -> Tensor:
        """ln(σ_max / σ_min) of ∂s_t/∂s_k, [R]: 0 if orthogonal, inf if a direction is lost, NaN if all are."""
        return self.log_singular_values[:, 0] - self.log_singular_values[:, -1]

    @property
    def condition_number(self) -> Tensor:
        """σ_max / σ_min of ∂s_t/∂s_k, [R]; inf beyond 1.8e308, where `log_condition_number` is finite."""
        return self.log_condition_number.exp()

    def derived(self) -> dict[str, Any]:
        """The values that follow from the fields, as JSON has them."""
        return {"log_condition_number": self.log_condition_number}

    def table(self) -> str:
        """As text, a row of the batch a line: medians over its steps, then the product between k and t, then U."""
        lines = []
        for k, (row, between) in enumerate(zip(self.rows, self.between)):
            steps = (
                self.largest_singular_value_per_step,
                self.spectral_radius_per_step,
                self.mean_squared_singular_value_per_step,
            )
            logs = self.log_singular_values[k]
            numbers = [*(median(v[:, k]) for v in steps), float(logs[0]), float(logs[-1])]
            numbers += [float(self.log_condition_number[k]), float(self.lyapunov_exponents_per_step[k, 0])]
            lines.append(
                [str(row), *map(number, numbers[:3]), f"{between[0]} … {between[1]}", *map(number, numbers[3:])]
            )
        headings = ["row", "σ max", "spectral radius", "mean σ²", "k … t", "ln σ max", "ln σ min", "ln condition"]
        text = aligned([*headings, "largest exponent (nats/step)"], lines)
        if self.pascanu is None:
            return f"{text}\nPascanu's test: {self.pascanu_absent}"
        u = f"σ max of U {number(self.pascanu.largest_singular_value_of_u)}, bound {number(self.pascanu.bound)}"
        says = (
            "must vanish" if self.pascanu.must_vanish else "may explode" if self.pascanu.may_explode else "at the bound"
        )
        return f"{text}\nPascanu's test: {u}: gradients {says}"

    def to_dict(self) -> dict[str, Any]:
        """All fields as numbers, texts and lists, and `log_condition_number`; None for what is not defined."""
        return to_dict(self)

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return to_json(self.to_dict())

    def __str__(self) -> str:
        return self.table()


def jacobian(
    layer: nn.Module,
    x: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    resets: Any = None,
    rows: int | Sequence[int] = 0,
    depth: int = -1,
    direction: int = 0,
    between: tuple[int, int] | None = None,
    warm_up: int = 0,
) -> Jacobian:
    """The Jacobians of one layer and direction along the states of one call, step by step and multiplied up.

    x [T, B, C], state, lengths and resets as the layer takes them; it is called once, in eval mode. A step that begins
    a new sequence depends on no state before it: its J_t is 0, so is every product across it, and the Lyapunov
    exponents leave it out. Raises InputError for options out of their range, and where a state or a Jacobian is inf or
    NaN.
    rows       which rows of the batch to measure, the first one without it
    depth      which of the L layers, -1 the last. Its input is constant: paths through other layers are left out
    direction  1 for the second direction, whose first step is a row's last
    between    (k, t): the product ∂s_t/∂s_k, in steps taken, s_0 before the first; the whole row without it
    warm_up    steps that align the frame of the Lyapunov exponents and are not counted

    Known answers: h_t = a h_{t-1} gives a for each step and k ln a for the product; a linear layer with an orthogonal U
    has all exponents 0. The largest exponent is the growth of one tangent vector pushed forward.
    Cost: N backward passes of a step and three decompositions O(N³) per step and row, and one of about 10 N³ for the
    product; for N = 256 and T = 100 about ten seconds a row. Memory: some N × N matrices, whatever T.
    """
    replayed = replay_layer(layer, x, state, lengths, resets, depth, direction, _WHERE).to(torch.float64)
    starts_new = _starts_new(replayed)
    chosen = _chosen(rows, replayed.valid.shape[1])
    ends = [int(replayed.lengths[row]) for row in chosen]
    spans = [_span(between, end, row) for row, end in zip(chosen, ends)]
    size = sum(s.shape[-1] for s in replayed.initial_states)
    if not isinstance(warm_up, int) or not 0 <= warm_up < max(*ends, 1, 1):
        expected = f"between 0 and {max(*ends, 1, 1) - 1}, fewer than the steps of the longest row"
        raise InputError(phrase(_WHERE, "warm_up", expected, warm_up))
    per_step = replayed.x.new_full((3, len(replayed.x), len(chosen)), math.nan)
    products, exponents = [], []
    for k, (row, span, end) in enumerate(zip(chosen, spans, ends)):
        product, turning = LongProduct(size, replayed.x), frame(size, replayed.x)
        growth, counted, taken = replayed.x.new_zeros(size), 0, 0
        for at, jacobians in _jacobians(replayed, row, end):
            cuts = starts_new[at, row]
            jacobians = jacobians * ~cuts[:, None, None]
            singular = torch.linalg.svdvals(jacobians)
            radius = torch.linalg.eigvals(jacobians).abs().amax(-1)
            per_step[:, at, k] = torch.stack([singular[:, 0], radius, singular.square().mean(-1)])
            for one, cut in zip(jacobians, cuts.tolist()):
                if not cut:
                    turning, grown = lyapunov_step(one, turning)
                    if taken >= warm_up:
                        growth, counted = growth + grown, counted + 1
                if span[0] <= taken < span[1]:
                    product.multiply(one)
                taken += 1
        products.append(product.log_singular_values())
        exponents.append(growth / counted if counted else torch.full_like(growth, math.nan))
    steepest, radii, mean_squares = per_step
    test, absent = pascanu(replayed.cell, replayed.weights)
    return Jacobian(
        chosen,
        steepest,
        radii,
        mean_squares,
        tuple(spans),
        torch.stack(products),
        torch.stack(exponents).sort(descending=True).values,
        test,
        absent,
    )


def step_jacobians(cell: Cell, weights: Sequence[Tensor], x: Tensor, previous_states: Sequence[Tensor]) -> Tensor:
    """∂s_t/∂s_{t-1} of single steps: x [M, C], states before the step [M, H] each → [M, N, N].

    Entry [m, i, j] is the derivative of the new state's number i in the old state's number j, states side by side in
    the order of the cell; no unit for states of one unit. What has other shapes is refused by torch.
    """
    sizes = [s.shape[-1] for s in previous_states]

    def step(old: Tensor, x_t: Tensor) -> Tensor:
        return torch.cat(cell.step(weights, x_t, old.split(sizes))[1])

    return torch.func.vmap(torch.func.jacrev(step))(torch.cat(list(previous_states), -1), x)


def _jacobians(replayed: LayerReplay, row: int, end: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(steps, their Jacobians [M, N, N]) of a row, several steps at a time, in the order of computation."""
    order = torch.arange(end, device=replayed.x.device)
    order = order.flip(0) if replayed.reverse else order
    previous = [s[:, row] for s in replayed.previous_states]
    size = sum(s.shape[-1] for s in previous)
    for at in order.split(max(1, _MOST_NUMBERS // size**2)):
        jacobians = step_jacobians(replayed.cell, replayed.weights, replayed.x[at, row], [s[at] for s in previous])
        finite = torch.cat([jacobians.flatten(1), *[s[at, row] for s in replayed.states]], 1).isfinite().all(1)
        if not finite.all():
            remedy = "Start from smaller weights, or measure the steps before it with lengths=."
            received = f"inf or NaN in row {row} at step {int(at[~finite][0])}"
            raise InputError(phrase(_WHERE, "the states and Jacobians", "finite", received, remedy))
        yield at, jacobians


def _starts_new(replayed: LayerReplay) -> Tensor:
    """bool [T, B], the first steps of new sequences, which depend on no state before them."""
    from_initial, from_reset = replayed.segment_start_masks
    # A row's first segment starts from the given state; in the second direction its steps are not the first ones taken.
    return from_reset | from_initial & from_reset.any(0) if replayed.reverse else from_reset


def _chosen(rows: int | Sequence[int], count: int) -> tuple[int, ...]:
    if not isinstance(rows, int | Sequence | range):
        raise InputError(phrase(_WHERE, "rows", "a row or a list of rows", type(rows).__name__, "Write rows=[0, 1]."))
    chosen = (rows,) if isinstance(rows, int) else tuple(rows)
    for row in chosen:
        if not isinstance(row, int) or not 0 <= row < count:
            raise InputError(phrase(_WHERE, "rows", f"between 0 and B - 1 = {count - 1}", row))
    if not chosen:
        raise InputError(phrase(_WHERE, "rows", "at least one row", "none"))
    return chosen


def _span(between: tuple[int, int] | None, end: int, row: int) -> tuple[int, int]:
    if between is None:
        return 0, end
    given: object = between
    if not isinstance(given, tuple | list) or len(given) != 2 or not all(isinstance(s, Integral) for s in given):
        raise InputError(phrase(_WHERE, "between", "two numbers of steps", repr(given), "Write between=(0, 10), say."))
    k, t = between
    if not 0 <= k <= t <= end:
        remedy = "Steps are counted in the order in which they are taken; 0 is before the first."
        raise InputError(phrase(_WHERE, "between", f"0 ≤ k ≤ t ≤ {end}, the steps of row {row}", between, remedy))
    return k, t
