"""Training in steps: truncated backpropagation along a stream, losses of sequences, and packed batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

import ostinato
from ostinato import packing

from .digest import Case
from .made import drawn, layer_of

REDUCTIONS = (
    "mean_over_tokens",
    "mean_over_sequences_of_sums",
    "mean_over_sequences_of_means",
    "mean_over_steps_of_sums",
    "mean_over_steps_of_means",
    "sum",
    "none",
)
STREAM = 23


class Head(nn.Module):
    """A recurrent layer below a linear one: x [T, B, 11] → [T, B, 3]."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.rnn = layer_of(kind, **options)
        self.head = nn.Linear(19, 3)
        with torch.no_grad():
            for k, parameter in enumerate(self.head.parameters()):
                parameter.copy_(0.3 * drawn(*parameter.shape, seed=80 + k))

    def forward(self, x: Tensor, **given: Any) -> Tensor:
        """The scores of every step."""
        found: Tensor = self.head(self.rnn(x, **given)[0])
        return found


def cases() -> Iterator[tuple[str, Case]]:
    """Truncated backpropagation with k1 below, above and at k2; losses; packing."""
    settings: dict[str, dict[str, Any]] = {
        "LSTM": {"num_layers": 2},
        "GRU": {"batch_first": True, "zoneout": 0.2},
        "RNN tanh": {"checkpoint": 2, "learn_initial_state": True},
    }
    for (kind, options), (k1, k2) in product(settings.items(), ((3, 8), (7, 3), (5, 5))):
        yield f"truncated {kind}: k1={k1}, k2={k2}", partial(truncated, kind, options, k1, k2)
    for kind in ("cross_entropy", "binary", "squared"):
        yield f"losses: {kind}", partial(losses, kind)
    yield "losses: packed batches", packed


def truncated(kind: str, options: Mapping[str, Any], k1: int, k2: int) -> Mapping[str, Any]:
    """A stream of chunks with resets, an update for each window; saved after the second window and resumed."""
    model = Head(kind, **options)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    tbptt = ostinato.TruncatedBPTT(model, k1, k2)
    x, y, resets = drawn(STREAM, 4, 11, seed=11), drawn(STREAM, 4, 3, seed=12), drawn(STREAM, 4, seed=13) > 1
    turned = [t.transpose(0, 1) if options.get("batch_first") else t for t in (x, y, resets)]
    time = int(bool(options.get("batch_first")))
    stream = list(zip(*(t.split([9, 4, STREAM - 13], time) for t in turned)))
    torch.manual_seed(5)
    outputs, grads, kept = [], [], None
    for number, (x_w, y_w, resets_w) in enumerate(tbptt.windows(stream)):
        optimiser.zero_grad()
        output = tbptt(x_w, resets=resets_w)
        (output - y_w).square().sum().backward()
        outputs.append(output)
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        optimiser.step()
        if number == 1:
            kept = {
                "states": tbptt.state_dict()["states"],
                "steps": tbptt.steps,
                "chunks": tbptt.state_dict()["supply"]["chunks"],
            }
    return {"outputs": outputs, "gradients": grads, "kept": kept, "weights": model.state_dict()}


def losses(kind: str) -> Mapping[str, Any]:
    """Each reduction with and without lengths, and its gradient."""
    found: dict[str, Any] = {}
    scores = drawn(7, 5, 4, seed=14)
    target = {
        "cross_entropy": drawn(7, 5, seed=15).abs().mul(2).long().clamp(max=3),
        "binary": drawn(7, 5, 4, seed=15).sigmoid(),
        "squared": drawn(7, 5, 4, seed=15),
    }[kind]
    own: dict[str, Any] = {"weight": drawn(4, seed=16).abs(), "label_smoothing": 0.1} if kind == "cross_entropy" else {}
    for reduction, lengths, more in product(REDUCTIONS, (None, [7, 3, 0, 5, 1]), ({}, own)):
        output = scores.clone().requires_grad_()
        loss = ostinato.sequence_loss(output, target, kind, reduction=reduction, lengths=lengths, **more)
        loss.sum().backward()
        found[f"{reduction}{' lengths' * bool(lengths)}{' weighed' * bool(more)}"] = [loss, output.grad]
    return found


def packed() -> Mapping[str, Any]:
    """Rows and offsets to a packed batch and back, and a layer on it."""
    rows, offsets = drawn(13, 11, seed=17), torch.tensor([0, 4, 5, 11, 13])
    batch = packing.from_offsets(rows, offsets)
    output, state = layer_of("GRU")(batch)
    return {"batch": batch, "back": packing.to_offsets(batch), "output": output, "state": state}
