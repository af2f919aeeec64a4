"""What the functions of one C file share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir


@dataclass(frozen=True)
class CFunction:
    """A translated function.

    arguments  places of the arguments that it has in C: the others are unused, or the same in all calls
    written    places of the pointers that it writes through
    helpers    names of the helpers that it calls
    """

    text: str
    arguments: tuple[int, ...]
    written: frozenset[int]
    helpers: frozenset[str]


@dataclass(frozen=True)
class Context:
    """What the functions of one file share.

    known      the name of a function → the constants among its arguments that are the same in all calls
    functions  those translated already
    """

    prefix: str
    scalar: str
    word: ir.Type
    known: Mapping[str, Mapping[int, ir.Constant]]
    functions: Mapping[str, CFunction]

    @property
    def number(self) -> str:
        return {"float32": "float", "float64": "double"}[self.scalar]

    @property
    def index(self) -> str:
        return f"int{self.word.width}_t"


def known_arguments(functions: Sequence[ir.Function]) -> dict[str, dict[int, ir.Constant]]:
    """For each function, the constants among its arguments that are the same in all calls."""
    calls: dict[str, list[Any]] = defaultdict(list)
    for function in functions:
        for block in function.blocks:
            for i in block.instructions:
                if isinstance(i, ir.instructions.CallInstr):
                    calls[i.callee.name].append(i.args)
    return {
        name: {
            place: values[0]
            for place, values in enumerate(zip(*arguments))
            if all(isinstance(v, ir.Constant) and _is_same(v, values[0]) for v in values)
        }
        for name, arguments in calls.items()
        if not name.startswith("llvm.")
    }


def _is_same(a: Any, b: Any) -> bool:
    return bool(a.type == b.type and not isinstance(a.type, ir.VectorType) and a.constant == b.constant)
