"""One file a task: its encoding, network, loss, predictions, metrics and baselines."""

from ..packages import require_program as _require_program

# Before the files of this folder import scikit-learn and scipy.
_require_program("ostinato.program")
