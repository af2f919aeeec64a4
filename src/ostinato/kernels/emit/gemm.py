"""Matrix products as register tiles: C[m, n] = start[n] + Σ_k A[m, k] B[k, n], one chain of multiply-adds by k.

The chain of an element is the same whatever the height of its tile, so a row has the same bits alone and among others.
B is packed: a panel holds `columns` vectors for each k, one after the other, zeros where the matrix ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from ..codegen.ir_builder import I64, PTR, Code, Int, Ptr
from ..codegen.vector_ops import Lanes

Load = Callable[[], Any]
"""Emits the load of a vector."""


def heights(columns: int, registers: int) -> int:
    """The most rows of a tile: its sums must fit in the vector registers, the rows' addresses in the others."""
    accumulators = 24 if registers >= 32 else 12
    fits = [m for m in range(1, 9) if m * columns <= min(accumulators, registers - 1 - min(m, columns))]
    return max(fits, default=1)


class Rows(NamedTuple):
    """Rows of a matrix."""

    pointer: Ptr
    stride: Int
    """Numbers from one row to the next."""

    def at(self, r: int) -> Ptr:
        """The first number of row r."""
        return self.pointer.at(self.stride * r)


class Products:
    """The tile functions of one module, made when first asked for."""

    def __init__(self, module: ir.Module, scalar: str, lanes: int, registers: int):
        self.module, self.scalar, self.lanes, self.registers = module, scalar, lanes, registers
        self._tiles: dict[tuple, ir.Function] = {}

    def code(self, name: str, arguments: list) -> Code:
        return Code(self.module, name, arguments, self.scalar, self.lanes)

    def function(self, name: str, arguments: list, body: Callable[[Code], None]) -> ir.Function:
        """A function of the module, emitted when first asked for."""
        if (name,) not in self._tiles:
            code = self.code(name, arguments)
            body(code)
            self._tiles[(name,)] = code.close()
        return self._tiles[(name,)]

    def rows(self, columns: int) -> int:
        return heights(columns, self.registers)

    def tile(self, columns: int) -> ir.Function:
        """f(rows, A, row stride, panel, panel's k stride, K, start, start stride, C, row stride): one tile."""
        key = ("any", columns)
        if key not in self._tiles:
            code = self.code(f"tile_{columns}", [I64, PTR, I64, PTR, I64, I64, PTR, I64, PTR, I64])
            rows, *rest = code.arguments
            cases = {m: self._fixed(m, columns) for m in range(1, self.rows(columns) + 1)}
            code.switch(rows, {m: (lambda f=f: code.call(f, *rest)) for m, f in cases.items()})
            self._tiles[key] = code.close()
        return self._tiles[key]

    def column_tile(self, columns: int) -> ir.Function:
        """`tile` for an A whose rows are neighbours, from zero: f(rows, A, k stride, panel, K, C, row stride)."""
        key = ("column", columns)
        if key not in self._tiles:
            code = self.code(f"column_tile_{columns}", [I64, PTR, I64, PTR, I64, PTR, I64])
            rows, *rest = code.arguments
            cases = {m: self._fixed(m, columns, column=True) for m in range(1, self.rows(columns) + 1)}
            code.switch(rows, {m: (lambda f=f: code.call(f, *rest)) for m, f in cases.items()})
            self._tiles[key] = code.close()
        return self._tiles[key]

    def _fixed(self, rows: int, columns: int, column: bool = False) -> ir.Function:
        if column:
            code = self.code(f"column_tile_{rows}x{columns}", [PTR, I64, PTR, I64, PTR, I64])
            a, ska, panel, depth, c, ldc = code.arguments
            line = code.integer(columns * self.lanes)
        else:
            code = self.code(f"tile_{rows}x{columns}", [PTR, I64, PTR, I64, I64, PTR, I64, PTR, I64])
            a, lda, panel, line, depth, start, ldstart, c, ldc = code.arguments
            ska = code.integer(1)
        b, lanes = code.builder, code.lanes
        places = [(m, v) for m in range(rows) for v in range(columns)]
        sums = [lanes.zero if column else start.at(ldstart * m + v * self.lanes).vector() for m, v in places]
        bases = [a if column else a.at(lda * m) for m in range(rows)]
        before, loop, after = (
            b.block,
            code.function.append_basic_block("loop"),
            code.function.append_basic_block("after"),
        )
        b.cbranch((depth > 0).value, loop, after)
        b.position_at_end(loop)
        k, offset, pointer = b.phi(I64), b.phi(I64), b.phi(PTR)
        phis = [b.phi(lanes.V) for _ in places]
        for phi, first in (
            (k, ir.Constant(I64, 0)),
            (offset, ir.Constant(I64, 0)),
            (pointer, panel.value),
            *zip(phis, sums),
        ):
            phi.add_incoming(first, before)
        at = [bases[m].at(Int(code, offset)) for m in range(rows)]
        row = [lambda m=m: lanes.splat((at[m].at(m) if column else at[m]).scalar()) for m in range(rows)]
        vector = [Ptr(code, pointer).at(v * self.lanes).vector for v in range(columns)]
        new = _outer(row, vector, phis, lanes)
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
        totals = [b.phi(lanes.V) for _ in places]
        for total, first, value in zip(totals, sums, new):
            total.add_incoming(first, before)
            total.add_incoming(value, loop)
        for (m, v), total in zip(places, totals):
            c.at(ldc * m + v * self.lanes).set_vector(total)
        return code.close()

    def direct(self, rows: int) -> ir.Function:
        """f(A, row stride, M, K, width, start, C, row stride): one vector of columns, from M [width, K] as it is.

        For calls too short to pay for packing: squares of M are transposed in registers. Same chain and bits as `tile`.
        """

        def body(code: Code) -> None:
            a, lda, m, depth, width, start, c, ldc = code.arguments
            first = start.vector()
            for r in range(rows):
                c.at(ldc * r).set_vector(first)
            with code.range(depth, step=self.lanes) as k:
                self._square_of(code, Rows(a, lda), m, k, depth, width, Rows(c, ldc), rows)

        return self.function(f"direct_{rows}", [PTR, I64, PTR, I64, I64, PTR, PTR, I64], body)

    def _square_of(self, code: Code, a: Rows, m: Ptr, k: Int, depth: Int, width: Int, c: Rows, rows: int) -> None:
        """Adds the next square of M, from column k on, to `rows` rows of c."""
        n, lanes = self.lanes, code.lanes
        square = code.stack(n * n)
        count = (depth - k).min(n)

        def add(k: Int, columns: list) -> None:
            totals = [c.at(r).vector() for r in range(rows)]
            for i, column in enumerate(columns):
                for r in range(rows):
                    totals[r] = lanes.fma(lanes.splat(a.pointer.at(a.stride * r + k + i).scalar()), column, totals[r])
            for r, total in enumerate(totals):
                c.at(r).set_vector(total)

        code.call(self.square(), m.at(k), depth, width, count, square, n)
        with code.if_else(count >= n) as (whole, part):
            with whole:
                add(k, [square.at(i * n).vector() for i in range(n)])
            with part, code.range(count) as i:
                add(k + i, [square.at(i * n).vector()])

    def direct_pair(self) -> ir.Function:
        """f(A, K, M, width, start, C, M', width', start', C'): two calls of `direct` for one row, side by side.

        Each is one chain of additions, which alone would leave the multipliers waiting for their own results.
        """

        def body(code: Code) -> None:
            a, depth, *rest = code.arguments
            pair = rest[:4], rest[4:]
            for _, _, start, c in pair:
                c.set_vector(start.vector())
            line = code.integer(0)
            with code.range(depth, step=self.lanes) as k:
                for m, width, _, c in pair:
                    self._square_of(code, Rows(a, line), m, k, depth, width, Rows(c, line), 1)

        return self.function("direct_pair", [PTR, I64, PTR, I64, PTR, PTR, PTR, I64, PTR, PTR], body)

    def put(self, columns: int) -> ir.Function:
        """f(add, tile, rows, C, row stride, width): a tile, or what it adds, into a matrix that ends after `width`."""

        def body(code: Code) -> None:
            add, tile, rows, to, line, width = code.arguments
            n, lanes = self.lanes, code.lanes
            with code.range(rows) as i, code.range(width.min(columns * n), step=n) as u:
                place, v = to.at(line * i + u), tile.at(i * (columns * n) + u).vector()
                part = lanes.tail_mask((width - u).value)
                with code.if_else(u + n <= width) as (whole, tail):
                    for branch, mask in ((whole, None), (tail, part)):
                        with branch, code.if_else(add > 0) as (more, first):
                            with more:
                                place.set_vector(lanes.add(place.vector(mask), v), mask)
                            with first:
                                place.set_vector(v, mask)

        return self.function(f"put_{columns}", [I64, PTR, I64, PTR, I64, I64], body)

    def each_tile(self, code: Code, rows: Int, columns: int):  # type: ignore[no-untyped-def]
        """Loops over tiles of nearly equal height that cover `rows`: yields (first row, height)."""
        return _tiles(code, rows, self.rows(columns))

    def square(self) -> ir.Function:
        """f(M, row stride, rows, count, to, stride): to[i * stride + j] = M[j, i] for i < count, zeros for j ≥ rows."""
        if ("square",) not in self._tiles:
            code = self.code("square", [PTR, I64, I64, I64, PTR, I64])
            m, line, rows, count, to, stride = code.arguments
            n, lanes = self.lanes, code.lanes
            with code.if_else((rows >= n) & (count >= n)) as (whole, part):
                with whole:
                    for i, v in enumerate(transposed(code, [m.at(line * j).vector() for j in range(n)])):
                        to.at(stride * i).set_vector(v)
                with part:
                    edge = code.stack(n * n)
                    with code.range(n) as j:
                        reach = (rows > j).select(count, 0)
                        edge.at(j * n).set_vector(m.at(line * j).vector(lanes.tail_mask(reach.value)))
                    with code.range(count) as row, code.range(n) as column:
                        to.at(stride * row + column).set_scalar(edge.at(column * n + row).scalar())
            self._tiles[("square",)] = code.close()
        return self._tiles[("square",)]

    def pack_transposed(self) -> ir.Function:
        """f(M, row stride, K, width, panel, stride, room): panel[k * stride + j] = M[j, k] zeros from width to room.

        One gate of one block of units: `width` rows of a weight [H, K] become columns, a square of lanes at a time.
        """
        if ("transposed",) not in self._tiles:
            code = self.code("pack_transposed", [PTR, I64, I64, I64, PTR, I64, I64])
            m, line, depth, width, panel, stride, room = code.arguments
            n = self.lanes
            with code.range(room, step=n) as j, code.range(depth, step=n) as k:
                code.call(
                    self.square(),
                    m.at(j * line + k),
                    line,
                    width - j,
                    (depth - k).min(n),
                    panel.at(k * stride + j),
                    stride,
                )
            self._tiles[("transposed",)] = code.close()
        return self._tiles[("transposed",)]

    def pack_rows(self) -> ir.Function:
        """f(M, row stride, K, width, panel, stride, room): panel[k * stride + j] = M[k, j], zeros up to room."""

        def body(code: Code) -> None:
            m, ldm, *rest = code.arguments
            self._copy_rows(code, lambda k: m.at(k * ldm), *rest)

        return self.function("pack_rows", [PTR, I64, I64, I64, PTR, I64, I64], body)

    def gather_rows(self) -> ir.Function:
        """f(M, row stride, which, K, width, panel, stride, room): `pack_rows` of the rows which[0], …, which[K - 1]."""

        def body(code: Code) -> None:
            m, ldm, which, *rest = code.arguments
            self._copy_rows(code, lambda k: m.at(which.integer(k) * ldm), *rest)

        return self.function("gather_rows", [PTR, I64, PTR, I64, I64, PTR, I64, I64], body)

    def _copy_rows(
        self, code: Code, row: Callable[[Int], Ptr], depth: Int, width: Int, panel: Ptr, stride: Int, room: Int
    ) -> None:
        lanes, n = code.lanes, self.lanes
        with code.range(depth) as k:
            to, frm = panel.at(k * stride), row(k)
            with code.range(room, step=n) as j:
                with code.if_else(j + n <= width) as (full, tail):
                    with full:
                        to.at(j).set_vector(frm.at(j).vector())
                    with tail:
                        to.at(j).set_vector(frm.at(j).vector(lanes.tail_mask((width - j).value)))


def _outer(rows: Sequence[Load], columns: Sequence[Load], sums: Sequence[Any], lanes: Lanes) -> list[Any]:
    """sums[m, v] + rows[m] · columns[v]. The fewer of the two are loaded first and stay in registers; the others pass
    through one register each, so that as many as possible are left for the sums."""
    few, many = (columns, rows) if len(columns) <= len(rows) else (rows, columns)
    held, found = [load() for load in few], {}
    for i, load in enumerate(many):
        value = load()
        for j, other in enumerate(held):
            a, b, m, v = (value, other, i, j) if many is rows else (other, value, j, i)
            found[m, v] = lanes.fma(a, b, sums[m * len(columns) + v])
    return [found[m, v] for m in range(len(rows)) for v in range(len(columns))]


def transposed(code: Code, rows: list) -> list:
    """A square of lanes, transposed in registers: exchanges halves, then quarters, … of pairs of rows."""
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


class _tiles:
    def __init__(self, code: Code, rows: Int, most: int):
        self.code, self.rows, self.most = code, rows, most

    def __enter__(self) -> tuple[Int, Int]:
        count = self.rows.ceil_div(self.most)
        self._loop = self.code.range(count)
        i = self._loop.__enter__()
        first = i * self.rows // count
        return first, (i + 1) * self.rows // count - first

    def __exit__(self, *error: object) -> None:
        self._loop.__exit__(*error)  # type: ignore[arg-type]
