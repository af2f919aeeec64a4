"""What happens inside a recurrent network, measured. `ostinato.lens.pictures` draws it, and needs matplotlib."""

from .evaluate import evaluate
from .history import Run, runs
from .jacobian import Jacobian, jacobian, step_jacobians
from .nodes import Nodes, carry, named
from .pascanu import Pascanu
from .reach import GradientByLag, gradient_by_lag

__all__ = [
    "GradientByLag",
    "Jacobian",
    "Nodes",
    "Pascanu",
    "Run",
    "carry",
    "evaluate",
    "gradient_by_lag",
    "jacobian",
    "named",
    "runs",
    "step_jacobians",
]
