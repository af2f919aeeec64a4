"""Instructions of LLVM without effects, of one lane, as C expressions: the same operations in the same order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from ...errors import InputError, phrase
from .expressions import ATOM, CHOICE, COMPARISON, LOGIC, PRODUCT, SHIFT, SUM, UNARY, Linear, Text, literal

Operand = Callable[[Any], Any]
"""A value of the module → its `Text`, `Linear` or `Address`."""

_ARITHMETIC = {"fadd": ("+", SUM), "fsub": ("-", SUM), "fmul": ("*", PRODUCT), "fdiv": ("/", PRODUCT)}
_FLOAT_COMPARISONS = {"olt": "<", "ole": "<=", "ogt": ">", "oge": ">=", "oeq": "==", "une": "!="}
_SIGNED = {"slt": "<", "sle": "<=", "sgt": ">", "sge": ">=", "eq": "==", "ne": "!="}
_BITWISE = {"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|", "xor": "^"}
_MOVES = (ir.instructions.InsertElement, ir.instructions.ShuffleVector, ir.instructions.ExtractElement)


def lane(kind: ir.Type) -> ir.Type:
    """The type of the one lane of a vector; of a scalar itself."""
    if isinstance(kind, ir.VectorType):
        if kind.count != 1:
            raise unknown(f"a vector of {kind.count} lanes")
        return kind.element
    return kind


def is_index(kind: ir.Type) -> bool:
    """Whether integers of a type are sizes and offsets; those of lanes are bits, which wrap."""
    return isinstance(kind, ir.IntType) and kind.width > 1


def unknown(what: object) -> InputError:
    return InputError(
        phrase("c_source", "the code", "of loops and instructions that have a C text", what,
               "Use form='object', which compiles all code.")
    )  # fmt: skip


class Instructions:
    """Translates the instructions of one function.

    helpers  names of the helpers that were called, collected
    """

    def __init__(self, prefix: str, scalar: str, operand: Operand):
        self.prefix, self.scalar, self.operand = prefix, scalar, operand
        self.helpers: set[str] = set()

    def helper(self, name: str, *arguments: str, reads: bool = False) -> Text:
        self.helpers.add(name)
        return Text(f"{self.prefix}_{name}({', '.join(arguments)})", ATOM, reads)

    def constant(self, value: ir.Constant) -> Text | Linear:
        kind, number = value.type, value.constant
        if isinstance(kind, ir.VectorType):
            lane(kind)
            kind, number = kind.element, number[0].constant if isinstance(number, list | tuple) else number
            if isinstance(kind, ir.IntType):
                bits = number % (1 << kind.width)
                return Text(f"UINT64_C({bits})" if kind.width == 64 else f"{bits}u")
        if is_index(kind):
            return Linear(constant=number)
        if number is ir.Undefined or not isinstance(kind, ir.FloatType | ir.DoubleType):
            raise unknown(f"the constant {value}")
        return literal(number, self.scalar)

    def __call__(self, i: Any) -> Any:
        """The value of an instruction."""
        if isinstance(i, _MOVES):
            return self._move(i)
        if isinstance(i, ir.instructions.GEPInstr):
            return self.operand(i.operands[0]) + self.operand(i.operands[1])
        kind = lane(i.type)
        match i.opname:
            case "load":
                return self._load(i, kind)
            case "icmp" | "fcmp":
                return self._compare(i)
            case "select":
                return self._select(i)
            case "call":
                return self._call(i)
            case "bitcast" | "sitofp" | "trunc":
                return self._cast(i)
            case "fneg":
                a = self.operand(i.operands[0])
                return Text(f"-{a.at(ATOM)}", UNARY, a.reads)
            case "and" | "or" if getattr(kind, "width", 0) == 1:
                return self._join(_BITWISE[i.opname], LOGIC, (ATOM, ATOM), i)
            case name if name in _ARITHMETIC:
                sign, level = _ARITHMETIC[name]
                return self._join(sign, level, (level, level + 1), i)
            case name if is_index(i.type):
                return self._index(name, *map(self.operand, i.operands))
            case name:
                return self._bits(i, name)

    def _move(self, i: Any) -> Any:
        """A lane in and out of a vector is the number itself."""
        lane(i.operands[0].type)
        return self.operand(i.operands[1 if isinstance(i, ir.instructions.InsertElement) else 0])

    def _join(self, sign: str, level: int, needed: tuple[int, int], i: Any) -> Text:
        a, b = map(self.operand, i.operands)
        return Text(f"{a.at(needed[0])} {sign} {b.at(needed[1])}", level, a.reads or b.reads)

    def _load(self, i: Any, kind: ir.Type) -> Text | Linear:
        element = self.operand(i.operands[0]).element
        # A token; x is never written.
        return Linear.of(element) if is_index(kind) else Text(element, ATOM, True)

    def _compare(self, i: Any) -> Text:
        a, b = map(self.operand, i.operands)
        if i.opname == "icmp":
            if not is_index(i.operands[0].type) or i.op not in _SIGNED:
                raise unknown(f"the comparison {i}")
            return Text(f"{a.text.at(SHIFT)} {_SIGNED[i.op]} {b.text.at(SHIFT)}", COMPARISON)
        reads = a.reads or b.reads
        if i.op == "uno" and i.operands[0] is i.operands[1]:
            return Text(f"{a.at(SHIFT)} != {b.at(SHIFT)}", COMPARISON, reads)
        if i.op not in _FLOAT_COMPARISONS:
            raise unknown(f"the comparison {i}")
        return Text(f"{a.at(SHIFT)} {_FLOAT_COMPARISONS[i.op]} {b.at(SHIFT)}", COMPARISON, reads)

    def _select(self, i: Any) -> Text | Linear:
        condition, a, b = map(self.operand, i.operands)
        if isinstance(a, Linear):
            return Linear.of(f"({condition.at(LOGIC)} ? {a.text.text} : {b.text.text})")
        reads = condition.reads or a.reads or b.reads
        return Text(f"{condition.at(LOGIC)} ? {a.at(LOGIC)} : {b.at(LOGIC)}", CHOICE, reads)

    def _call(self, i: Any) -> Text:
        """An intrinsic, or a function that returns a value and therefore writes nothing."""
        name = i.callee.name
        if name.startswith("llvm."):
            name = name.split(".")[1]
            if name not in ("fma", "fabs", "copysign", "sqrt", "rint"):
                raise unknown(f"a call of {i.callee.name}")
            self.helpers.add(name)
        arguments = [self.operand(a) for a in i.args]
        text = f"{self.prefix}_{name}({', '.join(a.text for a in arguments)})"
        return Text(text, ATOM, any(a.reads for a in arguments))

    def _cast(self, i: Any) -> Text | Linear:
        a, number = self.operand(i.operands[0]), lane(i.type)
        if i.opname == "trunc":  # of a token, which is less than the number of tokens
            return Linear.of(f"(int{number.width}_t){a.text.at(UNARY)}")
        if isinstance(a, Linear):
            return literal(_rounded(a.constant, self.scalar), self.scalar)
        name = "signed" if i.opname == "sitofp" else "bits" if isinstance(number, ir.IntType) else "number"
        return self.helper(name, a.text, reads=a.reads)

    def _index(self, name: str, a: Linear, b: Linear) -> Linear:
        match name:
            case "add":
                return a + b
            case "sub":
                return a - b
            case "mul":
                return a * b
            case "sdiv":
                return Linear.of(f"({a.text.at(PRODUCT)} / {b.text.at(UNARY)})")
            case "srem":
                return Linear.of(f"({a.text.at(PRODUCT)} % {b.text.at(UNARY)})")
            case "and":
                return Linear.of(f"({a.text.at(ATOM)} & {b.text.at(ATOM)})")
        raise unknown(f"the operation {name} of integers")

    def _bits(self, i: Any, name: str) -> Text:
        """Operations of a lane's integer, unsigned, so that they wrap."""
        if name in _BITWISE:
            return self._join(_BITWISE[name], LOGIC, (ATOM, ATOM), i)
        if name in ("shl", "lshr", "ashr") and isinstance(i.operands[1], ir.Constant):
            a, count = self.operand(i.operands[0]), i.operands[1].constant[0].constant
            if name == "ashr":
                return self.helper("ashr", a.text, str(count), reads=a.reads)
            return Text(f"{a.at(ATOM)} {'<<' if name == 'shl' else '>>'} {count}", LOGIC, a.reads)
        raise unknown(f"the instruction {i}")


def _rounded(n: int, scalar: str) -> float:
    """A known integer in the format; sizes are far below the first integer that float32 does not have."""
    if scalar == "float32" and abs(n) > 1 << 24:
        raise unknown(f"a mean over {n} units")
    return float(n)
