"""The old name of `ostinato.apps.problems`."""

from ._moved import moved

__getattr__ = moved("ostinato.tasks", "ostinato.apps.problems")
