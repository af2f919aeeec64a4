"""The check of a call's tensors against its launch plan: by the guards of the layer, or one by one with their names.

Letters: T steps, B rows of the batch, C input features, H hidden units, P projected units, R packed rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from torch import Tensor

from ...sequence import ForwardResult, SequenceCall, Upstream
from .launch_plan import LaunchPlan
from .tensor_checks import Named, Shape

_SIZES = "Give tensors of one size and number type, as the cell's parameters are."
_SAVED = "Saved-tensor hooks have to give back what they were given, and gradients are as what they are gradients of."
# A plan's own guard costs about as much as so many calls save by it.
_CALLS_BEFORE_GUARD = 4


def checked(plan: LaunchPlan, call: SequenceCall) -> SequenceCall:
    """The call with tensors that kernels can read; refuses others.

    Calls of new sizes pass the guards that are shared by all sizes of the layer.
    """
    sized, fixed = (call.x, *call.states), tuple(call.weights)
    if plan.template.guards.pass_guards(None, sized, fixed, _shapes(plan, call)):
        _count(plan, None, (*sized, *fixed))
        return call
    x, *rest = found = plan.guards.check(None, named(plan, call), _SIZES)
    n = len(call.states)
    if all(a is b for a, b in zip(found, (*sized, *fixed))):
        plan.template.guards.add(None, sized, fixed)
    return replace(call, x=x, states=rest[:n], weights=rest[n:])


def checked_backward(
    plan: LaunchPlan,
    which: Hashable,
    call: SequenceCall,
    result: ForwardResult,
    upstream: Upstream,
    accumulate_into: Sequence[Tensor],
) -> tuple[SequenceCall, ForwardResult, Upstream, Sequence[Tensor]]:
    """`checked` of all tensors that backward reads.

    which: the number of tensors in `accumulate_into`, and which of the upstream gradients are None
    """
    shapes, present = _backward_shapes(plan, call, result, upstream)
    read = (call.x, *call.states, *call.weights, result.output, *result.saved, *present, *accumulate_into)
    sized = (call.x, *call.states, result.output, *result.saved, *present)
    fixed = (*call.weights, *accumulate_into)
    if plan.template.guards.pass_guards(which, sized, fixed, shapes):
        _count(plan, which, read)
        return call, result, upstream, accumulate_into
    found = plan.guards.check(which, named_backward(plan, call, result, upstream, accumulate_into), _SAVED)
    if all(a is b for a, b in zip(found, read)):
        plan.template.guards.add(which, sized, fixed)
        return call, result, upstream, accumulate_into
    readable = iter(found)

    def present_or_none(several: Sequence[Tensor | None]) -> list[Tensor | None]:
        return [None if d is None else next(readable) for d in several]

    x, states, weights = next(readable), [next(readable) for _ in call.states], [next(readable) for _ in call.weights]
    call = replace(call, x=x, states=states, weights=weights)
    result = ForwardResult(next(readable), [], [], [next(readable) for _ in result.saved])
    (d_output,) = present_or_none([upstream.output])
    upstream = Upstream(d_output, present_or_none(upstream.final_states), present_or_none(upstream.histories))
    return call, result, upstream, list(readable)


def _count(plan: LaunchPlan, which: Hashable, tensors: Sequence[Tensor]) -> None:
    """Makes the plan's own guard where calls of its size come back."""
    calls = plan.calls[which] = plan.calls.get(which, 0) + 1
    if calls == _CALLS_BEFORE_GUARD:
        plan.guards.add(which, tensors)
        plan.calls[which] = 0


def _lead(plan: LaunchPlan, call: SequenceCall) -> tuple[int, ...]:
    """The leading sizes of x and the output. Packed rows may have more lines than the plan has."""
    if call.rows is not None:
        return tuple(call.x.shape[:-1])
    partition = plan.partition
    return (partition.T, partition.B) if partition.dense else (max(call.x.shape[0], partition.num_lines),)


def _shapes(plan: LaunchPlan, call: SequenceCall) -> list[Shape]:
    """The required shapes of x and the states.

    States may have a dimension of one entry in front, and those of packed rows may have more rows than the plan has.
    """
    partition, states, layout = plan.partition, call.states, call.rows
    rows, front = partition.B, (1,) * (states[0].dim() - 2)
    if layout is not None:
        rows = layout.rows if layout.by_rows else rows
    elif not partition.dense:
        rows = max(states[0].shape[-2], rows)
    return [(*_lead(plan, call), plan.width["C"]), *[(*front, rows, w) for w in plan.template.state_widths]]


def _backward_shapes(
    plan: LaunchPlan, call: SequenceCall, result: ForwardResult, upstream: Upstream
) -> tuple[list[Shape], list[Tensor]]:
    """(required shapes, present upstream gradients); shapes of x, the states, the output, what forward saved, and each
    upstream gradient that is present."""
    program, widths = plan.compiled.program, plan.template.state_widths
    output_state = program.cell.output_state
    shapes, lead = _shapes(plan, call), _lead(plan, call)
    own = lead if call.rows is None else (plan.partition.num_lines,)
    output: Shape = (*lead, plan.output_width)
    of_upstream: list[Shape] = [output, *shapes[1:]]
    of_upstream += [(*own, w) for k, w in enumerate(widths) if k != output_state]
    shapes.append(output)
    if program.saved:
        shapes.append((*own, plan.saved_width))
    shapes += [(*own, widths[k]) for k in program.state_histories]
    present = []
    for d, shape in zip((upstream.output, *upstream.final_states, *upstream.histories), of_upstream):
        if d is not None:
            present.append(d)
            shapes.append(shape)
    return shapes, present


def named(plan: LaunchPlan, call: SequenceCall) -> Named:
    """(name, tensor, required shape) of x, the states and the weights."""
    cell, width = plan.compiled.program.cell, plan.width
    names = ["x", *[f"state {n}" for n in cell.states]]
    found: Named = [*zip(names, (call.x, *call.states), _shapes(plan, call), strict=True)]
    shapes = cell.parameters(width["C"], width["H"], width["P"])
    return found + [(n, t, shape) for (n, shape), t in zip(shapes.items(), call.weights, strict=True)]


def named_backward(
    plan: LaunchPlan, call: SequenceCall, result: ForwardResult, upstream: Upstream, accumulate_into: Sequence[Tensor]
) -> Named:
    """`named` and after it all other tensors that backward reads, in the order of the arguments."""
    given, cell = named(plan, call), plan.compiled.program.cell
    n, (shapes, present) = 1 + len(cell.states), _backward_shapes(plan, call, result, upstream)
    others = [k for k in range(len(cell.states)) if k != cell.output_state]
    names = ["output", *[f"saved[{k}]" for k in range(len(result.saved))]]
    of = ["the output", *[f"the final {name}" for name in cell.states], *[f"every {cell.states[k]}" for k in others]]
    gradients = (upstream.output, *upstream.final_states, *upstream.histories)
    names += [f"the gradient of {name}" for name, d in zip(of, gradients) if d is not None]
    found = [*zip(names, (result.output, *result.saved, *present), shapes[n:], strict=True)]
    found += [(f"the gradient of {n}", t, shape) for t, (n, _, shape) in zip(accumulate_into, given[n:])]
    return given + found
