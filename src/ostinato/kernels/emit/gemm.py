"""Matrix products by register tiles: C[m, n] = start[n] + Σ_k A[m, k] B[k, n], one chain of multiply-adds over k.

The chain of an element does not depend on the height of its tile, so a row has the same bits alone and in a batch.
B is packed: a panel has `columns` vectors for each k, contiguous, with zeros past the end of the matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from ..codegen.ir_builder import I64, PTR, Code, Int, Ptr
from ..codegen.vector_ops import Lanes

Load = Callable[[], Any]
"""Emits the load of a vector."""


def max_tile_rows(columns: int, registers: int) -> int:
    """The largest height of a tile whose accumulators fit in the vector registers, and row addresses in the others."""
    accumulators = 24 if registers >= 32 else 12
    fits = [m for m in range(1, 9) if m * columns <= min(accumulators, registers - 1 - min(m, columns))]
    return max(fits, default=1)


class Matrix(NamedTuple):
    """Rows of a matrix in memory: A and lda."""

    pointer: Ptr
    stride: Int
    """Numbers from one row to the next."""

    def at(self, r: int) -> Ptr:
        """The first number of row r."""
        return self.pointer.at(self.stride * r)


class GemmFunctions:
    """The functions of one module that compute, pack and store tiles, each emitted at its first use."""

    def __init__(self, module: ir.Module, scalar: str, lanes: int, registers: int, word: ir.Type = I64):
        self.module, self.scalar, self.lanes, self.registers, self.word = module, scalar, lanes, registers, word
        self._functions: dict[tuple, ir.Function] = {}

    def define(self, name: str, arguments: list) -> Code:
        return Code(self.module, name, arguments, self.scalar, self.lanes, self.word)

    def function(self, name: str, arguments: list, body: Callable[[Code], None]) -> ir.Function:
        """A function of the module, emitted at its first use."""
        if (name,) not in self._functions:
            code = self.define(name, arguments)
            body(code)
            self._functions[(name,)] = code.close()
        return self._functions[(name,)]

    def tile_rows(self, columns: int) -> int:
        return max_tile_rows(columns, self.registers)

    def tile(self, columns: int) -> ir.Function:
        """f(rows, A, row stride, panel, panel's k stride, K, start, start stride, C, row stride): one tile."""
        key, w = ("any", columns), self.word
        if key not in self._functions:
            code = self.define(f"tile_{columns}", [w, PTR, w, PTR, w, w, PTR, w, PTR, w])
            rows, *rest = code.arguments
            cases = {m: self._microkernel(m, columns) for m in range(1, self.tile_rows(columns) + 1)}
            code.switch(rows, {m: (lambda f=f: code.call(f, *rest)) for m, f in cases.items()})
            self._functions[key] = code.close()
        return self._functions[key]

    def call_tile(self, code: Code, columns: int, height: Int, *arguments: Int | Ptr | int) -> None:
        """Calls `tile`; a height that is known here selects the tile's function without a branch."""
        if isinstance(height.value, ir.Constant):
            code.call(self._microkernel(height.value.constant, columns), *arguments)
        else:
            code.call(self.tile(columns), height, *arguments)

    def column_tile(self, columns: int) -> ir.Function:
        """`tile` for a column-major A, with accumulators from zero: f(rows, A, k stride, panel, K, C, row stride)."""
        key = ("column", columns)
        if key not in self._functions:
            code = self.define(f"column_tile_{columns}", [I64, PTR, I64, PTR, I64, PTR, I64])
            rows, *rest = code.arguments
            cases = {m: self._microkernel(m, columns, column=True) for m in range(1, self.tile_rows(columns) + 1)}
            code.switch(rows, {m: (lambda f=f: code.call(f, *rest)) for m, f in cases.items()})
            self._functions[key] = code.close()
        return self._functions[key]

    def _microkernel(self, rows: int, columns: int, column: bool = False) -> ir.Function:
        key = ("rows", rows, columns, column)
        if key not in self._functions:
            self._functions[key] = self._emit_microkernel(rows, columns, column)
        return self._functions[key]

    def _emit_microkernel(self, rows: int, columns: int, column: bool) -> ir.Function:
        w = self.word
        if column:
            code = self.define(f"column_tile_{rows}x{columns}", [PTR, w, PTR, w, PTR, w])
            a, ska, panel, depth, c, ldc = code.arguments
            line = code.int_const(columns * self.lanes)
        else:
            code = self.define(f"tile_{rows}x{columns}", [PTR, w, PTR, w, w, PTR, w, PTR, w])
            code.name_arguments("a", "lda", "panel", "line", "depth", "start", "ldstart", "c", "ldc")
            a, lda, panel, line, depth, start, ldstart, c, ldc = code.arguments
            ska = code.int_const(1)
        b, lanes = code.builder, code.lanes
        positions = [(m, v) for m in range(rows) for v in range(columns)]
        sums = [lanes.zero if column else start.at(ldstart * m + v * self.lanes).load() for m, v in positions]
        bases = [a if column else a.at(lda * m) for m in range(rows)]
        before, loop, after = (
            b.block,
            code.function.append_basic_block("loop"),
            code.function.append_basic_block("after"),
        )
        b.cbranch((depth > 0).value, loop, after)
        b.position_at_end(loop)
        k, offset, pointer = b.phi(w, "k"), b.phi(w, "offset"), b.phi(PTR, "pointer")
        phis = [b.phi(lanes.V, "sum") for _ in positions]
        for phi, first in (
            (k, ir.Constant(w, 0)),
            (offset, ir.Constant(w, 0)),
            (pointer, panel.value),
            *zip(phis, sums),
        ):
            phi.add_incoming(first, before)
        at = [bases[m].at(Int(code, offset)) for m in range(rows)]
        row = [lambda m=m: lanes.splat((at[m].at(m) if column else at[m]).load_scalar()) for m in range(rows)]
        vector = [Ptr(code, pointer).at(v * self.lanes).load for v in range(columns)]
        new = _rank_one_update(row, vector, phis, lanes)
        following = Int(code, k) + 1
        for phi, value in (
            (k, following.value),
            (offset, (Int(code, offset) + ska).value),
            (pointer, Ptr(code, pointer).at(line).value),
            *zip(phis, new),
        ):
            phi.add_incoming(value, loop)
        b.cbranch((following < depth).value, loop, after)
        b.position_at_end(after)
        totals = [b.phi(lanes.V) for _ in positions]
        for total, first, value in zip(totals, sums, new):
            total.add_incoming(first, before)
            total.add_incoming(value, loop)
        for (m, v), total in zip(positions, totals):
            c.at(ldc * m + v * self.lanes).store(total)
        return code.close()

    def gemv_unpacked(self, rows: int) -> ir.Function:
        """f(A, row stride, M, K, width, start, C, row stride): one vector of columns, from an unpacked M [width, K].

        For calls that are too short to amortise packing: blocks of M are transposed in registers. The chain of each
        element is that of `tile`, and so are the bits.
        """

        def body(code: Code) -> None:
            a, lda, m, depth, width, start, c, ldc = code.arguments
            first = start.load()
            for r in range(rows):
                c.at(ldc * r).store(first)
            with code.range(depth, step=self.lanes) as k:
                self._accumulate_block(code, Matrix(a, lda), m, k, depth, width, Matrix(c, ldc), rows)

        return self.function(f"gemv_unpacked_{rows}", [PTR, I64, PTR, I64, I64, PTR, PTR, I64], body)

    def _accumulate_block(
        self, code: Code, a: Matrix, m: Ptr, k: Int, depth: Int, width: Int, c: Matrix, rows: int
    ) -> None:
        """Accumulates the block of M from column k on into `rows` rows of c."""
        n, lanes = self.lanes, code.lanes
        transpose_block = code.alloca_vec(n * n)
        count = (depth - k).min(n)

        def add(k: Int, columns: list) -> None:
            totals = [c.at(r).load() for r in range(rows)]
            for i, column in enumerate(columns):
                for r in range(rows):
                    totals[r] = lanes.fma(
                        lanes.splat(a.pointer.at(a.stride * r + k + i).load_scalar()), column, totals[r]
                    )
            for r, total in enumerate(totals):
                c.at(r).store(total)

        code.call(self.transpose_block(), m.at(k), depth, width, count, transpose_block, n)
        with code.if_else(count >= n) as (whole, part):
            with whole:
                add(k, [transpose_block.at(i * n).load() for i in range(n)])
            with part, code.range(count) as i:
                add(k + i, [transpose_block.at(i * n).load()])

    def gemv_unpacked_x2(self) -> ir.Function:
        """f(A, K, M, width, start, C, M', width', start', C'): two calls of `gemv_unpacked` for one row, side by side.

        Each is one chain of additions, which alone would leave the multipliers waiting for their own results.
        """

        def body(code: Code) -> None:
            a, depth, *rest = code.arguments
            pair = rest[:4], rest[4:]
            for _, _, start, c in pair:
                c.store(start.load())
            line = code.int_const(0)
            with code.range(depth, step=self.lanes) as k:
                for m, width, _, c in pair:
                    self._accumulate_block(code, Matrix(a, line), m, k, depth, width, Matrix(c, line), 1)

        return self.function("gemv_unpacked_x2", [PTR, I64, PTR, I64, PTR, PTR, PTR, I64, PTR, PTR], body)

    def store_tile(self, columns: int) -> ir.Function:
        """f(add, tile, rows, C, row stride, width): stores a tile to a matrix, or adds it; `width` columns remain."""

        def body(code: Code) -> None:
            add, tile, rows, to, line, width = code.arguments
            n, lanes = self.lanes, code.lanes
            with code.range(rows) as i, code.range(width.min(columns * n), step=n) as u:
                place, v = to.at(line * i + u), tile.at(i * (columns * n) + u).load()
                part = lanes.tail_mask((width - u).value)
                with code.if_else(u + n <= width) as (whole, tail):
                    for branch, mask in ((whole, None), (tail, part)):
                        with branch, code.if_else(add > 0) as (more, first):
                            with more:
                                place.store(lanes.add(place.load(mask), v), mask)
                            with first:
                                place.store(v, mask)

        return self.function(f"store_tile_{columns}", [I64, PTR, I64, PTR, I64, I64], body)

    def row_tiles(self, code: Code, rows: Int, columns: int):  # type: ignore[no-untyped-def]
        """Loops over tiles of nearly equal height that cover `rows` rows: yields (first row, height)."""
        return _RowTiles(code, rows, self.tile_rows(columns))

    def transpose_block(self) -> ir.Function:
        """f(M, row stride, rows, count, to, stride): to[i * stride + j] = M[j, i] for i < count, zeros for j ≥ rows."""
        if ("transpose_block",) not in self._functions:
            code = self.define("transpose_block", [PTR, I64, I64, I64, PTR, I64])
            m, line, rows, count, to, stride = code.arguments
            n, lanes = self.lanes, code.lanes
            with code.if_else((rows >= n) & (count >= n)) as (whole, part):
                with whole:
                    for i, v in enumerate(transpose_registers(code, [m.at(line * j).load() for j in range(n)])):
                        to.at(stride * i).store(v)
                with part:
                    edge = code.alloca_vec(n * n)
                    with code.range(n) as j:
                        reach = (rows > j).select(count, 0)
                        edge.at(j * n).store(m.at(line * j).load(lanes.tail_mask(reach.value)))
                    with code.range(count) as row, code.range(n) as column:
                        to.at(stride * row + column).store_scalar(edge.at(column * n + row).load_scalar())
            self._functions[("transpose_block",)] = code.close()
        return self._functions[("transpose_block",)]

    def pack_transposed(self) -> ir.Function:
        """f(M, row stride, K, width, panel, stride, padded): panel[k * stride + j] = M[j, k], zeros from width on.

        One gate of one block of units: `width` rows of a weight [H, K] become columns, transposed by blocks.
        """
        if ("transposed",) not in self._functions:
            code = self.define("pack_transposed", [PTR, I64, I64, I64, PTR, I64, I64])
            m, line, depth, width, panel, stride, padded = code.arguments
            n = self.lanes
            with code.range(padded, step=n) as j, code.range(depth, step=n) as k:
                code.call(
                    self.transpose_block(),
                    m.at(j * line + k),
                    line,
                    width - j,
                    (depth - k).min(n),
                    panel.at(k * stride + j),
                    stride,
                )
            self._functions[("transposed",)] = code.close()
        return self._functions[("transposed",)]

    def pack_rows(self) -> ir.Function:
        """f(M, row stride, K, width, panel, stride, padded): panel[k * stride + j] = M[k, j], zeros up to padded."""

        def body(code: Code) -> None:
            m, ldm, *rest = code.arguments
            self._copy_rows(code, lambda k: m.at(k * ldm), *rest)

        return self.function("pack_rows", [PTR, I64, I64, I64, PTR, I64, I64], body)

    def gather_rows(self) -> ir.Function:
        """f(M, row stride, which, K, width, panel, stride, padded): `pack_rows` of rows which[0], …, which[K - 1]."""

        def body(code: Code) -> None:
            m, ldm, which, *rest = code.arguments
            self._copy_rows(code, lambda k: m.at(which.load_i64(k) * ldm), *rest)

        return self.function("gather_rows", [PTR, I64, PTR, I64, I64, PTR, I64, I64], body)

    def _copy_rows(
        self, code: Code, row: Callable[[Int], Ptr], depth: Int, width: Int, panel: Ptr, stride: Int, padded: Int
    ) -> None:
        lanes, n = code.lanes, self.lanes
        with code.range(depth) as k:
            to, frm = panel.at(k * stride), row(k)
            with code.range(padded, step=n) as j:
                with code.if_else(j + n <= width) as (full, tail):
                    with full:
                        to.at(j).store(frm.at(j).load())
                    with tail:
                        to.at(j).store(frm.at(j).load(lanes.tail_mask((width - j).value)))


def _rank_one_update(rows: Sequence[Load], columns: Sequence[Load], sums: Sequence[Any], lanes: Lanes) -> list[Any]:
    """sums[m, v] + rows[m] · columns[v]. The shorter of the two is loaded first and stays in registers, the other takes
    one register at a time, which leaves the most registers for the accumulators."""
    few, many = (columns, rows) if len(columns) <= len(rows) else (rows, columns)
    held, updated = [load() for load in few], {}
    for i, load in enumerate(many):
        value = load()
        for j, other in enumerate(held):
            a, b, m, v = (value, other, i, j) if many is rows else (other, value, j, i)
            updated[m, v] = lanes.fma(a, b, sums[m * len(columns) + v])
    return [updated[m, v] for m in range(len(rows)) for v in range(len(columns))]


def transpose_registers(code: Code, rows: list) -> list:
    """The transpose of a square block in registers: exchanges halves, then quarters, … of pairs of rows."""
    n, b = len(rows), code.builder
    index = ir.VectorType(ir.IntType(32), n)
    rows, s = list(rows), 1
    while s < n:
        low = ir.Constant(index, [k if not k & s else n + (k ^ s) for k in range(n)])
        high = ir.Constant(index, [k | s if not k & s else n + k for k in range(n)])
        for i in range(n):
            if not i & s:
                x, y = rows[i], rows[i | s]
                rows[i], rows[i | s] = b.shuffle_vector(x, y, low), b.shuffle_vector(x, y, high)
        s *= 2
    return rows


class _RowTiles:
    def __init__(self, code: Code, rows: Int, most: int):
        self.code, self.rows, self.most = code, rows, most

    def __enter__(self) -> tuple[Int, Int]:
        if self.most == 1:
            self._loop = self.code.range(self.rows)
            return self._loop.__enter__(), self.code.int_const(1)
        count = self.rows.ceil_div(self.most)
        self._loop = self.code.range(count)
        i = self._loop.__enter__()
        first = i * self.rows // count
        return first, (i + 1) * self.rows // count - first

    def __exit__(self, *error: object) -> None:
        self._loop.__exit__(*error)  # type: ignore[arg-type]
