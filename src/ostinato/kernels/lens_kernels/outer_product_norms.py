"""‖Σ_b d_b ⊗ z_b‖² of every step from Gram matrices: Σ_{b,c} (d_b · d_c)(z_b · z_c), half of it by symmetry.

The sum is the gradient of a weight at one step: d are the gradients of its gates, z its operand. One row of each pair
is scaled by a power of two, so that no product over- or underflows.

Letters: S steps, B rows of the widest step, R lines.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from llvmlite import ir
from torch import Tensor

from ...caching import bounded_cache
from ..codegen.arguments import Address, Addresses, BlockTemplate, Integer, Integers, WorkArgs
from ..codegen.ir_builder import I64, PTR, Code, Int, Ptr
from ..codegen.vector_ops import Lanes
from ..runtime.standalone_kernel import SCALARS, StandaloneKernel, root_of
from ..system import memory_pool
from ..system.openmp import thread_count

TILE_ROWS = 4
"""Rows of a tile of a Gram matrix."""
MODERATE = 32
"""Matrices whose largest number is between 2^-32 and 2^32 are multiplied as they are: products of numbers down to 2^-30
of the largest are normal numbers of float32."""
KERNEL_BYTES = 128 << 10  # an upper bound of a kernel with its code


class Pattern(NamedTuple):
    """segments: the number of segments of d, side by side in a line. past: for each z, whether it is read from the
    previous step, as states are, or from the same one. groups: (z, segments) of each sum."""

    segments: int
    past: tuple[bool, ...]
    groups: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def matrices(self) -> tuple[str, ...]:
        """The names of the matrices of a step: the segments of d, then every z."""
        return tuple(f"d{k}" for k in range(self.segments)) + tuple(f"z{k}" for k in range(len(self.past)))

    def reads_past(self, name: str) -> bool:
        return name.startswith("z") and self.past[int(name[1:])]


class OuterOperand(NamedTuple):
    """One z, contiguous: the rows [..., C]; for states of the previous step also the initial states [B, C]."""

    rows: Tensor
    start: Tensor | None = None


def _emit(pattern: Pattern) -> Any:
    def emit(code: Code, args: OuterNormsArgs, item: Int) -> None:
        _emit_steps(code, args, item, pattern)

    return emit


def _emit_steps(code: Code, args: OuterNormsArgs, item: Int, pattern: Pattern) -> None:
    b = code.builder
    first, most = args.first, args.most
    place, scratch, mixed = code.int_const(0), args.scratch.at(item * args.space), {}
    for name in pattern.matrices:
        if pattern.reads_past(name):
            mixed[name] = scratch.at(place)  # [B, width]
            place = place + most * args.width[name]
    columns, n = _tile_columns(code.lanes.lanes), code.lanes.lanes
    parts = TILE_ROWS * columns // n
    grams = {name: code.alloca_vec(TILE_ROWS * columns) for name in pattern.matrices}
    scaled, plain, wide = _gram_tile(code, True), _gram_tile(code, False), Lanes(code.module, b, "float64", n)
    sums = [code.alloca_i64(n) for _ in pattern.groups]
    count, origin = args.end - args.begin, first.load_i64(args.begin)
    begin, end = (args.begin + i * count // args.work_items for i in (item, item + 1))
    with code.range(end, begin) as s:
        rows = first.load_i64(s + 1) - first.load_i64(s)
        sources = {name: _source(code, args, name, s, rows, mixed.get(name), origin) for name in pattern.matrices}
        powers: dict[str, tuple[Any, Any]] = {}
        for letter in ("d", *(name for name in pattern.matrices if name.startswith("z"))):
            members = [name for name in pattern.matrices if name.startswith(letter)]
            found = _power(code, _largest(code, args, members, sources, rows))
            powers |= dict.fromkeys((letter, *members), found)
        for total in sums:
            b.store(wide.zero, total.value, align=64)
        # Tiles that reach the diagonal: those that begin at a column of the rows of the tile or before.
        with code.range(rows, step=TILE_ROWS) as i, code.range((i + TILE_ROWS).min(rows), step=columns) as j:
            for name in pattern.matrices:
                width, line, source = args.width[name], args.stride[name], sources[name]
                left, right = source.at(i * line), source.at(j * line)
                sizes = (rows - i).value, (rows - j).value, line.value, width.value
                given = [left.value, sizes[0], right.value, *sizes[1:], grams[name].value, powers[name][1]]
                as_they_are = b.fcmp_ordered("==", powers[name][1], ir.Constant(code.lanes.F, 1.0))
                with b.if_else(as_they_are) as (yes, no):
                    with yes:
                        b.call(plain, given)
                    with no:
                        b.call(scaled, given)
            for part in range(parts):
                weight = _weights(wide, i, j, rows, part * n, columns)
                values = {name: _double(code, wide, grams[name].at(part * n).load()) for name in pattern.matrices}
                for (z, segments), total in zip(pattern.groups, sums):
                    whole = values[f"d{segments[0]}"]
                    for k in segments[1:]:
                        whole = b.fadd(whole, values[f"d{k}"])
                    product = b.fmul(b.fmul(whole, weight), values[f"z{z}"])
                    before = b.load(total.value, typ=wide.V, align=64)
                    b.store(b.fadd(before, product), total.value, align=64)
        for g, ((z, _), total) in enumerate(zip(pattern.groups, sums)):
            square = wide.sum(b.load(total.value, typ=wide.V, align=64))
            _root(code, args, square, powers["d"][0], powers[f"z{z}"][0], args.steps * g + s)


def _tile_columns(lanes: int) -> int:
    """Columns of a tile: its sums fill whole vectors, its accumulators fit in the registers of the machine."""
    return 4 if lanes >= 16 else 2


def _weights(wide: Lanes, i: Int, j: Int, rows: Int, first: int, columns: int) -> Any:
    """What the numbers first, first + 1, … of a tile at (i, j) count: 2 below the diagonal, which stands for the pair
    above it too, 1 on it, 0 above it and past the last row.
    """
    b, n, narrow = wide.builder, wide.lanes, ir.IntType(32)
    kind = ir.VectorType(narrow, n)

    def spread(k: Int) -> Any:
        return wide.splat(b.trunc(k.value, narrow))

    row = b.add(spread(i), ir.Constant(kind, [(first + k) // columns for k in range(n)]))
    column = b.add(spread(j), ir.Constant(kind, [(first + k) % columns for k in range(n)]))
    once = b.select(b.icmp_signed("==", column, row), wide.const(1.0), wide.const(2.0))
    counted = b.and_(b.icmp_signed("<=", column, row), b.icmp_signed("<", row, spread(rows)))
    return b.select(counted, once, wide.zero)


def _gram_tile(caller: Code, scaled: bool) -> ir.Function:
    """f(A, rows, B, rows, row stride, K, to, scale): a tile of a Gram matrix, to[r, c] = Σ_k A[r, k] · scale · B[c, k].

    Rows past the end repeat the last one.
    """
    kind = ir.FloatType() if caller.lanes.scalar == "float32" else ir.DoubleType()
    code = caller.new_function("scaled_inner" if scaled else "inner", [PTR, I64, PTR, I64, I64, I64, PTR, kind])
    a, rows, other, columns, line, depth, to, _ = code.arguments
    assert isinstance(a, Ptr) and isinstance(other, Ptr) and isinstance(to, Ptr)
    lanes, n, b = code.lanes, code.lanes.lanes, code.builder
    scale = lanes.splat(code.function.args[7])
    tile_columns = _tile_columns(n)
    count = TILE_ROWS * tile_columns
    left = [a.at((rows - 1).min(r) * line) for r in range(TILE_ROWS)]
    right = [other.at((columns - 1).min(c) * line) for c in range(tile_columns)]

    def add(sums: list[Any], k: Int, mask: Any = None) -> list[Any]:
        held = [p.at(k).load(mask) for p in right]
        held = [lanes.mul(v, scale) for v in held] if scaled else held
        found = []
        for r, p in enumerate(left):
            v = p.at(k).load(mask)
            found += [lanes.fma(v, w, sums[tile_columns * r + c]) for c, w in enumerate(held)]
        return found

    whole = depth // n * n
    before, loop, after = b.block, code.function.append_basic_block("loop"), code.function.append_basic_block("after")
    b.cbranch((whole > 0).value, loop, after)
    b.position_at_end(loop)
    k, phis = b.phi(I64), [b.phi(lanes.V) for _ in range(count)]
    new, following = add(phis, Int(code, k)), Int(code, k) + n
    starts = [ir.Constant(I64, 0), *[lanes.zero] * len(phis)]
    for phi, start, value in zip((k, *phis), starts, (following.value, *new)):
        phi.add_incoming(start, before)
        phi.add_incoming(value, loop)
    b.cbranch((following < whole).value, loop, after)
    b.position_at_end(after)
    totals = [b.phi(lanes.V) for _ in phis]
    for total, value in zip(totals, new):
        total.add_incoming(lanes.zero, before)
        total.add_incoming(value, loop)
    tail, done = code.function.append_basic_block("tail"), code.function.append_basic_block("done")
    b.cbranch((whole < depth).value, tail, done)
    b.position_at_end(tail)
    more = add(totals, whole, lanes.tail_mask((depth - whole).value))
    end = b.block
    b.branch(done)
    b.position_at_end(done)
    found = [b.phi(lanes.V) for _ in totals]
    for result, total, value in zip(found, totals, more):
        result.add_incoming(total, after)
        result.add_incoming(value, end)
    for k in range(0, count, n):
        to.at(k).store(lanes.sums(found[k : k + n]))
    return code.close()


def _double(code: Code, wide: Lanes, v: Any) -> Any:
    return v if code.lanes.scalar == "float64" else code.builder.fpext(v, wide.V)


def _root(code: Code, args: OuterNormsArgs, square: Any, d: Any, z: Any, index: Int) -> None:
    """√(square · d · z), in float64, as the index-th result; 0 where rounding made the square negative."""
    b, kind = code.builder, ir.DoubleType()
    zero = ir.Constant(kind, 0.0)
    size = root_of(code, b.select(b.fcmp_ordered("<", square, zero), zero, square))
    for scale in (d, z):
        size = b.fmul(size, root_of(code, scale if scale.type == kind else b.fpext(scale, kind)))
    b.store(size, b.gep(args.target.value, [index.value], source_etype=kind), align=8)


def _source(code: Code, args: OuterNormsArgs, name: str, s: Int, rows: Int, mixed: Ptr | None, origin: Int) -> Ptr:
    """The rows of one step, with row stride `stride`. origin: the line at which those of d begin."""
    first, stride, there = args.first, args.stride[name], args.rows[name]
    if mixed is None:
        at = first.load_i64(s)
        return there.at((at - origin if name.startswith("d") else at) * stride)
    # The previous step in the order of work; a row that starts at this step reads its initial state.
    start, t = args.start[name], s + args.earlier
    inside = (t >= 0) & (t < args.steps)
    t = inside.select(t, s)
    count = (first.load_i64(t + 1) - first.load_i64(t)).min(rows)
    known = inside.select(count, 0)
    there = there.at(first.load_i64(t) * stride)
    partly = (known > 0) & (known < rows)
    n = code.lanes.lanes
    with code.if_(partly), code.range(rows) as r:
        line = (r < known).select_pointer(there.at(r * stride), start.at(r * stride))
        with code.range(stride, step=n) as u:
            mask = code.lanes.tail_mask((stride - u).value)
            mixed.at(r * stride + u).store(line.at(u).load(mask), mask)
    return partly.select_pointer(mixed, (known > 0).select_pointer(there, start))


def _largest(code: Code, args: OuterNormsArgs, names: Sequence[str], sources: dict[str, Ptr], rows: Int) -> Ptr:
    """The largest magnitude of some rows in each lane; the bits of numbers of one sign are ordered as the numbers."""
    lanes, n, b = code.lanes, code.lanes.lanes, code.builder
    largest, sign = code.alloca_vec(n), 1 << lanes.itemsize * 8 - 1
    largest.store(lanes.zero)
    for name in names:
        width, line = args.width[name], args.stride[name]
        whole = width // n * n
        mask = lanes.tail_mask((width - whole).value)

        def take(v: Any) -> None:
            here, before = b.and_(lanes.bits(v), lanes.int_const(~sign)), lanes.bits(largest.load())
            largest.store(lanes.from_bits(b.select(b.icmp_signed(">", here, before), here, before)))

        with code.range(rows) as r:
            row = sources[name].at(r * line)
            with code.range(whole, step=n) as u:
                take(row.at(u).load())
            with code.if_(whole < width):
                take(row.at(whole).load(mask))
    return largest


def _power(code: Code, largest: Ptr) -> tuple[Any, Any]:
    """(2^e, 2^-e), e the exponent of the largest lane, clamped so that both are normal numbers."""
    lanes, b = code.lanes, code.builder
    bits, mantissa, bias = (32, 23, 127) if lanes.scalar == "float32" else (64, 52, 1023)
    kind = ir.IntType(bits)
    top = None
    for k in range(lanes.lanes):
        here = b.bitcast(
            largest.at(k).load_scalar(), kind
        )  # the bits of numbers of one sign are ordered as the numbers
        top = here if top is None else b.select(b.icmp_unsigned(">", here, top), here, top)
    mask = ((1 << bits - 1 - mantissa) - 1) << mantissa
    exponent = b.and_(top, ir.Constant(kind, mask))
    # Of moderate numbers no product is out of range: 2^0.
    above, below = (ir.Constant(kind, (bias + e) << mantissa) for e in (MODERATE, -MODERATE))
    moderate = b.and_(b.icmp_unsigned("<", exponent, above), b.icmp_unsigned(">", exponent, below))
    exponent = b.select(moderate, ir.Constant(kind, bias << mantissa), exponent)
    least, most = ir.Constant(kind, 1 << mantissa), ir.Constant(kind, (2 * bias - 1) << mantissa)
    exponent = b.select(b.icmp_unsigned("<", exponent, least), least, exponent)
    exponent = b.select(b.icmp_unsigned(">", exponent, most), most, exponent)
    inverse = b.sub(ir.Constant(kind, (2 * bias) << mantissa), exponent)
    return b.bitcast(exponent, lanes.F), b.bitcast(inverse, lanes.F)


class OuterNormsArgs(WorkArgs):
    """The argument block; the keyed fields have the names of `Pattern.matrices` as keys."""

    first = Address("int64 [S + 1]: the first line of each step.")
    steps = Integer("S.")
    begin = Integer("The first of the steps of this launch.")
    end = Integer("The step after the last one.")
    most = Integer("B, rows of the widest step.")
    space = Integer("Size of one work item's scratch in numbers.")
    scratch = Address("[work items, space]: rows of the previous step, if some are initial states.")
    earlier = Integer("1 or -1: from a step to the previous one in the order of work.")
    target = Address("float64 [groups, S], written: norms.")
    rows = Addresses("[R, width]: the lines of each part; those of d from the first line of this launch on.")
    stride = Integers("Numbers from one line of a part to the next.")
    width = Integers("Columns of a part.")
    start = Addresses("[B, width]: the initial state of a z that reads the previous step; else 0.")


@bounded_cache(8 << 20, size_of=lambda *_: KERNEL_BYTES)
def outer_kernel(pattern: Pattern, scalar: str) -> StandaloneKernel:
    a = OuterNormsArgs
    keyed = [f[name] for name in pattern.matrices for f in (a.rows, a.stride, a.width, a.start)]
    return StandaloneKernel("outer norms", scalar, a, _emit(pattern), repr(pattern), keyed)


class OuterShape(NamedTuple):
    """All that the argument blocks of calls have in common."""

    pattern: Pattern
    columns: tuple[tuple[int, int], ...]
    """(first column, width) of each segment of d in its lines."""
    stride: int
    """Numbers from one line of d to the next."""
    operands: tuple[int, ...]
    """The width of each z."""
    steps: int
    most: int
    """B."""
    even: bool
    """Whether no row ends early, so that the rows of a step are all in one place."""
    reverse: bool
    """Whether the previous step in the order of work is the next one in memory."""
    threads: int
    scalar: str

    @property
    def work_items(self) -> int:
        return min(self.steps, 4 * self.threads) if self.threads > 1 else 1

    @property
    def space(self) -> int:
        """Numbers of one work item's scratch."""
        pairs = zip(self.operands, self.pattern.past)
        return 0 if self.even else self.most * sum(width for width, past in pairs if past)


@bounded_cache(4 << 20, size_of=lambda *_: 4 << 10)
def _template(shape: OuterShape) -> BlockTemplate:
    a, pattern = OuterNormsArgs, shape.pattern
    block = outer_kernel(pattern, shape.scalar).block(shape.work_items)
    lines = [(shape.stride, width) for _, width in shape.columns] + [(width, width) for width in shape.operands]
    for name, (stride, width) in zip(pattern.matrices, lines, strict=True):
        block[a.stride[name]], block[a.width[name]] = stride, width
    block[a.steps], block[a.most], block[a.space] = shape.steps, shape.most, shape.space
    block[a.earlier] = 1 if shape.reverse else -1
    z = pattern.matrices[pattern.segments :]
    return BlockTemplate(block, [a.first, a.target, a.scratch, *(f[name] for name in z for f in (a.rows, a.start))])


class OuterNorms:
    """‖Σ_b d_b ⊗ z_b‖_F of each group at each step, found for some steps at a time, whose d are in memory just then."""

    def __init__(
        self,
        pattern: Pattern,
        columns: tuple[tuple[int, int], ...],
        stride: int,
        z: Sequence[OuterOperand],
        first: array,
        reverse: bool,
    ) -> None:
        """The norms of no step yet.

        columns  (first column, width) of each segment of d in its lines
        stride   numbers from one line of d to the next
        first    int64, the first line of each of S steps, and R; rows are packed, the longest first
        reverse  whether the previous step in the order of work is the next one in memory
        """
        steps, most, self.first, self.dtype = len(first) - 1, first[1], first, z[0].rows.dtype
        operands = tuple([t.shape[-1] for t, _ in z])
        even, scalar = first[-1] == steps * most, SCALARS[self.dtype]
        self.shape = shape = OuterShape(
            pattern, columns, stride, operands, steps, most, even, reverse, thread_count(), scalar
        )
        self.norms = torch.zeros(len(pattern.groups), steps, dtype=torch.float64, device="cpu")
        """float64 [groups, S]; 0 until a launch had the step."""
        self._operands = z  # keeps them alive
        values = [first.buffer_info()[0], self.norms.data_ptr(), 0]
        if shape.space:
            self._scratch = memory_pool.empty((shape.work_items * shape.space,), self.dtype)
            values[2] = self._scratch.data_ptr()
        for t, start in z:
            values += t.data_ptr(), 0 if start is None else start.data_ptr()
        self.block = _template(shape).filled(values)
        """The argument block, but for the steps and the lines of d."""

    def read(self, lines: int) -> None:
        """Sets the address of d, from the first line of the next steps on."""
        block, rows, size = self.block, OuterNormsArgs.rows, self.dtype.itemsize
        for name, (at, _) in zip(self.shape.pattern.matrices, self.shape.columns):
            block[rows[name]] = lines + at * size

    def run(self, begin: int, end: int, lines: int) -> None:
        """Finds the norms of the steps begin … end - 1, whose d begin at the address `lines`."""
        a, block = OuterNormsArgs, self.block
        self.read(lines)
        block[a.begin], block[a.end], block[a.counter] = begin, end, 0
        outer_kernel(self.shape.pattern, self.shape.scalar).run(block)
