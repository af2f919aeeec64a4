"""One function of a module as a C function, its loops as `for`.

The emitters make two kinds of loop, and no other branch for one row and one lane: `Code.range`, whose head tests its
index, and the loop of a tile, entered where its depth is greater than 0 and with all its sums in registers.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from llvmlite import ir

from .context import CFunction, Context
from .expressions import ATOM, Address, Linear, Text
from .instructions import Instructions, lane, unknown

LONGEST = 60
"""Characters of an expression; a longer one gets a variable."""
Phi = ir.instructions.PhiInstr


class FunctionText:
    """The translation of one function."""

    def __init__(self, function: ir.Function, context: Context):
        self.function, self.context = function, context
        self.lines: list[str] = []
        self.depth, self.loops, self.names = 1, 0, 0
        self.values: dict[int, Any] = {}
        self.pending: dict[int, Any] = {}
        self.written: set[str] = set()
        self.tokens: set[str] = set()
        self.previous: Any = None
        self.tiles = {loop.terminator.operands[2].name: loop for loop in function.blocks if _repeats(loop)}
        self.uses = self._uses()
        self.instructions = Instructions(context.prefix, context.scalar, self.value)
        for place, argument in enumerate(function.args):
            constant = context.known.get(function.name, {}).get(place)
            self.values[id(argument)] = _named(argument) if constant is None else self.instructions.constant(constant)

    def translate(self) -> CFunction:
        self._region(self.function.entry_basic_block, None)
        body = "\n".join(self.lines)
        words = _words(body)
        places = [k for k, a in enumerate(self.function.args) if a.name in words]
        written = frozenset(k for k in places if self.function.args[k].name in self.written)
        parameters = ", ".join(self._parameter(k, k in written) for k in places) or "void"
        result = self.context.number if self.function.function_type.return_type != ir.VoidType() else "void"
        head = f"static {result} {self.context.prefix}_{self.function.name}({parameters})"
        return CFunction(f"{head}\n{{\n{body}\n}}\n", tuple(places), written, frozenset(self.instructions.helpers))

    def _parameter(self, place: int, written: bool) -> str:
        argument = self.function.args[place]
        if isinstance(argument.type, ir.PointerType):
            kind = "int64_t" if argument.name in self.tokens else self.context.number
            return f"{'' if written else 'const '}{kind} *{argument.name}"
        return f"{self.context.index if isinstance(argument.type, ir.IntType) else self.context.number} {argument.name}"

    # Values.

    def _uses(self) -> dict[int, list[Any]]:
        """value → the blocks where it is used, once for each time."""
        found: dict[int, list[Any]] = defaultdict(list)
        for block in self.function.blocks:
            for i in block.instructions:
                if isinstance(i, Phi):
                    # After a tile's loop, a sum is the variable of the loop.
                    for value, source in () if block.name in self.tiles else i.incomings:
                        found[id(value)].append(source)
                else:
                    for value in getattr(i, "operands", ()):
                        found[id(value)].append(block)
        return found

    def value(self, value: Any) -> Any:
        """The expression of a value that is used now."""
        if isinstance(value, ir.Constant):
            return self.instructions.constant(value)
        self.pending.pop(id(value), None)
        return self.values[id(value)]

    def _define(self, i: Any, block: Any) -> None:
        """Keeps an expression that is used once, in this block; gives others a variable."""
        text, uses = self.instructions(i), self.uses[id(i)]
        self.values[id(i)] = text
        if not isinstance(text, Text) or not uses or (text.level == ATOM and text.text.isidentifier()):
            return
        if len(uses) == 1 and uses[0] is block and len(text.text) <= LONGEST:
            if text.reads:
                self.pending[id(i)] = i
            return
        self._name(i)

    def _name(self, i: Any) -> None:
        text, self.names = self.values[id(i)], self.names + 1
        kind = lane(i.type)
        of_kind = self.context.number if not isinstance(kind, ir.IntType) else "int"
        if isinstance(kind, ir.IntType) and kind.width > 1:
            of_kind = f"{'u' if isinstance(i.type, ir.VectorType) else ''}int{kind.width}_t"
        name = f"v{self.names}"
        self._line(f"const {of_kind} {name} = {text.text};")
        self.values[id(i)] = Text(name)

    def _read_pending(self) -> None:
        """Names what reads memory and is not used yet, before memory changes."""
        for i in self.pending.values():
            self._name(i)
        self.pending.clear()

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    # Blocks.

    def _region(self, block: Any, stop: Any) -> None:
        """The blocks from one to another that they branch to, or to the return."""
        while block is not None and block is not stop:
            is_loop = isinstance(block.instructions[0], Phi) and block.name not in self.tiles
            block = self._range(block) if is_loop else self._straight(block)

    def _straight(self, block: Any) -> Any:
        """One block; returns the next."""
        self.previous = block
        for i in block.instructions[:-1]:
            self._statement(i, block)
        end = block.terminator
        if end.opname == "br" and len(end.operands) == 1:
            return end.operands[0]
        if end.opname == "br" and self.tiles.get(end.operands[2].name) is end.operands[1]:
            return self._tile(block, end.operands[1], end.operands[2])
        if not end.opname.startswith("ret"):
            raise unknown(f"the branch {end}")
        if end.operands and end.return_value is not None:
            self._line(f"return {self.value(end.return_value).text};")
        return None

    def _statement(self, i: Any, block: Any) -> None:
        if isinstance(i, Phi):  # a sum of the tile's loop before
            return
        if isinstance(i, ir.instructions.Comment):
            self._line(f"/* {i.text} */")
        elif i.opname == "alloca":
            self.names += 1
            name = f"array{self.names}"
            self.lines.insert(0, f"    {self.context.number} {name}[{i.allocated_type.count}];")
            self.values[id(i)] = Address(name)
        elif i.opname == "store":
            value, to = self.value(i.operands[0]).text, self.value(i.operands[1])
            self._read_pending()
            self.written.add(to.base)
            self._line(f"{to.element} = {value};")
        elif i.opname == "call" and i.type == ir.VoidType():
            self._call(i)
        else:
            if i.opname == "getelementptr" and i.source_etype == ir.IntType(64):
                self.tokens.add(self.value(i.operands[0]).base)
            self._define(i, block)

    def _call(self, i: Any) -> None:
        called = self.context.functions.get(i.callee.name)
        if called is None:
            raise unknown(f"a call of {i.callee.name}")
        arguments = []
        for place in called.arguments:
            value = self.value(i.args[place])
            arguments.append(value.text.text if isinstance(value, Linear) else value.text)
            if place in called.written:
                self.written.add(value.base)
        self._read_pending()
        self._line(f"{self.context.prefix}_{i.callee.name}({', '.join(arguments)});")

    # Loops.

    def _open(self, name: str, start: Linear, stop: Linear, step: Linear) -> None:
        kind, first, last, by = self.context.index, start.text.text, stop.text.text, step.text.text
        self._line(f"for ({kind} {name} = {first}; {name} < {last}; {name} += {by}) {{")
        self.depth, self.loops = self.depth + 1, self.loops + 1

    def _close(self) -> None:
        self.depth, self.loops = self.depth - 1, self.loops - 1
        self._line("}")

    def _range(self, head: Any) -> Any:
        """A loop of `Code.range`: its head is the index and its test."""
        if [getattr(i, "op", i.opname) for i in head.instructions] != ["phi", "slt", "br"]:
            raise unknown(f"the block {head.name} with {len(head.instructions)} instructions")
        phi, test, end = head.instructions
        values = {source: value for value, source in phi.incomings}
        start = self.value(values.pop(self.previous))
        ((_, following),) = values.items()
        name = "ijklmn"[self.loops]
        self.values[id(phi)] = Linear.of(name)
        self._open(name, start, self.value(test.operands[1]), self.value(following.operands[1]))
        self._region(end.operands[1], head)
        self._close()
        return end.operands[2]

    def _tile(self, before: Any, loop: Any, after: Any) -> Any:
        """The loop of a tile: an index, offsets that move with it, and sums."""
        phis = [i for i in loop.instructions if isinstance(i, Phi)]
        first, following = ([{source: v for v, source in p.incomings}[b] for p in phis] for b in (before, loop))
        name, depth = "ijklmn"[self.loops], self.value(before.terminator.operands[0].operands[0])
        sums: dict[int, str] = {}
        for phi, start, value in zip(phis, first, following):
            if not isinstance(lane(phi.type), ir.IntType | ir.PointerType):
                sums[id(value)] = f"sum{len(sums)}"
                self._line(f"{self.context.number} {sums[id(value)]} = {self.value(start).text};")
                self.values[id(phi)] = Text(sums[id(value)])
        for phi, start, value in zip(phis, first, following):
            if id(value) not in sums:
                self.values[id(phi)] = self.value(start) + Linear.of(name) * self.value(value.operands[1])
        self._open(name, Linear(), depth, Linear(constant=1))
        for i in loop.instructions[len(phis) : -1]:
            self._define(i, loop)
        for value in following:
            if id(value) in sums:
                self._line(f"{sums[id(value)]} = {self.value(value).text};")
        self._close()
        for phi in after.instructions:
            if isinstance(phi, Phi):
                values = {source: value for value, source in phi.incomings}
                self.values[id(phi)] = Text(sums[id(values[loop])])
        return after


def _repeats(block: Any) -> bool:
    """Whether a block is a loop by itself."""
    end = block.terminator
    return end.opname == "br" and len(end.operands) == 3 and end.operands[1] is block


def _named(argument: Any) -> Any:
    if isinstance(argument.type, ir.PointerType):
        return Address(argument.name)
    return Linear.of(argument.name) if isinstance(argument.type, ir.IntType) else Text(argument.name)


def _words(text: str) -> set[str]:
    return set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())
