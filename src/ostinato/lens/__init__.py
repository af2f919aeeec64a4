"""What happens inside a recurrent network, measured. `ostinato.lens.pictures` draws it, and needs matplotlib."""

from .._renamed import renamed_names
from .anomaly import detect_anomaly
from .capture.evaluate import evaluate
from .capture.named_values import NamedValues, carry, named_values
from .capture.replay import LayerReplay, replay
from .live import EarlyWord, Live
from .measures.activations import ACTIVATIONS, Activation, sigmoid_again
from .measures.by_age import ByAge, by_age
from .measures.gate_values import gate_values
from .measures.gradient_by_lag import GradientByLag, gradient_by_lag
from .measures.gradient_matrix import GradientMatrix, gradient_matrix
from .measures.jacobian import Jacobian, jacobian, step_jacobians
from .measures.pascanu import Pascanu
from .measures.truncation_bias import TruncationBias, truncation_bias
from .render.diagram import Diagram, fold, unfold
from .report.data import Finding, LayerReport
from .report.gradients import GradientCurve, Probe, WeightGradients
from .report.states import Carry, Gate, StateHealth
from .report.training import Clipping, WeightReport
from .result import Report
from .watch import Watch, watch

# fmt: off
__all__ = [
    # A training step watched, and its report.
    "watch", "Watch", "Report", "LayerReport", "GradientCurve", "Probe", "WeightGradients", "Carry", "Gate",
    "StateHealth", "WeightReport", "Clipping", "Finding",
    # A training run watched, and stopped where numbers stop being finite.
    "Live", "EarlyWord", "detect_anomaly",
    # Gradients: by lag, over all pairs of steps, by age, and what a truncation loses.
    "gradient_by_lag", "GradientByLag", "gradient_matrix", "GradientMatrix", "by_age", "ByAge", "truncation_bias",
    "TruncationBias",
    # Jacobians of steps and of their products.
    "jacobian", "Jacobian", "step_jacobians", "Pascanu",
    # Values inside a layer and inside a step.
    "replay", "LayerReplay", "gate_values", "evaluate", "named_values", "NamedValues", "carry",
    # Activations.
    "ACTIVATIONS", "Activation", "sigmoid_again",
    # Diagrams of models.
    "fold", "unfold", "Diagram",
]
# fmt: on

__getattr__ = renamed_names(
    __name__,
    {
        "named": ("named_values", named_values),
        "runs": ("replay", replay),
        "Nodes": ("NamedValues", NamedValues),
        "Run": ("LayerReplay", LayerReplay),
    },
)
