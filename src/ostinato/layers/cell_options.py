"""The equations that a layer runs: its cell with the layer's options put into it, for training and for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..cells import Cell, catalogue
from ..cells.transforms import ByName, CellTransform, gate_values, transformed_cell
from ..errors import InputError, phrase
from .options import ACTIVATIONS, Number, Options


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
