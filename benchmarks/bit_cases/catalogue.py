"""Every cell of the catalogue and two cells of a user: texts, first values, and calls on odd and on whole sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, clamp, exp, log, maximum, minimum, relu, sigmoid, sqrt, tanh, where
from torch.nn.functional import leaky_relu, softplus

import ostinato
from ostinato import clip_gradient, lens, mean, norm

from .digest import Case
from .made import LARGE, SMALL, Call, drawn, layer_of, outcome, start_of


@ostinato.cell
def operations(W, U, b, p, x, h, s):  # type: ignore[no-untyped-def]
    """Every operation of the notation."""
    a = W.a @ x + b.a + U.a @ h
    z = sigmoid(norm(W.z @ x) + p.z * (U.z @ (relu(h) - mean(h))))
    n = tanh(clip_gradient(W.n @ x - b.n, 0.3) / (1 + exp(clamp(-a, -2.0, 2.0))))
    e = softplus(a) * where(a >= n, leaky_relu(n, 0.2), minimum(a, n))
    s = 0.5 * s + log(1 + sqrt(e * e + 0.1)) * where(s < 0.4, 1.0, 0.7 * z)
    h = (1 - z) * n + z * maximum(h, 0.3 * s)
    return h, s


@ostinato.cell
def output_apart(W, U, b, x, h):  # type: ignore[no-untyped-def]
    """An output that is no state."""
    h = tanh(W.h @ x + b.h + U.h @ h)
    y = sigmoid(W.y @ x + U.y @ h)
    return y, h


CALLS = {
    "training": Call(),
    "inference": Call(grad=False, training=False),
    "training, no start, unbatched": Call(start=False, one=True),
    "training, lengths and resets": Call(lengths=True, resets=True),
    "training, two layers both ways": Call({"num_layers": 2, "bidirectional": True, "batch_first": True}),
    "training, large, two threads": Call(size=LARGE, threads=2),
    "training, large, lengths": Call(size=LARGE, lengths=True),
    "training, float64": Call(dtype=torch.float64),
}


def cases() -> Iterator[tuple[str, Case]]:
    """Of each cell by name."""
    known: dict[str, Any] = {**ostinato.cells.catalogue(), "operations": operations, "output_apart": output_apart}
    for name, cell in known.items():
        yield f"cell {name}: text", partial(texts, cell)
        yield f"cell {name}: first values", partial(first_values, cell)
        for how, call in CALLS.items():
            yield f"cell {name}: {how}", partial(outcome, cell, call)
        yield f"cell {name}: step", partial(stepped, cell)


def texts(cell: ostinato.Cell) -> Mapping[str, Any]:
    """What is written about a cell."""
    bare = cell.without_bias()
    nodes = lens.named_values(cell) if hasattr(lens, "named_values") else lens.named(cell)  # on older commits
    return {
        "text": cell.text,
        "without bias": bare.text,
        "read back": ostinato.Cell.from_text(cell.text).text,
        "equations": cell.equations,
        "latex": ostinato.cells.latex(cell),
        "description": str(ostinato.cells.describe(cell)),
        "parameters": list(cell.parameters(SMALL.features, SMALL.hidden, SMALL.projected).items()),
        "gates": cell.gates,
        "states": cell.states,
        "carries": lens.carry(cell),
        "names": [list(nodes.pre_activations), list(nodes.gates)],
    }


def first_values(cell: ostinato.Cell) -> Mapping[str, Any]:
    """Parameters drawn from a seed, their names and what is saved beside them."""
    layer = layer_of(cell, noise=0.0, num_layers=2, bidirectional=True)
    saved = layer.state_dict()
    return {"layer": repr(layer), "state_dict": saved, "metadata": {k: dict(v) for k, v in saved._metadata.items()}}


def stepped(kind: Any) -> Mapping[str, Any]:
    """Three single steps in a row, with gradients through them, and three of one sequence in inference."""
    layer = layer_of(kind, num_layers=2)
    state = start_of(layer, rows=[SMALL.rows])
    first = state
    for part in (first,) if isinstance(first, Tensor) else first:
        part.requires_grad_()
    outputs = []
    for k in range(3):
        output, state = layer.step(drawn(SMALL.rows, SMALL.features, seed=30 + k), state)
        outputs.append(output)
    sum((o * drawn(*o.shape, seed=40) for o in outputs), start=torch.zeros(())).sum().backward()
    found = {"outputs": outputs, "state": state, "gradients": {n: p.grad for n, p in layer.named_parameters()}}
    found["start gradients"] = [s.grad for s in ((first,) if isinstance(first, Tensor) else first)]
    state = None
    with torch.inference_mode():
        for k in range(3):
            output, state = layer.step(drawn(SMALL.features, seed=30 + k), state)
            found[f"alone {k}"] = [output, state]
    return found
