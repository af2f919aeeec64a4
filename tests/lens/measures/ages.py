"""Layers, losses and gradients by age that several tests of by_age and truncation_bias compare."""

import torch

import ostinato
from ostinato.lens.measures.age_decomposition import AgeDecomposition

DOUBLE = torch.float64


def layer_of(cell, features=3, hidden=4, **options):
    torch.manual_seed(4)
    return ostinato.Recurrent(cell, features, hidden, **options).double()


def noise(*shape, seed=1):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def squares(x, **options):
    """A loss for each step in which every unit has a weight of its own."""

    def loss(model):
        output = model(x, **options)[0]
        return (output * torch.linspace(0.5, 1.5, output.shape[-1], dtype=DOUBLE)).square().sum(-1)

    return loss


def parts_by_age(model, loss):
    return [parts for _, parts in AgeDecomposition(model, loss, "test").by_age()]


def added(parts):
    return {name: sum(p[name] for p in parts) for name in parts[0]}


def whole(model, loss, names):
    model.zero_grad()
    loss(model).sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if name in names}
    model.zero_grad()
    return found
