"""The tensors of a call by name, each with the shape that its frame says, for where they are checked one by one.

Letters: T steps, B rows of the batch, C input features, H hidden units, P projected units, R packed rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from .places import Places
from .tensor_checks import Named

if TYPE_CHECKING:
    from .call import Call


def named(
    call: Call, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], places: Places | None = None
) -> Named:
    """x, the states and the weights, each with its name and the shape that it must have in this call.

    States may have a dimension of one entry in front. Packed rows may have more lines and rows than the call has.
    """
    cell, lines = call.compiled.program.cell, call.lines
    lead, rows, front = tuple(x.shape[:-1]), lines.B, (1,) * (states[0].dim() - 2)
    if places is not None:
        rows = places.rows if places.by_rows else rows
    elif lines.lengths is None:
        lead = lines.T, rows
    else:
        lead, rows = (max(x.shape[0], lines.first[-1]),), max(states[0].shape[-2], rows)
    found: Named = [("x", x, (*lead, call.width["C"]))]
    widths = [call.width[w] for w in cell.state_widths]
    found += [(f"state {n}", s, (*front, rows, w)) for n, s, w in zip(cell.states, states, widths, strict=True)]
    shapes = cell.parameters(call.width["C"], call.width["H"], call.width["P"])
    return found + [(n, t, shape) for (n, shape), t in zip(shapes.items(), weights, strict=True)]


def named_backward(
    call: Call,
    given: Named,
    output: Tensor,
    kept: Sequence[Tensor],
    upstream: Sequence[Tensor | None],
    onto: Sequence[Tensor],
    places: Places | None = None,
) -> Named:
    """`given`, which `named` has found, and after it the same of all else that backward reads.

    upstream: the gradients of the output, of the final states, and of the histories that are not the output.
    """
    p, cell = call.compiled.program, call.compiled.program.cell
    lead = given[0][2][:-1]
    own = lead if places is None else (call.lines.first[-1],)
    states, weights = given[1 : 1 + len(cell.states)], given[1 + len(cell.states) :]
    widths = [call.width[w] for w in cell.state_widths]
    others = [k for k in range(len(widths)) if k != cell.output_state]
    found: list[tuple[str, Tensor | None, tuple[int, ...]]] = [("output", output, (*lead, call.output_width))]
    stored = [call.kept_width] * bool(p.kept) + [widths[k] for k in p.histories]
    found += [(f"kept[{k}]", t, (*own, w)) for k, (t, w) in enumerate(zip(kept, stored, strict=True))]
    d_finals, d_histories = upstream[1 : 1 + len(states)], upstream[1 + len(states) :]
    found += [("the gradient of the output", upstream[0], (*lead, call.output_width))]
    found += [(f"the gradient of the final {n}", d, shape) for d, (n, _, shape) in zip(d_finals, states)]
    found += [(f"the gradient of every {cell.states[k]}", d, (*own, widths[k])) for k, d in zip(others, d_histories)]
    found += [(f"the gradient of {n}", t, shape) for t, (n, _, shape) in zip(onto, weights)]
    return given + [(n, t, shape) for n, t, shape in found if t is not None]
