"""What happens inside a recurrent network, measured. `ostinato.lens.pictures` draws it, and needs matplotlib."""

from .activations import ACTIVATIONS, Activation, sigmoid_again
from .age import ByAge, by_age
from .anomaly import detect_anomaly
from .diagram import Diagram, fold, unfold
from .evaluate import evaluate
from .gates import gate_values
from .history import Run, runs
from .jacobian import Jacobian, jacobian, step_jacobians
from .live import Live
from .matrix import GradientMatrix, gradient_matrix
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
    "ACTIVATIONS",
    "Activation",
    "ByAge",
    "Carry",
    "Clipping",
    "Diagram",
    "Finding",
    "Gate",
    "GradientByLag",
    "GradientCurve",
    "GradientMatrix",
    "Jacobian",
    "LayerReport",
    "Live",
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
    "detect_anomaly",
    "evaluate",
    "fold",
    "gate_values",
    "gradient_by_lag",
    "gradient_matrix",
    "jacobian",
    "named",
    "runs",
    "sigmoid_again",
    "step_jacobians",
    "truncation_bias",
    "unfold",
    "watch",
]
