"""A stream of a model beside the model itself, on whole sequences and step by step."""

import torch

import ostinato
from tolerance import check

STEPS, ROWS = 6, 3
ORDERS = {"TBC": (0, 1, 2), "BTC": (1, 0, 2), "BCT": (1, 2, 0), "TB": (0, 1), "BT": (1, 0)}
"""Name of a layout → the order in which the axes of [T, B, C] are in it."""


def inputs(order, width, dtype=torch.float32, tokens=0, seed=0):
    """x in time-first order, [T, B, C], or tokens [T, B]."""
    generator = torch.Generator().manual_seed(seed)
    if "C" not in order:
        return torch.randint(tokens, (STEPS, ROWS), generator=generator)
    return torch.randn(STEPS, ROWS, width, dtype=dtype, generator=generator)


def expected(model, xs, order, pooled):
    """What the model returns, as [T, B, O]: for a pooled one, of the first t + 1 steps at step t."""
    model.eval()
    with torch.no_grad():
        given = [xs[: t + 1] for t in range(STEPS)] if pooled else [xs]
        found = [model(x.permute(ORDERS[order]).contiguous()) for x in given]
    found = [y[0] if isinstance(y, tuple) else y for y in found]
    if pooled:
        return torch.stack([y.reshape(ROWS, -1) for y in found])
    y = found[0]
    back = {"TBC": (0, 1, 2), "BTC": (1, 0, 2), "BCT": (2, 0, 1)}.get(getattr(model, "returns", order))
    if y.dim() == 2:
        return (y if order[0] == "T" else y.t()).unsqueeze(-1)
    return y.permute(back or ((0, 1, 2) if order[0] == "T" else (1, 0, 2)))


def agree(model, order, width=5, dtype=torch.float32, pooled=False, tokens=0):
    """Asserts that the stream of a model gives the model's values, in pieces of any length; returns the stream."""
    model = model.to(dtype)
    stream = ostinato.stream(model, rows=ROWS)
    xs = inputs(order, width, dtype, tokens)
    truth = expected(model, xs, order, pooled)
    whole = stream.push(xs)
    check("outputs", {"y": whole}, {"y": truth})
    stream.reset()
    pieces = torch.cat([stream.push(xs[:2]), stream.step(xs[2]).unsqueeze(0), stream.push(xs[3:])])
    assert torch.equal(pieces, whole)
    return stream
