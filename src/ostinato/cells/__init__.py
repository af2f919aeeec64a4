"""What is computed: cells as their equations, the derivative of a step, the reference, the catalogue."""

from typing import Any

from .._renamed import renamed_names
from . import gate_layouts
from .catalogue import catalogue
from .cell import Cell, cell
from .describe import describe
from .latex import latex
from .lookup import as_cell
from .value import clip_gradient, mean, norm

__all__ = ["Cell", "as_cell", "catalogue", "cell", "clip_gradient", "describe", "latex", "mean", "norm"]


_OLD = {"vocabulary": ("gate_layouts", gate_layouts)}


def __getattr__(name: str) -> Any:
    known = catalogue()
    if name in known:
        return known[name]
    if name in _OLD:
        return renamed_names(__name__, _OLD)(name)
    raise AttributeError(f"ostinato.cells has no cell {name!r}; the catalogue holds {', '.join(known)}")


def __dir__() -> list[str]:
    return [*__all__, *catalogue()]
