"""A stream of a model beside the model itself, on whole sequences and step by step."""

import torch

from ostinato.network.reference import Reference
from ostinato.streaming.read import read
from tolerance import check

STEPS, ROWS = 7, 3
ORDERS = {"TBC": (0, 1, 2), "BTC": (1, 0, 2), "BCT": (1, 2, 0), "TB": (0, 1), "BT": (1, 0)}
"""Name of a layout → the order in which the axes of [T, B, C] are in it."""
BACK = {"TBO": (0, 1, 2), "BTO": (1, 0, 2), "BOT": (2, 0, 1)}
"""Name of an output's layout → the order that makes it [T, B, O]."""


def drawn(layout, width=5, dtype=torch.float32, tokens=0, seed=0):
    """Inputs [T, B, C], or tokens [T, B]."""
    generator = torch.Generator().manual_seed(seed)
    if "C" not in layout:
        return torch.randint(tokens, (STEPS, ROWS), generator=generator)
    return torch.randn(STEPS, ROWS, width, dtype=dtype, generator=generator)


def truth(model, xs, layout, output):
    """What a model in evaluation returns for whole sequences, as [T, B, O].

    output  TBO, BTO or BOT; BO for a value of the whole sequence, which is computed for the first t + 1 steps at step t
    """
    modes = [m.training for m in model.modules()]
    model.eval()
    with torch.no_grad():
        pieces = [xs[: t + 1] for t in range(len(xs))] if output == "BO" else [xs]
        found = [model(x.permute(ORDERS[layout]).contiguous()) for x in pieces]
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    found = [y[0] if isinstance(y, tuple) else y for y in found]
    if output == "BO":
        return torch.stack([y.reshape(xs.shape[1], -1) for y in found])
    y = found[0].reshape(*{"TBO": (*xs.shape[:2], -1), "BTO": (xs.shape[1], len(xs), -1)}.get(output, found[0].shape))
    return y.permute(BACK[output])


def agree(model, layout, output, width=5, tokens=0, dtypes=(torch.float32, torch.float64)):
    """Asserts that the network read from a model has the model's values, in pieces of any length; returns it."""
    for dtype in dtypes:
        model = model.to(dtype)
        network = read(model)
        xs = drawn(layout, width, dtype, tokens)
        reference = Reference(network)
        with torch.no_grad():
            whole, _ = reference.run(xs, reference.initial(ROWS))
            first, states = reference.run(xs[:2], reference.initial(ROWS))
            step, states = reference.step(xs[2], states)
            rest, _ = reference.run(xs[3:], states)
        check("outputs", {"y": whole}, {"y": truth(model, xs, layout, output)}, context=f"{layout} {dtype}")
        assert torch.equal(torch.cat([first, step.unsqueeze(0), rest]), whole)
        assert network.input.width == (1 if tokens else width)
    return network


class Made(torch.nn.Module):
    """A model of parts by name, with `rule(model, x)` as its forward."""

    def __init__(self, rule, **parts):
        super().__init__()
        self.rule = rule
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.rule(self, x)
