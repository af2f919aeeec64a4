"""The main job: three cells learn to write the same text, measured beside torch.nn and looked into."""

from .experiment import Outcome, Settings
from .run import run

__all__ = ["Outcome", "Settings", "run"]
