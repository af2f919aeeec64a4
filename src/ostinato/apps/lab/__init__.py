"""Experiments about the founding claims of recurrent networks, run from start to end: which cell bridges which lag."""

from .experiment import Result
from .run import run
from .settings import Case, Settings, Variant

__all__ = ["Case", "Result", "Settings", "Variant", "run"]
