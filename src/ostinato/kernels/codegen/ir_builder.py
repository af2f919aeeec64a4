"""Builders of scalar LLVM IR: functions, control flow, addresses and integers.

Integers are 64 bits wide, or as wide as `Code.word` says for targets of 32 bits; all pointers are opaque. `Int`, `Bool`
and `Ptr` hold a reference to the function under construction, and their operators append instructions to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from .math_functions import MathLanes

I64, PTR, BOOL = ir.IntType(64), ir.PointerType(), ir.IntType(1)


class Int:
    """An integer value, as wide as the code's word."""

    __slots__ = ("code", "value")

    def __init__(self, code: Code, value: Any):
        self.code = code
        self.value = ir.Constant(code.word, value) if isinstance(value, int) else value

    def _with(self, op: str, o: Int | int) -> Int:
        other = o if isinstance(o, Int) else Int(self.code, o)
        a, b = self.value, other.value
        if isinstance(a, ir.Constant) and isinstance(b, ir.Constant):
            return Int(self.code, _FOLD[op](a.constant, b.constant))
        if isinstance(b, ir.Constant) and (op, b.constant) in _NEUTRAL:
            return self
        return Int(self.code, getattr(self.code.builder, op)(a, b))

    def __add__(self, o: Int | int) -> Int:
        return self._with("add", o)

    def __radd__(self, o: int) -> Int:
        return Int(self.code, o) + self

    def __sub__(self, o: Int | int) -> Int:
        return self._with("sub", o)

    def __rsub__(self, o: int) -> Int:
        return Int(self.code, o) - self

    def __mul__(self, o: Int | int) -> Int:
        return self._with("mul", o)

    def __rmul__(self, o: int) -> Int:
        return Int(self.code, o) * self

    def __floordiv__(self, o: Int | int) -> Int:
        return self._with("sdiv", o)

    def __mod__(self, o: Int | int) -> Int:
        return self._with("srem", o)

    def __and__(self, o: int) -> Int:
        return Int(self.code, self.code.builder.and_(self.value, ir.Constant(self.code.word, o)))

    def _compare(self, op: str, o: Int | int) -> Bool:
        other = o if isinstance(o, Int) else Int(self.code, o)
        return Bool(self.code, self.code.builder.icmp_signed(op, self.value, other.value))

    def __lt__(self, o: Int | int) -> Bool:
        return self._compare("<", o)

    def __le__(self, o: Int | int) -> Bool:
        return self._compare("<=", o)

    def __gt__(self, o: Int | int) -> Bool:
        return self._compare(">", o)

    def __ge__(self, o: Int | int) -> Bool:
        return self._compare(">=", o)

    def equals(self, o: Int | int) -> Bool:
        return self._compare("==", o)

    def min(self, o: Int | int) -> Int:
        o = o if isinstance(o, Int) else Int(self.code, o)
        return (self < o).select(self, o)

    def max(self, o: Int | int) -> Int:
        o = o if isinstance(o, Int) else Int(self.code, o)
        return (self > o).select(self, o)

    def ceil_div(self, o: Int | int) -> Int:
        return (self + o - 1) // o


class Bool:
    """A condition, an i1 value."""

    __slots__ = ("code", "value")

    def __init__(self, code: Code, value: Any):
        self.code, self.value = code, value

    def __and__(self, o: Bool) -> Bool:
        return Bool(self.code, self.code.builder.and_(self.value, o.value))

    def __or__(self, o: Bool) -> Bool:
        return Bool(self.code, self.code.builder.or_(self.value, o.value))

    def select(self, a: Int | int, b: Int | int) -> Int:
        """a if the condition holds, else b; both are computed."""
        first, second = (v if isinstance(v, Int) else Int(self.code, v) for v in (a, b))
        return Int(self.code, self.code.builder.select(self.value, first.value, second.value))

    def select_pointer(self, a: Ptr, b: Ptr) -> Ptr:
        """The same for addresses."""
        return Ptr(self.code, self.code.builder.select(self.value, a.value, b.value))

    def to_int(self) -> Int:
        """1 or 0."""
        return Int(self.code, self.code.builder.zext(self.value, self.code.word))


_FOLD = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "sdiv": lambda a, b: a // b,
    "srem": lambda a, b: a % b,
}
_NEUTRAL = {("add", 0), ("sub", 0), ("mul", 1), ("sdiv", 1)}


class Ptr:
    """An address of numbers of the kernel's scalar type; offsets are in numbers."""

    __slots__ = ("code", "value")

    def __init__(self, code: Code, value: Any):
        self.code, self.value = code, value

    def at(self, offset: Int | int) -> Ptr:
        o = offset if isinstance(offset, Int) else Int(self.code, offset)
        if isinstance(o.value, ir.Constant) and o.value.constant == 0:
            return self
        return Ptr(self.code, self.code.builder.gep(self.value, [o.value], source_etype=self.code.lanes.F))

    def load(self, mask: Any = None) -> Any:
        return self.code.lanes.load(self.value, mask)

    def store(self, v: Any, mask: Any = None) -> None:
        self.code.lanes.store(v, self.value, mask)

    def load_scalar(self) -> Any:
        lanes = self.code.lanes
        return self.code.builder.load(self.value, typ=lanes.F, align=lanes.itemsize)

    def store_scalar(self, v: Any) -> None:
        self.code.builder.store(v, self.value, align=self.code.lanes.itemsize)

    def load_i64(self, index: Int | int) -> Int:
        """Loads the index-th 64-bit integer from here; of it the lowest bits, where the code's word has fewer."""
        loaded = self.code.builder.load(self.i64_ptr(index).value, typ=I64, align=8)
        return Int(self.code, loaded if self.code.word is I64 else self.code.builder.trunc(loaded, self.code.word))

    def store_i64(self, index: Int | int, n: Int | int) -> None:
        n = n if isinstance(n, Int) else Int(self.code, n)
        self.code.builder.store(n.value, self.i64_ptr(index).value, align=8)

    def i64_ptr(self, index: Int | int) -> Ptr:
        """The address of the index-th 64-bit integer from here."""
        o = index if isinstance(index, Int) else Int(self.code, index)
        return Ptr(self.code, self.code.builder.gep(self.value, [o.value], source_etype=I64))

    def load_pointer(self, index: int) -> Ptr:
        """Loads the index-th address from here."""
        return self.code.as_pointer(self.load_i64(index))


class Code:
    """One function under construction: its builder, vector instructions and control flow."""

    def __init__(
        self,
        module: ir.Module,
        name: str,
        arguments: Sequence[Any],
        scalar: str,
        lanes: int,
        word: ir.Type = I64,
    ):
        """word: the type of integers, I64, or an IntType(32) for targets whose addresses have 32 bits."""
        self.word = word
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), list(arguments)), name)
        self.function.linkage = "internal"
        self.function.attributes.add("nounwind")
        self.function.attributes.add("noinline")
        self.module = module
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.lanes = MathLanes(module, self.builder, scalar, lanes)

    def new_function(self, name: str, arguments: Sequence[Any]) -> Code:
        """Another function of the same module, with the same scalar type and lanes."""
        return Code(self.module, name, arguments, self.lanes.scalar, self.lanes.lanes, self.word)

    @property
    def arguments(self) -> list[Any]:
        """The arguments in order, each as an `Int` or a `Ptr`."""
        return [Ptr(self, a) if isinstance(a.type, ir.PointerType) else Int(self, a) for a in self.function.args]

    def name_arguments(self, *names: str) -> None:
        """Names the arguments, for whoever reads the code."""
        for argument, name in zip(self.function.args, names, strict=True):
            argument.name = name

    def int_const(self, n: int) -> Int:
        return Int(self, n)

    def as_pointer(self, i: Int) -> Ptr:
        return Ptr(self, self.builder.inttoptr(i.value, PTR))

    def call(self, function: ir.Function, *arguments: Int | Ptr | int) -> None:
        self.builder.call(
            function, [a.value if isinstance(a, (Int, Ptr)) else ir.Constant(self.word, a) for a in arguments]
        )

    def alloca_vec(self, count: int) -> Ptr:
        """A stack array of `count` numbers, aligned to a cache line."""
        return self._alloca(ir.ArrayType(self.lanes.F, count))

    def alloca_i64(self, count: int) -> Ptr:
        """A stack array of `count` 64-bit words (integers, addresses, float64), aligned to a cache line."""
        return self._alloca(ir.ArrayType(I64, count))

    def _alloca(self, kind: ir.Type) -> Ptr:
        with self.builder.goto_entry_block():
            array = self.builder.alloca(kind)
        array.align = 64
        array.type = PTR  # llvmlite types it as a pointer to the array; all pointers here are opaque
        return Ptr(self, array)

    def store_pointer(self, table: Ptr, index: int, p: Ptr) -> None:
        to = self.builder.gep(table.value, [ir.Constant(I64, index)], source_etype=I64)
        self.builder.store(self.builder.ptrtoint(p.value, I64), to, align=8)

    @contextmanager
    def work_items(self, counter: Ptr, count: Int) -> Iterator[Int]:
        """Loops over work items that threads take from an atomic counter: correct for any number of threads."""
        b = self.builder
        head, body, after = (self.function.append_basic_block(n) for n in ("next", "item", "done"))
        b.branch(head)
        b.position_at_end(head)
        item = Int(self, b.atomic_rmw("add", counter.value, ir.Constant(I64, 1), "monotonic"))
        b.cbranch((item < count).value, body, after)
        b.position_at_end(body)
        yield item
        b.branch(head)
        b.position_at_end(after)

    @contextmanager
    def range(self, stop: Int | int, start: Int | int = 0, step: Int | int = 1) -> Iterator[Int]:
        """for i in range(start, stop, step), step > 0."""
        start, stop = (v if isinstance(v, Int) else Int(self, v) for v in (start, stop))
        if _is_one_turn(start, stop, step):
            yield start
            return
        b = self.builder
        head, body, after = (self.function.append_basic_block(n) for n in ("head", "body", "after"))
        before = b.block
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(self.word)
        i.add_incoming(start.value, before)
        index = Int(self, i)
        b.cbranch((index < stop).value, body, after)
        b.position_at_end(body)
        yield index
        i.add_incoming((index + step).value, b.block)
        b.branch(head)
        b.position_at_end(after)

    @contextmanager
    def if_(self, condition: Bool) -> Iterator[None]:
        with self.builder.if_then(condition.value):
            yield

    @contextmanager
    def if_else(self, condition: Bool) -> Iterator[tuple[Any, Any]]:
        with self.builder.if_else(condition.value) as branches:
            yield branches

    def switch(self, i: Int, cases: dict[int, Any]) -> None:
        """Runs cases[i](); i is one of the cases."""
        b = self.builder
        after = self.function.append_basic_block("after")
        blocks = {k: self.function.append_basic_block(f"case{k}") for k in cases}
        last = max(cases)
        s = b.switch(i.value, blocks[last])
        for k, block in blocks.items():
            if k != last:
                s.add_case(ir.Constant(self.word, k), block)
            b.position_at_end(block)
            cases[k]()
            b.branch(after)
        b.position_at_end(after)

    def close(self) -> ir.Function:
        self.builder.ret_void()
        return self.function


def _is_one_turn(start: Int, stop: Int, step: Int | int) -> bool:
    """Whether a loop between constants has exactly one turn, and so needs no loop."""
    first, last = start.value, stop.value
    if not (isinstance(first, ir.Constant) and isinstance(last, ir.Constant) and isinstance(step, int)):
        return False
    return bool(0 < last.constant - first.constant <= step)
