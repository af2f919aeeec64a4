"""The old name of `ostinato.apps.models`."""

from ._moved import moved

__getattr__ = moved("ostinato.models", "ostinato.apps.models")
