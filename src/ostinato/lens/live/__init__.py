"""The lens during a training run: a report every n steps, and a stop at the first value that is not finite."""

from .early import EarlyWord
from .live import Live
from .logs import Log
from .measures import measures

__all__ = ["EarlyWord", "Live", "Log", "measures"]
