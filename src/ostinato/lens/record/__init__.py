"""What one watched training step looked like from inside: the record that `lens.watch` makes. Every number is measured.

Letters: T steps of a call, B rows of its batch, S states of a cell, H units of a state (P behind a projection), N runs,
K lags. A run is an unbroken row: a row of the batch up to its length, or a piece of it between two resets. Lag is
counted in steps back from a run's last step, in the order in which the steps were taken: for the second direction of a
bidirectional layer lag 0 is the row's first step. Tensors are on the CPU, float64; NaN stands past a row's end.
"""

from .gradient import GradientCurve, Probe, WeightGradients
from .numbers import LEVELS, half_life_steps, quantiles
from .report import Finding, LayerReport, Report
from .state import Carry, Gate, StateHealth
from .training import Clipping, WeightReport

__all__ = [
    "LEVELS",
    "Carry",
    "Clipping",
    "Finding",
    "Gate",
    "GradientCurve",
    "LayerReport",
    "Probe",
    "Report",
    "StateHealth",
    "WeightGradients",
    "WeightReport",
    "half_life_steps",
    "quantiles",
]
