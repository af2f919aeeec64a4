"""What happens inside a recurrent network, measured. `ostinato.lens.pictures` draws it, and needs matplotlib."""

from .evaluate import evaluate
from .history import Run, runs
from .nodes import Nodes, carry, named
from .reach import GradientByLag, gradient_by_lag

__all__ = [
    "GradientByLag",
    "Nodes",
    "Run",
    "carry",
    "evaluate",
    "gradient_by_lag",
    "named",
    "runs",
]
