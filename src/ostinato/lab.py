"""The old name of `ostinato.apps.lab`."""

from ._moved import moved

__getattr__ = moved("ostinato.lab", "ostinato.apps.lab")
