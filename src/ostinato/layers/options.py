"""`Options`: what a layer can be told beyond torch.nn's own arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field, fields
from typing import Any, Self

from ..errors import InputError, phrase
from .checkpoint import Checkpointing, read_checkpoint

_PLAIN = ("torch", "orthogonal", "identity")
_CHRONO = re.compile(r"chrono\(([0-9]+)\)")


def _option(default: Any, holds: Callable[[Any], bool], expected: str, remedy: str) -> Any:
    """A field with its default, the test that its value must pass, and the message for one that does not."""
    return field(default=default, metadata={"holds": holds, "expected": expected, "remedy": remedy})


def _chrono_steps(init: str) -> int | None:
    """T of "chrono(T)"; None for anything else."""
    found = _CHRONO.fullmatch(init)
    return int(found[1]) if found and int(found[1]) >= 2 else None


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keyword-only options of every layer: `ostinato.LSTM(64, 256, forget_bias=1.0)`.

    init                 first values of the weights: "torch", U(-1/√H, 1/√H) for all; "orthogonal", each gate's block
                         [H, H] of U orthogonal; "identity", each block of U the identity, b and d zero; "chrono(T)",
                         biases with which units remember for up to T steps. docs/initialisers.md says what each is for
    forget_bias          the bias of the forget gate, b + d together, in every unit; None leaves it as `init` drew it
    learn_initial_state  True: the state that a call starts from, where it is given none, is a parameter for each layer
                         and direction, initial_NAME_l0 [H] for the state NAME, first zero; the same for all rows
    checkpoint           what is kept for backward: None, all that it reads; "sqrt" or a number of segments, the states
                         at the boundaries of √T or so many segments of steps, which run again; "2GB", what fits in
                         the budget. docs/checkpointing.md; the one option that may also be set later

    Letters: H hidden units, T steps. What is wrong with a value is refused in the name of `where`.
    """

    where: InitVar[str] = "Options"
    init: str = _option(
        "torch",
        lambda v: isinstance(v, str) and (v in _PLAIN or _chrono_steps(v) is not None),
        'one of "torch", "orthogonal", "identity", "chrono(T)" with a whole T of 2 or more',
        'T is the longest time to remember, in steps; write init="chrono(200)".',
    )
    forget_bias: float | None = _option(
        None, lambda v: v is None or _number(v), "a finite number or None", "The usual one is forget_bias=1.0."
    )
    learn_initial_state: bool = _option(
        False,
        lambda v: isinstance(v, bool),
        "True or False",
        "A start for one call is its argument `state`.",
    )
    checkpoint: Checkpointing = None

    def __post_init__(self, where: str) -> None:
        for f in fields(self):
            value, rule = getattr(self, f.name), f.metadata
            if rule and not rule["holds"](value):
                raise InputError(phrase(where, f.name, rule["expected"], repr(value), rule["remedy"]))
        read_checkpoint(self.checkpoint, where)
        if self.chrono_steps is not None and self.forget_bias is not None:
            remedy = "Both set the forget gate's bias; leave one of them out."
            raise InputError(phrase(where, "forget_bias", f"None with init={self.init!r}", self.forget_bias, remedy))

    @classmethod
    def of(cls, where: str, given: Mapping[str, Any]) -> Self:
        """The options that a constructor was given; a TypeError, as Python's own, for a name that is none of them."""
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                remedy = "Arguments of torch.nn's layer come before these."
                raise TypeError(phrase(where, "an option", f"one of {', '.join(known)}", repr(name), remedy))
        return cls(where=where, **given)

    @property
    def chrono_steps(self) -> int | None:
        """T of init="chrono(T)", else None."""
        return _chrono_steps(self.init)

    def changed(self) -> list[str]:
        """`name=value` for each option that is not at its default, for a layer's repr."""
        return [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default]
