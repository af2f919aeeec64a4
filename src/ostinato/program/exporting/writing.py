"""Networks that go on from what was before as files: language models, generated items, music.

Letters: T steps, B rows, K columns or keys, V entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..running.model import Model
from ..tasks.music.heads import JointHead
from .chords import write_chords
from .parts import Part, Tensors, Value, apart, joined, states_of
from .plan import Pairs, Plan, Run, in_pieces, one_file
from .sequences import FILE, SIZES, STEPS

CHORD = "chord.onnx"


def texts(model: Model) -> Plan:
    """Of a language model: scores of the unit after each."""
    network: Any = model.network
    inputs = [_units(network.embedding.num_embeddings)]

    def call(network: Any, x: Tensors) -> tuple[Tensor, ...]:
        scores, state = network.go_on(x["units"], joined(network.layers, "layers", x))
        return scores, *apart(network.layers, state)

    def own(x: Tensors) -> Sequence[Tensor]:
        return [network({"units": x["units"]})]

    part = Part(FILE, network, call, inputs, [_scores(network)], states_of(network.layers, "layers"))
    return one_file(part, STEPS, own, SIZES)


def items(model: Model) -> Plan:
    """Of texts that are generated from a condition: the same, with the condition beside every unit."""
    task: Any = model.task
    network: Any = model.network
    inputs = [_units(network.language.embedding.num_embeddings)]
    conditions = task.conditions
    if conditions.scaling is not None:
        width = conditions.scaling.width
        inputs.append(Value("numbers", ("B", width), "the numbers that a text is given, scaled, then the flags"))
    elif conditions.columns:
        least = min(len(values) for values in conditions.values) + 1
        meaning = "the entry of the value of each column; 0 is unknown"
        inputs.append(Value("columns", ("B", len(conditions.columns)), meaning, torch.int64, least))

    def call(network: Any, x: Tensors) -> tuple[Tensor, ...]:
        language = network.language
        scores, state = language.go_on(x["units"], joined(language.layers, "layers", x), network.condition(x))
        return scores, *apart(language.layers, state)

    def own(x: Tensors) -> Sequence[Tensor]:
        return [network(x)]

    states = states_of(network.language.layers, "layers")
    return one_file(Part(FILE, network, call, inputs, [_scores(network.language)], states), STEPS, own, SIZES)


def music(model: Model) -> Plan:
    """Of piano rolls: the keys after the last frame that was read. The joint head, which decides them one after
    another, has a file of its own."""
    network: Any = model.network
    count = network.layers.input_size
    frames = Value("frames", ("T", "B", count), "keys of each frame, 0 or 1; a piece begins with a frame of zeros")
    drawn = "from 0 to 1: key k is down where its number is below its probability; 0.5 for the more probable"
    numbers = Value("numbers", ("B", count), drawn, torch.float64)
    outputs = [
        Value("keys", ("B", count), "keys of the next frame, 0 or 1", torch.uint8),
        Value("probabilities", ("B", count), "of each key, after those below it are decided"),
    ]
    states = states_of(network.layers, "layers")

    def call(network: Any, x: Tensors) -> tuple[Tensor, ...]:
        read, state = network.go_on(x["frames"], joined(network.layers, "layers", x))
        found = (read,) if "numbers" not in x else network.head.drawn(read, x["numbers"], 1.0)
        return *found, *apart(network.layers, state)

    def own(x: Tensors) -> Sequence[Tensor]:
        return network.head.drawn(network({"frames": x["frames"]}).read[-1], x["numbers"], 1.0)

    if not isinstance(network.head, JointHead):
        return one_file(Part(FILE, network, call, [frames, numbers], outputs, states), STEPS, own, SIZES)
    width = network.head.scores.in_features
    read = Value("read", ("B", width), "what is read up to the last frame, for chord.onnx")
    steps = Part(FILE, network, call, [frames], [read], states)
    chord = Part(
        CHORD, network, call, [replace(read, meaning="as model.onnx gives it"), numbers], outputs,
        write=lambda path: write_chords(network.head, path),
    )  # fmt: skip

    def compare(run: Run, generator: torch.Generator) -> Pairs:
        sizes = {"T": int(torch.randint(1, SIZES["T"] + 1, (), generator=generator)), "B": SIZES["B"]}
        given = {value.name: value.made(sizes, generator) for value in (frames, numbers)}
        found = in_pieces(steps, run, {"frames": given["frames"]}, sizes["T"])
        said = run(CHORD, {"read": found["read"], "numbers": given["numbers"]})
        return [(said[v.name], t.numpy()) for v, t in zip(outputs, own(given), strict=True)]

    return Plan([steps, chord], STEPS, compare, SIZES)


def _units(entries: int) -> Value:
    return Value("units", ("T", "B"), "entries of the units that are read; 0 is unknown", torch.int64, entries)


def _scores(network: Any) -> Value:
    return Value("scores", ("T", "B", network.head.out_features), "a score of each entry as the next unit")
