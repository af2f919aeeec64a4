"""The main job: three cells learn to write the same text, compared with torch.nn and inspected."""

from .experiment import Outcome, Settings
from .run import run

__all__ = ["Outcome", "Settings", "run"]
