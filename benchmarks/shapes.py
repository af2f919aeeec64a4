"""The sizes that the benchmark times. A name never changes its meaning: results are compared across versions by it."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["LSTM", "GRU", "RNN tanh", "RNN relu"]


@dataclass(frozen=True)
class Shape:
    """One benchmark: a layer of `kind` with C = `features` inputs and H = `hidden` units, over T `steps` of B rows.

    Training is one forward pass and one backward pass with gradients in x and all weights; inference is one forward
    pass in inference mode.
    """

    kind: Kind
    training: bool
    steps: int
    batch: int
    features: int
    hidden: int

    @property
    def name(self) -> str:
        """Such as "LSTM train T100 B32 C128 H128"."""
        mode = "train" if self.training else "infer"
        return f"{self.kind} {mode} T{self.steps} B{self.batch} C{self.features} H{self.hidden}"


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
