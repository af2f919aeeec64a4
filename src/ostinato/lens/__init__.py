"""What happens inside a recurrent network, measured. `ostinato.lens.pictures` draws it, and needs matplotlib."""

from .age import ByAge, by_age
from .diagram import Diagram, fold, unfold
from .evaluate import evaluate
from .history import Run, runs
from .jacobian import Jacobian, jacobian, step_jacobians
from .nodes import Nodes, carry, named
from .pascanu import Pascanu
from .reach import GradientByLag, gradient_by_lag
from .record import (
    Carry,
    Clipping,
    Finding,
    Gate,
    GradientCurve,
    LayerReport,
    Probe,
    Report,
    StateHealth,
    WeightGradients,
    WeightReport,
)
from .truncation import TruncationBias, truncation_bias
from .watch import Watch, watch

__all__ = [
    "ByAge",
    "Carry",
    "Clipping",
    "Diagram",
    "Finding",
    "Gate",
    "GradientByLag",
    "GradientCurve",
    "Jacobian",
    "LayerReport",
    "Nodes",
    "Pascanu",
    "Probe",
    "Report",
    "Run",
    "StateHealth",
    "TruncationBias",
    "Watch",
    "WeightGradients",
    "WeightReport",
    "by_age",
    "carry",
    "evaluate",
    "fold",
    "gradient_by_lag",
    "jacobian",
    "named",
    "runs",
    "step_jacobians",
    "truncation_bias",
    "unfold",
    "watch",
]
