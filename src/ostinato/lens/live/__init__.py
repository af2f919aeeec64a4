"""The lens beside a training run: every n steps a report is written, and the first value that is not finite stops it."""

from .live import Live
from .logs import Log
from .measures import measures

__all__ = ["Live", "Log", "measures"]
