"""Streams: models that run step by step, with the state as an object of its own."""

from .open import stream
from .state import State
from .streams import Stream

__all__ = ["State", "Stream", "stream"]
