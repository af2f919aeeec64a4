"""Ways to call the torch-named layers: layouts of a batch, checkpoints, states, threads, and torch's transforms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import ostinato

from .catalogue import stepped
from .digest import Case
from .made import LARGE, SMALL, TORCH_NAMED, Call, Size, called, drawn, gradients, layer_of, outcome

DEEP = {"num_layers": 2, "bidirectional": True, "dropout": 0.3}
ROWS_FIRST = {"batch_first": True}

CALLS = {
    "training": Call(),
    "training, no start": Call(start=False),
    "training, no gradient asked": Call(grad=False),
    "inference": Call(grad=False, training=False),
    "inference, no start": Call(grad=False, training=False, start=False),
    "inference, lengths": Call(grad=False, training=False, lengths=True),
    "batch_first": Call(ROWS_FIRST),
    "unbatched": Call(one=True),
    "unbatched, resets": Call(one=True, resets=True),
    "deep": Call(DEEP),
    "deep, evaluation": Call(DEEP, training=False),
    "deep, lengths and resets": Call(DEEP, lengths=True, resets=True),
    "deep, batch_first, lengths": Call({**DEEP, **ROWS_FIRST}, lengths=True),
    "deep, packed": Call(DEEP, packed=True),
    "lengths": Call(lengths=True),
    "lengths, no start": Call(lengths=True, start=False),
    "lengths, batch_first": Call(ROWS_FIRST, lengths=True),
    "resets": Call(resets=True),
    "resets, no start": Call(resets=True, start=False),
    "lengths and resets": Call(lengths=True, resets=True),
    "lengths and resets, batch_first": Call(ROWS_FIRST, lengths=True, resets=True),
    "packed": Call(packed=True),
    "packed, resets": Call(packed=True, resets=True),
    "one step": Call(size=Size(1, 5, 11, 19, 6)),
    "one row": Call(size=Size(33, 1, 11, 19, 6)),
    "one row, two threads": Call(size=Size(33, 1, 48, 64, 24), threads=2),
    "one step, large, two threads": Call(size=Size(1, 32, 48, 256, 64), threads=2),
    "many steps": Call(size=Size(300, 3, 5, 9, 4)),
    "large": Call(size=LARGE),
    "large, inference, two threads": Call(size=LARGE, threads=2, grad=False, training=False),
    "large, deep, two threads": Call(DEEP, size=LARGE, threads=2),
    "large, deep, lengths and resets, two threads": Call(DEEP, size=LARGE, lengths=True, resets=True, threads=2),
}
CHECKPOINTS = {
    'checkpoint="sqrt"': ("sqrt", Call(DEEP)),
    "checkpoint=3": (3, Call(lengths=True, resets=True)),
    "checkpoint of a budget": ("1MB", Call(ROWS_FIRST, size=LARGE, lengths=True)),
    "checkpoint=4, large, two threads": (4, Call(DEEP, size=LARGE, threads=2)),
}
STATES = {
    "training": Call(return_states=True),
    "inference": Call(return_states=True, grad=False, training=False),
    "deep, lengths and resets": Call(DEEP, return_states=True, lengths=True, resets=True),
    "packed": Call(return_states=True, packed=True),
    "batch_first, checkpoint": Call({**DEEP, **ROWS_FIRST, "checkpoint": 2}, return_states=True),
}


def cases() -> Iterator[tuple[str, Case]]:
    """Of each torch-named layer."""
    for kind in TORCH_NAMED:
        for how, call in CALLS.items():
            yield f"{kind}: {how}", partial(outcome, kind, call)
        for how, (checkpoint, call) in CHECKPOINTS.items():
            yield f"{kind}: {how}", partial(outcome, kind, call, checkpoint=checkpoint)
        yield f"{kind}: step", partial(stepped, kind)
        yield f"{kind}: twice backward", partial(second_order, kind)
        yield f"{kind}: two passes over one graph", partial(two_passes, kind)
        yield f"{kind}: from torch.nn", partial(converted, kind)
        yield f"{kind}: half types", partial(half_types, kind)
        for how, call in STATES.items():
            yield f"{kind} states: {how}", partial(outcome, kind, call)
        yield (
            f"{kind} float64: deep, lengths and resets",
            partial(outcome, kind, Call(DEEP, dtype=torch.float64, lengths=True, resets=True)),
        )
        yield (
            f"{kind} float64: inference",
            partial(outcome, kind, Call(dtype=torch.float64, grad=False, training=False)),
        )
        for how, call in {"training": Call(), "deep, lengths": Call(DEEP, lengths=True)}.items():
            bare = replace(call, build={**call.build, "bias": False})
            yield f"{kind} bias=False: {how}", partial(outcome, kind, bare)
    yield "GRU transforms: torch.func", partial(transformed, "GRU")
    yield "LSTM transforms: torch.func", partial(transformed, "LSTM")


def second_order(kind: str) -> Mapping[str, Any]:
    """The gradient of a gradient's square, which runs through the reference."""
    layer = layer_of(kind)
    x = drawn(SMALL.steps, SMALL.rows, SMALL.features, seed=2).requires_grad_()
    output = layer(x)[0]
    (first,) = torch.autograd.grad(output, x, drawn(*output.shape, seed=100), create_graph=True)
    return {"first": first, **gradients(layer, {"square": first.square().sum()}, {"x": x})}


def two_passes(kind: str) -> Mapping[str, Any]:
    """Backward twice over one graph, from different upstream gradients."""
    layer = layer_of(kind)
    x = drawn(SMALL.steps, SMALL.rows, SMALL.features, seed=2).requires_grad_()
    output = layer(x, lengths=[7, 2, 0, 5, 1])[0]
    for seed in (100, 101):
        output.backward(drawn(*output.shape, seed=seed), retain_graph=True)
    return {"x": x.grad, **{name: p.grad for name, p in layer.named_parameters()}}


def converted(kind: str) -> Mapping[str, Any]:
    """torch.nn's layer inside a model, converted in place."""
    family, _, variant = kind.partition(" ")
    more = {"nonlinearity": variant} if family == "RNN" else {"proj_size": SMALL.projected} if variant else {}
    torch.manual_seed(7)
    rnn = getattr(nn, family)(SMALL.features, SMALL.hidden, 2, **more)
    model = nn.ModuleDict({"rnn": rnn, "cell": nn.GRUCell(2, 3)})
    report = ostinato.convert(model)
    return {"report": str(report), "keys": list(model.state_dict()), **called(model["rnn"], Call(lengths=True))}


def half_types(kind: str) -> Mapping[str, Any]:
    """bfloat16 and float16 weights, and autocast."""
    found: dict[str, Any] = {}
    for dtype in (torch.bfloat16, torch.float16):
        found |= {f"{dtype} {name}": t for name, t in outcome(kind, Call(dtype=dtype)).items()}
    with torch.autocast("cpu", torch.bfloat16):
        found |= {f"autocast {name}": t for name, t in outcome(kind, Call()).items()}
    return found


def transformed(kind: str) -> Mapping[str, Any]:
    """vmap over inputs, a tangent pushed forward, and per-sample gradients."""
    layer = layer_of(kind, Size(4, 2, 3, 5, 2))
    weights = {name: p.detach() for name, p in layer.named_parameters()}

    def run(x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, weights, (x,))[0]

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, weights, (x,))[0].square().sum()

    x, several = drawn(4, 2, 3, seed=2), drawn(3, 4, 2, 3, seed=4)
    return {
        "vmap": torch.func.vmap(run)(several),
        "jvp": torch.func.jvp(run, (x,), (drawn(4, 2, 3, seed=6),)),
        "per sample": torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, several),
    }
