"""The old name of `ostinato.apps.training`."""

from ._moved import moved

__getattr__ = moved("ostinato.training", "ostinato.apps.training")
