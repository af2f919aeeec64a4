"""`Options`: the options of a layer beyond torch.nn's arguments, and the equations that follow from them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field, fields, replace
from inspect import Parameter, Signature, signature
from typing import Any, Self, TypedDict, TypeVar

from ..cells import Cell, catalogue
from ..cells.noise import BITS
from ..cells.transforms import ByName, CellTransform, gate_values, transformed_cell
from ..errors import InputError, did_you_mean, phrase
from ..execution.checkpoint import Checkpointing, read_checkpoint

Number = float | int
ACTIVATIONS = {
    "tanh": "elman",
    **{name: f"elman_{name}" for name in ("sigmoid", "relu", "leaky_relu", "prelu", "softplus")},
}
"""Name of an activation → the Elman cell of the catalogue that has it."""
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


def _is_probability(value: object) -> bool:
    return _number(value) and 0 <= float(value) < 1 - 2.0**-BITS  # type: ignore[arg-type]


def _is_bound(value: object) -> bool:
    return _number(value) and float(value) > 0  # type: ignore[arg-type]


def _all(holds: Callable[[Any], bool], value: object) -> bool:
    """Whether a number, or every number of a dict by name, passes a test."""
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(name, str) and holds(v) for name, v in value.items())
    return holds(value)


_PROBABILITY = "a probability from 0 up to, not including, 1"
_DROPPED = "It is the share that is dropped, not the share that is kept; 0 turns it off."


@dataclass(frozen=True, kw_only=True)
class Options:
    """The keyword-only options of every layer: `ostinato.LSTM(64, 256, forget_bias=1.0)`.

    layer_norm           True: each product with W or U is normalised over its units and multiplied with a learned gain,
                         p_norm_W_GATE_l0 and p_norm_U_GATE_l0 [H], first 1; the gates' own biases follow. J. L. Ba,
                         J. R. Kiros, G. E. Hinton, arXiv 1607.06450v1, section 3.1 and equations (20) to (22);
                         each gate apart, the state c not
    recurrent_dropout    in training, a number: probability that a unit of what enters the products with U is 0, one
                         mask for a sequence (Y. Gal, Z. Ghahramani, arXiv 1512.05287, section 4.1, one mask
                         for all gates). A dict such as {"g": 0.25}: probability that a unit of a gate's value is 0,
                         drawn at every step (S. Semeniuta, A. Severyn, E. Barth, arXiv 1603.05118)
    zoneout              in training, probability that a unit of a state keeps its old value in a step; in evaluation
                         the expected value of that. A number for all states, or a dict of states. D. Krueger et al.,
                         arXiv 1606.01305
    weight_dropout       in training, probability that a number of U is 0, one mask for a call. S. Merity, N. S. Keskar,
                         R. Socher, arXiv 1708.02182, section 2
    input_dropout        in training, probability that a feature of what enters W is 0, one mask for a sequence, layer
                         and direction. Gal and Ghahramani, as above
    clip_gradient        in training, the largest size of the gradient of a gate's pre-activation, clamped inside the
                         recurrence. A. Graves, arXiv 1308.0850, section 2.1
    clip_state           the largest size of a state's new value, for all that reads it; a number for all states, or a
                         dict of states. H. Sak, A. Senior, F. Beaufays, Interspeech 2014, clip c at 50
    activation           of the Elman network: "tanh", "sigmoid", "relu", "leaky_relu", "prelu" or "softplus"
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
    layer_norm: bool = _option(
        False, lambda v: isinstance(v, bool), "True or False", "There is one form of it, over the units of each gate."
    )
    recurrent_dropout: Number | Mapping[str, float] = _option(
        0.0, lambda v: _all(_is_probability, v), f"{_PROBABILITY}, or a dict of such by gate", _DROPPED
    )
    zoneout: Number | Mapping[str, float] = _option(
        0.0, lambda v: _all(_is_probability, v), f"{_PROBABILITY}, or a dict of such by state", "0 turns it off."
    )
    weight_dropout: Number = _option(0.0, _is_probability, _PROBABILITY, _DROPPED)
    input_dropout: Number = _option(0.0, _is_probability, _PROBABILITY, _DROPPED)
    clip_gradient: Number | None = _option(
        None, lambda v: v is None or _is_bound(v), "a finite number above 0, or None", "Graves takes 1 to 10."
    )
    clip_state: Number | Mapping[str, float] | None = _option(
        None,
        lambda v: v is None or _all(_is_bound, v),
        "a finite number above 0, a dict of such by state, or None",
        'Write clip_state={"c": 50.0}.',
    )
    activation: str | None = _option(
        None,
        lambda v: v is None or (isinstance(v, str) and v in ACTIVATIONS),
        f"one of {', '.join(ACTIVATIONS)}, or None",
        "For any other write the equations with @ostinato.cell.",
    )
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
                remedy = did_you_mean(name, known) + "Arguments of torch.nn's layer come before these."
                raise TypeError(phrase(where, "an option", f"one of {', '.join(known)}", repr(name), remedy))
        return cls(where=where, **given)

    @property
    def chrono_steps(self) -> int | None:
        """T of init="chrono(T)", else None."""
        return _chrono_steps(self.init)

    @property
    def draws(self) -> bool:
        """Whether a call in training draws anything at random."""
        return bool(self.recurrent_dropout or self.zoneout or self.weight_dropout or self.input_dropout)

    def changed(self) -> list[str]:
        """`name=value` for each option that is not at its default, for a layer's repr."""
        return [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default]


class LayerOptions(TypedDict, total=False):
    """The same as keyword arguments of a constructor, for type checkers; `Options` says what each means."""

    layer_norm: bool
    recurrent_dropout: Number | Mapping[str, float]
    zoneout: Number | Mapping[str, float]
    weight_dropout: Number
    input_dropout: Number
    clip_gradient: Number | None
    clip_state: Number | Mapping[str, float] | None
    activation: str | None
    init: str
    forget_bias: float | None
    learn_initial_state: bool
    checkpoint: Checkpointing


L = TypeVar("L", bound=type)


def shows_options(layer: L) -> L:
    """Gives a layer's class the signature of its constructor with every option by name, type and default."""
    given = [p for p in signature(layer.__init__).parameters.values() if p.kind is not Parameter.VAR_KEYWORD]  # type: ignore[misc]
    options = [Parameter(f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type) for f in fields(Options)]
    layer.__signature__ = Signature([*given[1:], *options])  # type: ignore[attr-defined]
    return layer


def equations(cell: Cell, options: Options, where: str) -> tuple[Cell, Cell]:
    """(the cell in evaluation, the cell in training). Refuses options that the cell has no place for."""
    cell = _activated(cell, options.activation, where)
    dropout = options.recurrent_dropout
    gates = dropout if isinstance(dropout, Mapping) else {}
    for gate in gates:
        if gate not in gate_values(cell):
            known = ", ".join(gate_values(cell)) or "none"
            expected = f"a number, or a dict of the gates of {cell.name} that have a value of their own ({known})"
            remedy = 'Write recurrent_dropout={"g": 0.25}, or a number for what enters U.'
            raise InputError(phrase(where, "recurrent_dropout", expected, repr(gate), remedy))
    if dropout and not gates and "U" not in cell.letters:
        expected = f"0, or a dict of gates, for the cell {cell.name}, which has no U"
        remedy = "A number drops what enters the recurrent products, and there are none."
        raise InputError(phrase(where, "recurrent_dropout", expected, dropout, remedy))
    if options.weight_dropout and "U" not in cell.letters:
        expected = f"0 for the cell {cell.name}, which has no U"
        remedy = "There is no recurrent weight to drop."
        raise InputError(phrase(where, "weight_dropout", expected, options.weight_dropout, remedy))
    if options.layer_norm and not {"W", "U"} & set(cell.letters):
        remedy = "There is no product to normalise."
        raise InputError(phrase(where, "layer_norm", f"False for the cell {cell.name}, without W and U", True, remedy))
    zoneout = _by_state(cell, options.zoneout, "zoneout", where)
    always = CellTransform(
        layer_norm=options.layer_norm, clip_state=_by_state(cell, options.clip_state, "clip_state", where)
    )
    evaluation = transformed_cell(cell, replace(always, expected_zoneout=zoneout))
    training = transformed_cell(
        cell,
        replace(
            always,
            recurrent_dropout=0.0 if isinstance(dropout, Mapping) else dropout,
            gate_dropout=tuple(sorted(gates.items())),
            zoneout=zoneout,
            clip_gradient=options.clip_gradient,
        ),
    )
    return evaluation, training


def _by_state(cell: Cell, value: Number | Mapping[str, float] | None, name: str, where: str) -> ByName:
    """A number for every state, or for those that are named; what is 0 or None is left out."""
    named = value if isinstance(value, Mapping) else dict.fromkeys(cell.states, value or 0.0)
    for state in named:
        if state not in cell.states:
            expected = f"a number, or a dict of states of the cell {cell.name} ({', '.join(cell.states)})"
            remedy = f'Write {name}={{"{cell.states[-1]}": ...}}.'
            raise InputError(phrase(where, name, expected, repr(state), remedy))
    return tuple(sorted((state, float(number)) for state, number in named.items() if number))


def _activated(cell: Cell, activation: str | None, where: str) -> Cell:
    """An Elman cell with another activation; the cell itself for None."""
    if activation is None:
        return cell
    known = catalogue()
    chosen, plain = known[ACTIVATIONS[activation]], known["elman"]
    for source, found in ((plain, chosen), (plain.without_bias(), chosen.without_bias())):
        if cell.equations == source.equations:
            return found
    expected = f"None for the cell {cell.name}, whose equations name their own"
    remedy = "Only the Elman network, cell 'elman' or a plain RNN, takes one."
    raise InputError(phrase(where, "activation", expected, repr(activation), remedy))
