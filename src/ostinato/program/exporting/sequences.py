"""Networks of rows, tags, transcripts, missing units and forecasts as files.

Letters: T steps, B rows, C channels with flags, K outputs, S characters of a word, W different words of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..running.model import Model
from ..tasks.forecasting.conformal import moved
from ..tasks.inputs import TextInputs
from .parts import Part, StateValue, Tensors, Value, apart, joined, states_of
from .plan import Plan, one_file

FILE = "model.onnx"
LENGTHS = Value("lengths", ("B",), "steps of each row; what lies past them is not read", torch.int64, "T", 1)
SIZES = {"T": 24, "B": 5}
BOTH = "On whole sequences: the layers read from both ends."
POOLED = "On whole sequences: the answer is computed from all steps of a row."
STEPS = "Step by step, or any number of steps at a time: the state goes in and comes out."


def rows(model: Model) -> Plan:
    """Of classes, labels and numbers of whole rows."""
    task, network = _parts(model)
    inputs = [_read(task.inputs), LENGTHS]
    meaning = "the scaled number" if model.task.name == "regress" else "a score of each class"
    count = network.head.out_features
    part = Part(FILE, network, _whole, inputs, [Value("scores", ("B", count), meaning)])
    return one_file(part, BOTH if network.layers.bidirectional else POOLED, _own(network), SIZES)


def transcripts(model: Model) -> Plan:
    """Of the labels of every frame."""
    task, network = _parts(model)
    width = None if isinstance(task.inputs, TextInputs) else task.steps * task.inputs.scaling.width
    output = Value("scores", ("T", "B", network.head.out_features), "a score of the blank, then of each label")
    inputs = [_read(task.inputs, width), LENGTHS]
    if network.layers.bidirectional:
        return one_file(Part(FILE, network, _whole, inputs, [output]), BOTH, _own(network), SIZES)

    def call(network: Any, x: Tensors) -> tuple[Tensor, ...]:
        read = x["x"] if network.embedding is None else network.embedding(x["words"])
        y, state = network.layers(read, joined(network.layers, "layers", x), lengths=x["lengths"])
        return network.head(y), *apart(network.layers, state)

    return one_file(Part(FILE, network, call, inputs, [output], _states(network)), STEPS, _own(network), SIZES)


def tags(model: Model) -> Plan:
    """Of the tags of words."""
    task, network = _parts(model)
    letters = len(task.letters)
    inputs = [
        _read(task.words),
        Value("letters", ("S", "W"), "the characters of the different words", torch.int64, letters),
        Value("letter_lengths", ("W",), "characters of each of these words", torch.int64, "S", 1),
        Value("which", ("T", "B"), "the column of letters that each word is", torch.int64, "W"),
        LENGTHS,
    ]
    output = Value("scores", ("T", "B", network.head.out_features), "a score of each tag")
    part = Part(FILE, network, _whole, inputs, [output])
    runs = BOTH if network.layers.bidirectional else "On whole sentences: a word is read with all its characters."
    return one_file(part, runs, _own(network), {**SIZES, "S": 9, "W": 7})


def gaps(model: Model) -> Plan:
    """Of missing units between two contexts."""
    _, network = _parts(model)
    edge, count = network.edge, network.head.out_features
    inputs = [
        Value("before", ("T", "B"), f"the edge {edge}, then the units without the last", torch.int64, edge + 1),
        Value(
            "after", ("T", "B"), f"the edge {edge}, then the units from the last to the second", torch.int64, edge + 1
        ),
        LENGTHS,
    ]
    output = Value("scores", ("T", "B", count), "a score of each unit in this place, by what is before and after it")

    def call(network: Any, x: Tensors) -> tuple[Tensor, ...]:
        found = network({name: x[name] for name in ("before", "after")}, x["lengths"])
        return (found.head(found.read),)

    def own(x: Tensors) -> Sequence[Tensor]:
        found = network({name: x[name] for name in ("before", "after")}, x["lengths"])
        return [torch.stack([found.head(step) for step in found.read])]

    return one_file(Part(FILE, network, call, inputs, [output]), BOTH, own, SIZES)


def forecasts(model: Model) -> Plan:
    """Of the quantiles of what follows a window."""
    task, network = _parts(model)
    s = network.shape
    inputs = [Value("own", ("B", s.length, s.series, s.own), "scaled values less the last, and 1 where one is there")]
    if s.past:
        inputs.append(Value("past", ("B", s.length, s.past), "scaled covariates of the past"))
    if s.known:
        known = "what is known ahead: scaled covariates, then the sine and cosine of each cycle of the calendar"
        inputs.append(Value("known", ("B", s.length + s.horizon, s.known), known))
    meaning = "quantiles of the errors of the guess, in units of `error`, rising; bands are already moved"
    output = Value("errors", ("B", s.horizon, s.series, s.quantiles), meaning)
    scales = {name: torch.tensor(getattr(task.scaling, name), dtype=torch.float32) for name in ("error", "start")}
    bands = None if task.bands is None else torch.tensor(task.bands, dtype=torch.float32)

    def call(network: Any, x: Tensors) -> tuple[Tensor, ...]:
        found = network({**x, **scales}).sort(-1).values
        return (found if bands is None else _moved(found, bands),)

    def own(x: Tensors) -> Sequence[Tensor]:
        found = network({**x, **scales}).double().sort(-1).values
        return [found if task.bands is None else torch.from_numpy(moved(found.numpy(), task.bands))]

    runs = "On whole windows: all steps of the future are computed at once from all steps of the past."
    return one_file(Part(FILE, network, call, inputs, [output]), runs, own, {"B": SIZES["B"]})


def _moved(quantiles: Tensor, bands: Tensor) -> Tensor:
    """`moved` of forecasting/conformal.py on tensors."""
    count, middle = bands.shape[1], quantiles.shape[-1] // 2
    centre = quantiles[..., middle : middle + 1]
    lower = torch.minimum(quantiles[..., :count] - bands[:, None, :], centre)
    upper = torch.maximum(quantiles[..., -count:] + bands.flip(1)[:, None, :], centre)
    return torch.cat([lower.sort(-1).values, centre, upper.sort(-1).values], -1)


def _parts(model: Model) -> tuple[Any, Any]:
    return model.task, model.network


def _states(network: Any) -> list[StateValue]:
    return states_of(network.layers, "layers")


def _read(inputs: Any, width: int | None = None) -> Value:
    """What a network of rows reads: entries of a vocabulary, or scaled numbers."""
    if isinstance(inputs, TextInputs):
        entries = len(inputs.vocabulary)
        return Value("words", ("T", "B"), "entries of the vocabulary; 0 is unknown", torch.int64, entries)
    count = inputs.scaling.width if width is None else width
    return Value("x", ("T", "B", count), "scaled channels, then 1 where a flagged channel has a value")


def _whole(network: Any, x: Tensors) -> tuple[Tensor, ...]:
    return (network({name: t for name, t in x.items() if name != "lengths"}, x["lengths"]),)


def _own(network: Any) -> Any:
    def own(x: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return _whole(network, x)

    return own
