"""Packing of weights into panels, in every call, so that an in-place update of a weight is never missed.

Panels of `prepacked` weights are packed once and read by many calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...cells import Cell
from ..codegen.ir_builder import Code, Int, Ptr
from ..codegen.kernel_args import KernelArgs
from ..planning.operands import Product
from ..planning.step_schedule import StepSchedule
from .gemm import GemmFunctions
from .gemm_dispatch import GemmDispatch, packed_ahead, total_depth


def emit_packing(
    code: Code,
    args: KernelArgs,
    cell: Cell,
    step: StepSchedule,
    gemm: GemmFunctions,
    numbered: Sequence[tuple[int, Product]],
    part: Int,
    parts: Int,
) -> None:
    """Packs every `parts`-th block of units of every product; part 0 packs all vectors."""
    n = gemm.lanes
    for number, p in numbered:
        width, padded = args.size(p.width), p.span * n
        with code.range(width.ceil_div(padded), part, parts) as block:
            first = block * padded
            here = (width - first).min(padded)
            panel = args.panel[number].at(block * total_depth(args, p) * (p.columns * n))
            start = args.bias[number].at(block * (p.columns * n))
            _pack_bias(code, args, cell, gemm, p, first, here, start)
            if p.transposed:
                ahead = packed_ahead(args, any(p is q for q in step.hoisted))
                with code.if_((args.unpacked_weights <= 0) & ahead):
                    GemmDispatch(args, gemm, cell).pack_panel(p, block, panel)
            else:
                with code.if_((args.pack_per_use >= 0) & ((args.unpacked_weights <= 0) | (here < padded))):
                    for q in p.operands:
                        for letter, name in q.weights:
                            k = args.size(q.depth)
                            m = args.weight[letter].at(k * width * cell.place[letter, name] + first)
                            code.call(gemm.pack_rows(), m, width, k, here, panel, p.columns * n, padded)
                            panel = panel.at(k * (p.columns * n))
    widths = {s.name: s.width for s in step.inputs.values() if s.kind == "param"}
    with code.if_(part.equals(0)):
        for name in vectors(step):
            source, width = vector_source(args, cell, name, args.size(widths[name]))
            code.call(gemm.pack_rows(), source, 0, 1, width, args.vector[name], 0, args.padded(widths[name]))


def vectors(step: StepSchedule) -> list[str]:
    """The per-unit vectors that a step reads outside of accumulators, sorted."""
    started = Counter(i for dropped in step.folded_terms.values() for i in dropped)
    read = {v.id for v in step.nodes if step.uses.get(v.id, 0) > started[v.id]}
    return sorted({s.name for i, s in step.inputs.items() if s.kind == "param" and i in read})


def vector_source(args: KernelArgs, cell: Cell, name: str, width: Int) -> tuple[Ptr, Int]:
    """(address, size) of a per-unit vector in the caller's parameters."""
    letter, gate = name.split(".")
    if letter == "p":
        return args.weight[name], width
    return args.weight[letter].at(width * cell.place[letter, gate]), width


def _pack_bias(
    code: Code, args: KernelArgs, cell: Cell, gemm: GemmFunctions, p: Product, first: Int, here: Int, start: Ptr
) -> None:
    n, zero = gemm.lanes, code.lanes.zero
    for g, bias in enumerate(p.bias_init):
        to = start.at(g * p.span * n)
        if bias is None:
            for v in range(p.span):
                to.at(v * n).store(zero)
        else:
            source, _ = vector_source(args, cell, f"{bias[0]}.{bias[1]}", args.size(p.width))
            code.call(gemm.pack_rows(), source.at(first), 0, 1, here, to, 0, p.span * n)
