"""A translation network as two files: the encoder of sources, and one step of the decoder with its attention.

Letters: T steps of a source, B sources, K hypotheses of each, M numbers of a step of the encoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..running.model import Model
from ..tasks.translating.network import Memory, TranslationNetwork
from .parts import Part, StateValue, Tensors, Value, apart, joined, states_of
from .plan import Pairs, Plan, Run
from .sequences import LENGTHS, SIZES

ENCODER, DECODER = "encoder.onnx", "decoder_step.onnx"
RUNS = "The encoder on whole sources, the decoder step by step: its state goes in and comes out."
MOST_UNITS = 9
"""Units of a made target."""


def translations(model: Model) -> Plan:
    """Of an encoder and a decoder."""
    network: Any = model.network
    return Plan([_encoder(network), _decoder(network)], RUNS, _comparison(network), SIZES)


def _encoder(network: Any) -> Part:
    source = Value("source", ("T", "B"), "entries of the source's units", torch.int64, network.source.num_embeddings)
    states = [Value(s.name, ("B", s.width), "the decoder's first state") for s in _states(network)]

    def call(network: Any, x: Tensors) -> tuple[Tensor, ...]:
        memory, start = network.encode(x["source"], x["lengths"])
        return *_of_memory(memory), *apart(network.decoder, tuple(start))

    return Part(ENCODER, network, call, [source, LENGTHS], [*_memory(network), *states])


def _decoder(network: Any) -> Part:
    entries = network.target.num_embeddings
    meaning = f"the last unit of each hypothesis of each source; the mark {entries - 1} at first"
    units = Value("units", ("K", "B"), meaning, torch.int64, entries)
    scores = Value("scores", ("K", "B", entries), f"a score of each entry as the next unit; {entries - 1} ends a text")
    attention = network.attention is not None
    weights = [Value("weights", ("K", "T", "B"), "the weight of each step of the source")] if attention else []
    begins = [StateValue(s.name, s.width, s.initial, "K*B") for s in _states(network)]

    def call(network: Any, x: Tensors) -> tuple[Tensor, ...]:
        memory = _memory_from(x)
        found, aligned, state = network.aligned_step(x["units"], joined(network.decoder, "decoder", x), memory)
        return found, *([] if aligned is None else [aligned]), *apart(network.decoder, state)

    return Part(DECODER, network, call, [units, *_memory(network)], [scores, *weights], begins)


def _states(network: TranslationNetwork) -> list[StateValue]:
    return states_of(network.decoder, "decoder")


def _memory(network: Any) -> list[Value]:
    """What the encoder gives and every step of the decoder takes."""
    if network.attention is None:
        width = network.readout.in_features - network.starts[0].out_features
        return [Value("whole", ("B", width), "what the encoder has read of a source")]
    key = network.attention.key
    return [
        Value("memory", ("T", "B", key.in_features), "what the encoder has read of each step of a source"),
        Value("keys", ("T", "B", key.out_features), "the same, for the scores of attention"),
        Value("outside", ("T", "B"), "True past the end of a source", torch.bool),
    ]


def _of_memory(memory: Memory) -> tuple[Tensor, ...]:
    """In the order of `_memory`."""
    if memory.keys is None:
        assert memory.whole is not None
        return (memory.whole,)
    return memory.steps, memory.keys, memory.outside


def _memory_from(x: Tensors) -> Memory:
    if "whole" in x:  # the decoder then reads nothing else of it
        return Memory(x["whole"][None], None, torch.zeros_like(x["whole"][None, :, 0], dtype=torch.bool), x["whole"])
    return Memory(x["memory"], x["keys"], x["outside"], None)


def _comparison(network: TranslationNetwork) -> Any:
    """Targets unit by unit through both files beside one call of the network on sources and targets."""

    def compare(run: Run, generator: torch.Generator) -> Pairs:
        rows = SIZES["B"]
        sizes = {"T": int(torch.randint(1, SIZES["T"] + 1, (), generator=generator)), "B": rows}
        encoder, decoder = _encoder(network), _decoder(network)
        given = {value.name: value.made(sizes, generator) for value in encoder.inputs}
        units = torch.randint(network.target.num_embeddings, (MOST_UNITS, rows), generator=generator)
        steps = torch.full((rows,), MOST_UNITS)
        made = network({"source": given["source"], "units": units, "steps": steps}, given["lengths"])
        assert made.read is not None  # targets were given
        expected = torch.stack([made.read.head(read) for read in made.read.read]).numpy()
        aligned = made.weights(units, steps)
        carried: dict[str, Any] = dict(run(encoder.file, given))
        scores, weights = [], []
        for step in units:
            found = run(decoder.file, {"units": step[None], **carried})
            scores.append(found["scores"][0])
            weights += [found["weights"][0]] if aligned is not None else []
            carried |= {s.name: found[s.value(after=True).name] for s in decoder.states}
        pairs = [(np.stack(scores), expected)]
        return pairs if aligned is None else [*pairs, (np.stack(weights), aligned.numpy())]

    return compare
