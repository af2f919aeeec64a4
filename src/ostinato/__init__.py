"""Ostinato: recurrent networks for PyTorch, written as equations, compiled, with a lens that shows how far back they learn."""

from . import cells
from ._version import __version__
from .cells import Cell, cell, mean, norm

__all__ = ["Cell", "__version__", "cell", "cells", "mean", "norm"]
