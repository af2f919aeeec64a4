"""The one tolerance of all numerical tests.

    error(a, b) = max|a - b| / (max|b| + 1e-5 · the largest value of that kind in the call)

The second term keeps a tensor that is nearly zero beside its siblings (the gradient of a weight that hardly matters)
from being held to digits that no arithmetic could give it. Kinds are outputs (with final states) and gradients.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

BOUNDS = {
    ("outputs", torch.float32): 1e-5,
    ("gradients", torch.float32): 1e-4,
    ("outputs", torch.float64): 1e-10,
    ("gradients", torch.float64): 1e-9,
}


WIDE = 2000
"""Input features from which on bounds grow in proportion: a product with x is one chain of so many additions."""


def bound(kind: str, dtype: torch.dtype, features: int = 0) -> float:
    """The bound of a kind of values in a number type, for layers with so many input features."""
    return BOUNDS[kind, dtype] * max(1.0, features / WIDE)


def error(found: Tensor, expected: Tensor, largest: float | None = None) -> float:
    """How far `found` is from `expected`, relative to the largest value of `expected`; inf where either holds a NaN.

    `largest` is the largest value of that kind in the call; without it, of `expected` alone.
    """
    assert found.shape == expected.shape, f"shape {list(found.shape)}, expected {list(expected.shape)}"
    if expected.numel() == 0:
        return 0.0
    found, expected = found.detach().to("cpu", torch.float64), expected.detach().to("cpu", torch.float64)
    difference, size = (found - expected).abs().max().item(), expected.abs().max().item()
    if difference == 0:
        return 0.0
    scale = size + 1e-5 * (size if largest is None else largest)
    return difference / scale if scale > 0 and difference == difference else float("inf")


def check(
    kind: str,
    found: Mapping[str, Tensor | None],
    expected: Mapping[str, Tensor | None],
    context: object = "",
    features: int = 0,
    exact: Mapping[str, Tensor | None] | None = None,
) -> None:
    """Every tensor of one call and one kind, by name; None (no gradient) must stand in the same places.

    kind is "outputs" or "gradients". The bound is that of the expected tensor's dtype, which the other must have too.
    features, the input features of the layer, widen it where they are many. exact, the same in higher precision: a sum
    that nearly cancels has few digits in any order of additions, so `found` may be as far from it as `expected`, twice.
    """
    assert list(found) == list(expected), f"{list(found)}, expected {list(expected)} {context}"
    values = [t for t in expected.values() if t is not None and t.numel()]
    largest = max((t.detach().abs().max().item() for t in values), default=0.0)
    for name, b in expected.items():
        a = found[name]
        assert (a is None) == (b is None), f"{kind} {name}: {a}, expected {b} {context}"
        if a is None or b is None:
            continue
        assert a.dtype == b.dtype, f"{kind} {name}: {a.dtype}, expected {b.dtype} {context}"
        e, most = error(a, b, largest), bound(kind, b.dtype, features)
        if e > most and exact is not None and (c := exact[name]) is not None:
            e, most = error(a, c, largest), max(most, 2 * error(b, c, largest))
        assert e <= most, f"{kind} {name}: error {e:.2e}, at most {most:.0e} {context}"
