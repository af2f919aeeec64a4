"""The sizes that the benchmarks time. A name never changes its meaning: results are compared across versions by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from random import Random
from typing import Literal

Kind = Literal["LSTM", "GRU", "RNN tanh", "RNN relu"]
KINDS: tuple[Kind, ...] = ("LSTM", "GRU", "RNN tanh", "RNN relu")
GATES: dict[Kind, int] = {"LSTM": 4, "GRU": 3, "RNN tanh": 1, "RNN relu": 1}


@dataclass(frozen=True)
class Shape:
    """One benchmark: `kind` with C = `features` inputs and H = `hidden` units, over T `steps` of B rows.

    Training is one forward pass and one backward pass with gradients in x and all weights, and with `from_state` in
    the initial states too; inference is one forward pass in inference mode.
    """

    kind: Kind
    training: bool
    steps: int
    batch: int
    features: int
    hidden: int
    layers: int = 1
    directions: int = 1
    from_state: bool = False

    @property
    def name(self) -> str:
        """Such as "LSTM train T100 B32 C128 H128"; L2, D2 and "from state" follow where they are not the usual."""
        mode = "train" if self.training else "infer"
        more = f" L{self.layers}" * (self.layers > 1) + f" D{self.directions}" * (self.directions > 1)
        sizes = f"T{self.steps} B{self.batch} C{self.features} H{self.hidden}"
        return f"{self.kind} {mode} {sizes}{more}{' from state' if self.from_state else ''}"

    @property
    def flops(self) -> int:
        """Two for each multiply-add of the products: 2·T·B·(C + H)·G·H a layer and direction, in training 3 times."""
        inputs = [self.features, *[self.directions * self.hidden] * (self.layers - 1)]
        a_row = sum(2 * (c + self.hidden) * GATES[self.kind] * self.hidden * self.directions for c in inputs)
        return self.steps * self.batch * a_row * (3 if self.training else 1)

    @property
    def regime(self) -> str:
        """small, middle or large; "" between them."""
        if self.batch <= 4 and self.steps >= 20 and self.hidden <= 256:
            return "small"
        if 8 <= self.batch <= 32 and 32 <= self.hidden <= 200:
            return "middle"
        return "large" if self.hidden >= 256 and self.batch >= 32 and self.steps >= 40 else ""


INFER, TRAIN = False, True
SMALL_ROW, SMALL, MIDDLE, WIDE, LARGE = (
    (100, 1, 64, 64),
    (100, 4, 64, 64),
    (100, 32, 128, 128),
    (100, 32, 256, 256),
    (100, 64, 512, 512),
)

SHAPES = (
    Shape("LSTM", INFER, *SMALL_ROW),
    Shape("LSTM", INFER, *WIDE),
    Shape("LSTM", TRAIN, *SMALL),
    Shape("LSTM", TRAIN, *MIDDLE),
    Shape("LSTM", TRAIN, *LARGE),
    Shape("GRU", INFER, *SMALL_ROW),
    Shape("GRU", INFER, *WIDE),
    Shape("GRU", TRAIN, *SMALL),
    Shape("GRU", TRAIN, *MIDDLE),
    Shape("GRU", TRAIN, *LARGE),
    Shape("RNN tanh", INFER, *SMALL_ROW),
    Shape("RNN tanh", TRAIN, *MIDDLE),
    Shape("RNN tanh", TRAIN, *LARGE),
    Shape("RNN relu", INFER, *WIDE),
    Shape("RNN relu", TRAIN, *SMALL),
    Shape("RNN relu", TRAIN, *MIDDLE),
)

STEPS, ROWS, UNITS = (1, 20, 100, 400), (1, 4, 32, 64), (32, 64, 128, 256, 512)
GRID = tuple(
    Shape(kind, training, T, B, H, H, from_state=training)
    for kind, training, T, B, H in product(KINDS, (INFER, TRAIN), STEPS, ROWS, UNITS)
)
"""Every size of one layer in one direction, C = H; training also finds the gradients in the initial states."""

DEEPER = tuple(
    Shape(kind, training, T, B, H, H, layers, directions, training)
    for kind, training in product(KINDS, (INFER, TRAIN))
    for T, B, H, layers, directions in ((100, 4, 64, 2, 1), (100, 32, 128, 2, 2), (1000, 8, 64, 1, 1))
)
"""Two layers, both directions, and a thousand steps."""


def important_first(shapes: Sequence[Shape]) -> list[Shape]:
    """The three regimes and what is not of the grid first, kind by kind in turns, so that a part already says much.

    Within a group the order is drawn, always the same way, so that the first few are spread over the sizes.
    """
    grid = set(GRID)
    groups: dict[tuple[str, str, bool], list[Shape]] = {}
    for shape in shapes:
        where = shape.regime if shape in grid else "beside"
        groups.setdefault((where, shape.kind, shape.training), []).append(shape)
    for group in groups.values():
        Random(0).shuffle(group)
    found: list[Shape] = []
    for rest in (False, True):
        chosen = [group for (where, *_), group in groups.items() if (where == "") == rest]
        found += [shape for turn in zip_longest(*chosen) for shape in turn if shape is not None]
    return found
