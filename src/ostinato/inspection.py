"""The old name of `ostinato.apps.inspection`."""

from ._moved import moved

__getattr__ = moved("ostinato.inspection", "ostinato.apps.inspection")
