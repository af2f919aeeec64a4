"""The options of layers, each by itself on the layers it is for, and several at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch

from .digest import Case
from .made import LARGE, Call, layer_of, outcome

DEEP = {"num_layers": 2, "bidirectional": True, "dropout": 0.2}

ANY: tuple[dict[str, Any], ...] = (
    {"layer_norm": True},
    {"recurrent_dropout": 0.25},
    {"zoneout": 0.2},
    {"weight_dropout": 0.3},
    {"input_dropout": 0.3},
    {"clip_gradient": 0.02},
    {"clip_state": 0.4},
    {"learn_initial_state": True},
    {"layer_norm": True, "zoneout": 0.1, "recurrent_dropout": 0.2, "input_dropout": 0.1, "clip_gradient": 0.1},
)
"""For every layer."""
OWN: dict[str, tuple[dict[str, Any], ...]] = {
    "LSTM": (
        {"recurrent_dropout": {"g": 0.25}},
        {"zoneout": {"c": 0.2, "h": 0.05}},
        {"clip_state": {"c": 0.3}},
    ),
    "GRU": ({"recurrent_dropout": {"n": 0.25}},),
    "RNN tanh": tuple({"activation": a} for a in ("sigmoid", "leaky_relu", "prelu", "softplus")),
    "LSTM proj": (),
    "slstm": (),
}
"""Layer → what is written for it alone."""
FIRST: dict[str, tuple[dict[str, Any], ...]] = {
    "LSTM": ({"init": "chrono(20)"}, {"forget_bias": 1.0}),
    "GRU": ({"init": "chrono(20)"}, {"forget_bias": 1.0}),
    "RNN tanh": ({"activation": "prelu"},),
    "LSTM proj": ({"forget_bias": 2.0},),
}
"""Layer → options of first values, beside those of `VALUES`."""
VALUES: tuple[dict[str, Any], ...] = (
    {},
    {"init": "orthogonal"},
    {"learn_initial_state": True, "layer_norm": True},
)
IDENTITY: tuple[dict[str, Any], ...] = ({"init": "identity"},)
"""A projection makes U no square, and is refused."""

CALLS = {
    "training": Call(),
    "evaluation": Call(training=False),
    "inference": Call(training=False, grad=False),
    "training, deep, lengths and resets": Call(DEEP, lengths=True, resets=True),
    "training, packed, no start": Call({"batch_first": True}, packed=True, start=False),
    "training, unbatched": Call(one=True),
    "training, checkpoint": Call({**DEEP, "checkpoint": 3}, lengths=True),
    "training, large, two threads": Call(size=LARGE, threads=2),
}


def cases() -> Iterator[tuple[str, Case]]:
    """Of each layer with each of its options."""
    for kind, own in OWN.items():
        some = ANY if kind in ("LSTM", "GRU") else (*ANY[:3], *ANY[-2:])
        for options in (*some, *own):
            for how, call in CALLS.items():
                yield f"{kind} {_written(options)}: {how}", partial(outcome, kind, call, **options)
    for kind in ("LSTM", "GRU"):
        call = Call(DEEP, dtype=torch.float64, lengths=True)
        yield f"{kind} options in float64: {_written(ANY[-1])}", partial(outcome, kind, call, **ANY[-1])
    for kind, options_of in FIRST.items():
        for options in (*VALUES, *options_of, *IDENTITY * (kind != "LSTM proj")):
            yield f"first values of {kind}: {_written(options)}", partial(first_values, kind, options)


def first_values(kind: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Parameters as the constructor draws them, and as `reset_parameters` draws them again."""
    layer = layer_of(kind, noise=0.0, num_layers=2, bidirectional=True, **options)
    found = {"layer": repr(layer), "state_dict": {name: t.clone() for name, t in layer.state_dict().items()}}
    layer.reset_parameters()
    return {**found, "again": layer.state_dict()}


def _written(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items()).replace(":", "=") or "torch"
