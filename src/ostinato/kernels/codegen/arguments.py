"""The argument block of a kernel: one array of 64-bit integers, every entry declared once as a typed field.

The kernel receives the address of the array. Emitters read entries as attributes (`args.T`, `args.panel[3]`),
launch code writes them through the same fields (`block[KernelArgs.T] = 5`). The kinds of fields:

    Integer    a 64-bit integer
    Counter    an integer in the block itself that threads change by atomic operations
    Address    an absolute address of memory that the caller or the launch plan owns, alive until the call returns
    Workspace  an offset in bytes into the workspace of the call, so that a block is the same for every call of one size

Families (`Integers`, `Addresses`, `Workspaces`) have one field for each key: a product, state, weight or tensor.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Generic, Self, TypeVar, overload

from llvmlite import ir

from .ir_builder import I64, Code, Int, Ptr

Read = TypeVar("Read", Int, Ptr)
WAIT_SLOTS = 8
"""Threads whose long waits, at barriers and for the packing, are counted one by one."""
MAX_TEAM = 1 << 16
"""More than a team has threads."""


class Field(Generic[Read]):
    """One entry of an argument block. `doc` gives its content: shape in letters, owner, lifetime."""

    def __init__(self, doc: str = "", name: str = ""):
        self.doc, self.name = doc, name

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, args: None, owner: type) -> Self: ...
    @overload
    def __get__(self, args: Args, owner: type) -> Read: ...
    def __get__(self, args: Args | None, owner: type) -> Self | Read:
        return self if args is None else self.read(args)

    def read(self, args: Args) -> Read:
        """The value in the function under construction, loaded once in its entry block."""
        raise NotImplementedError


class Integer(Field[Int]):
    """An integer."""

    def read(self, args: Args) -> Int:
        return args.integer(self.name)


class Counter(Field[Ptr]):
    """An integer that threads change while the kernel runs; read as its address."""

    def read(self, args: Args) -> Ptr:
        return args.field_address(self.name)


class Address(Field[Ptr]):
    """An absolute address."""

    def read(self, args: Args) -> Ptr:
        return args.pointer(self.name, None)


class Workspace(Field[Ptr]):
    """An offset in bytes from the start of the workspace; read as an address."""

    def read(self, args: Args) -> Ptr:
        return args.pointer(self.name, "workspace")


class Padding(Field[Int]):
    """Unused entries: a field between two of them has a cache line of its own."""

    def __init__(self, entries: int):
        super().__init__("Padding to a cache line.")
        self.entries = entries


class Counters(Field[Ptr]):
    """Several counters, one after the other; read as the address of the first one."""

    def __init__(self, entries: int, doc: str):
        super().__init__(doc)
        self.entries = entries

    def read(self, args: Args) -> Ptr:
        return args.field_address(f"{self.name} 0")


class Family(Generic[Read]):
    """Fields of one kind with a key each. `prefix` begins their names."""

    kind: type[Field]

    def __init__(self, doc: str, prefix: str | None = None):
        self.doc, self.prefix = doc, prefix

    def __set_name__(self, owner: type, name: str) -> None:
        if self.prefix is None:
            self.prefix = f"{name}_"

    def __getitem__(self, key: int | str) -> Field[Read]:
        return self.kind(self.doc, f"{self.prefix}{key}")

    @overload
    def __get__(self, args: None, owner: type) -> Self: ...
    @overload
    def __get__(self, args: Args, owner: type) -> Keyed[Read]: ...
    def __get__(self, args: Args | None, owner: type) -> Self | Keyed[Read]:
        return self if args is None else Keyed[Read](self, args)


class Keyed(Generic[Read]):
    """A family, read in the function under construction."""

    def __init__(self, family: Family[Read], args: Args):
        self._family: Family[Read] = family
        self._args = args

    def __getitem__(self, key: int | str) -> Read:
        return self._family[key].read(self._args)


class Integers(Family[Int]):
    """An integer for each key."""

    kind = Integer


class Addresses(Family[Ptr]):
    """An absolute address for each key."""

    kind = Address


class Workspaces(Family[Ptr]):
    """An address in the workspace for each key."""

    kind = Workspace


class Layout:
    """The entries of one kernel's argument block in order.

    The entry after the last one is written and never read: it receives the values of fields that the kernel lacks.
    """

    def __init__(self, fields: Iterable[Field]):
        self.names: tuple[str, ...] = tuple(
            name
            for f in fields
            for name in (
                [f"{f.name} {k}" for k in range(f.entries)] if isinstance(f, (Padding, Counters)) else [f.name]
            )
        )
        self.index = {name: k for k, name in enumerate(self.names)}
        self.unused = len(self.names)

    def __contains__(self, field: Field) -> bool:
        return field.name in self.index

    def __getitem__(self, field: Field) -> int:
        """The index of a field or of its first entry, that of the unused entry where the kernel has no such field."""
        return self.index.get(f"{field.name} 0" if isinstance(field, Counters) else field.name, self.unused)


class Args:
    """The argument block, read in one function under construction. Subclasses declare the fields."""

    def __init__(self, layout: Layout, code: Code, base: Ptr):
        """base: the address of the block, an argument of the function that `code` emits."""
        self.layout, self.code, self.base = layout, code, base
        self._loaded: dict[str, Int] = {}
        self._pointers: dict[str, Ptr] = {}

    @classmethod
    def fields(cls) -> list[Field]:
        """The fields without a key, those of the class itself before those of its bases."""
        return [f for c in cls.__mro__ for f in vars(c).values() if isinstance(f, Field)]

    def integer(self, name: str) -> Int:
        if name not in self._loaded:
            with self.code.builder.goto_entry_block():
                self._loaded[name] = self.base.load_i64(self.layout.index[name])
        return self._loaded[name]

    def pointer(self, name: str, base: str | None) -> Ptr:
        """An address; `base` names the entry that an offset is relative to."""
        if name not in self._pointers:
            offset, start = self.integer(name), None if base is None else self.integer(base)
            with self.code.builder.goto_entry_block():
                self._pointers[name] = self.code.as_pointer(offset if start is None else offset + start)
        return self._pointers[name]

    def field_address(self, name: str) -> Ptr:
        """The address of the entry itself."""
        index = ir.Constant(I64, self.layout.index[name])
        return Ptr(self.code, self.code.builder.gep(self.base.value, [index], source_etype=I64))


class WorkArgs(Args):
    """Division of the work: threads take numbered work items from a counter."""

    counter = Counter("Work items taken so far; set to 0 before each entry point.")
    work_items = Integer("Number of work items; 1 where threads share every step of a cell's kernel.")


class BarrierArgs(WorkArgs):
    """The fields that barriers between threads read."""

    shared = Integer("1 if all threads work on every step, with barriers; 0 if each has rows of its own.")
    team_size = Integer("Address of `int threads(void)`, the size of the running OpenMP team; 0 without OpenMP.")
    yield_cpu = Integer("Address of `int sched_yield(void)`; 0 where the system has none.")
    # On a cache line of its own: avoids false sharing between spinning threads and readers of neighbouring fields.
    padding_before = Padding(8)
    barrier_count = Counter("Arrivals at barriers, only ever increased; set to 0 before each entry point.")
    padding_after = Padding(7)
    # The times of the launch in ticks of the processor's time stamp, where there are several work items.
    first_start = Counter("When the first work item began, a minimum; reset before each entry point.")
    last_end = Counter("When the last thread left the kernel, a maximum; reset before each entry point.")
    least_busy = Counter("The least time of a work item without its long waits, a minimum; reset before each one.")
    dissolved_at = Counter(
        "The step after which one thread goes on alone, times MAX_TEAM, plus its slice: a minimum; reset before each."
    )
    waits = Counters(WAIT_SLOTS, "Ticks of the long waits of each of the first work items; reset before each one.")


class Block:
    """An argument block that launch code fills, by field; values of fields that the kernel lacks are dropped."""

    __slots__ = ("entries", "layout")

    def __init__(self, layout: Layout, entries: array | None = None):
        """entries: those of an argument block of this layout; new ones, all 0, where they are not given."""
        self.layout = layout
        self.entries = array("q", bytes(8 * (layout.unused + 1))) if entries is None else entries

    def __setitem__(self, field: Field, value: int) -> None:
        self.entries[self.layout[field]] = value

    def __getitem__(self, field: Field) -> int:
        return self.entries[self.layout[field]]


class BlockTemplate:
    """An argument block of which some entries are set: copies of it get the others."""

    __slots__ = ("block", "_indices")

    def __init__(self, block: Block, others: Iterable[Field]):
        """others: the fields that are set in a copy, in the order of its values."""
        self.block, self._indices = block, [block.layout[f] for f in others]

    def filled(self, values: Iterable[int]) -> Block:
        """A copy with values of the other fields."""
        entries = self.block.entries[:]
        for place, value in zip(self._indices, values, strict=True):
            entries[place] = value
        return Block(self.block.layout, entries)
