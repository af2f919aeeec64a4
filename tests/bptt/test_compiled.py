"""Compiled models, called before and after: streams through them are those of the model itself."""

import copy

import pytest
import torch
from torch import nn

import ostinato
from bptt.models import Model, cross_entropy, gradients, stream
from tolerance import check

pytestmark = pytest.mark.slow

X, Y = stream(8, 2)


def of_a_stream(model, wrapped):
    tbptt = ostinato.TruncatedBPTT(wrapped, 2, 4)
    model.zero_grad()
    losses = []
    for x, y in tbptt.windows([(X, Y)]):
        losses.append(cross_entropy(tbptt(x), y))
        losses[-1].backward()
    return {"losses": torch.stack(losses).detach()}, gradients(model)


class Calls(nn.Module):
    """A function that was compiled, inside of a model that was not."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.compiled = torch.compile(lambda ids: model(ids), backend="eager")

    def forward(self, ids):
        return self.compiled(ids)


def in_place(model):
    model.compile(backend="eager")
    return model


WAYS = {"wrapped": lambda m: torch.compile(m, backend="eager"), "in place": in_place, "a function": Calls}


@pytest.mark.parametrize("called_before", [False, True])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_stream_and_the_calls_around_it(way, called_before):
    torch._dynamo.reset()
    model = Model()
    losses, expected = of_a_stream(model, model)
    whole = model(X[:4])
    twin = copy.deepcopy(model)
    wrapped = way(twin)
    if called_before:
        for steps in (2, 4):
            wrapped(X[:steps])
    found_losses, found = of_a_stream(twin, wrapped)
    check("outputs", found_losses, losses)
    check("gradients", found, expected)
    check("outputs", {"y": wrapped(X[:4])}, {"y": whole})
