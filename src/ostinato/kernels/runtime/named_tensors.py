"""The tensors of a call with their names and the shapes of its launch plan, for checks one by one.

Letters: T steps, B rows of the batch, C input features, H hidden units, P projected units, R packed rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ...sequence import ForwardResult, SequenceCall, Upstream
from .tensor_checks import Named

if TYPE_CHECKING:
    from .launch_plan import LaunchPlan


def named(plan: LaunchPlan, call: SequenceCall) -> Named:
    """(name, tensor, required shape) of x, the states and the weights.

    States may have a dimension of one entry in front. Packed rows may have more lines and rows than the plan has.
    """
    cell, partition, x, states, layout = plan.compiled.program.cell, plan.partition, call.x, call.states, call.rows
    lead, rows, front = tuple(x.shape[:-1]), partition.B, (1,) * (states[0].dim() - 2)
    if layout is not None:
        rows = layout.rows if layout.by_rows else rows
    elif partition.lengths is None:
        lead = partition.T, rows
    else:
        lead, rows = (max(x.shape[0], partition.step_offsets[-1]),), max(states[0].shape[-2], rows)
    found: Named = [("x", x, (*lead, plan.width["C"]))]
    widths = [plan.width[w] for w in cell.state_widths]
    found += [(f"state {n}", s, (*front, rows, w)) for n, s, w in zip(cell.states, states, widths, strict=True)]
    shapes = cell.parameters(plan.width["C"], plan.width["H"], plan.width["P"])
    return found + [(n, t, shape) for (n, shape), t in zip(shapes.items(), call.weights, strict=True)]


def named_backward(
    plan: LaunchPlan, call: SequenceCall, result: ForwardResult, upstream: Upstream, accumulate_into: Sequence[Tensor]
) -> Named:
    """`named` and after it all other tensors that backward reads, in the order of the arguments."""
    given = named(plan, call)
    p, cell = plan.compiled.program, plan.compiled.program.cell
    lead = given[0][2][:-1]
    own = lead if call.rows is None else (plan.partition.step_offsets[-1],)
    states, weights = given[1 : 1 + len(cell.states)], given[1 + len(cell.states) :]
    widths = [plan.width[w] for w in cell.state_widths]
    others = [k for k in range(len(widths)) if k != cell.output_state]
    found: list[tuple[str, Tensor | None, tuple[int, ...]]] = [("output", result.output, (*lead, plan.output_width))]
    stored = [plan.saved_width] * bool(p.saved) + [widths[k] for k in p.state_histories]
    found += [(f"saved[{k}]", t, (*own, w)) for k, (t, w) in enumerate(zip(result.saved, stored, strict=True))]
    found += [("the gradient of the output", upstream.output, (*lead, plan.output_width))]
    found += [(f"the gradient of the final {n}", d, shape) for d, (n, _, shape) in zip(upstream.final_states, states)]
    found += [
        (f"the gradient of every {cell.states[k]}", d, (*own, widths[k])) for k, d in zip(others, upstream.histories)
    ]
    found += [(f"the gradient of {n}", t, shape) for t, (n, _, shape) in zip(accumulate_into, weights)]
    return given + [(n, t, shape) for n, t, shape in found if t is not None]
