"""What is computed: cells as their equations, the derivative of a step, the reference, the catalogue."""

from .catalogue import catalogue
from .cell import Cell, cell
from .describe import describe
from .latex import latex
from .lookup import as_cell
from .value import clip_gradient, mean, norm

__all__ = ["Cell", "as_cell", "catalogue", "cell", "clip_gradient", "describe", "latex", "mean", "norm"]


def __getattr__(name: str) -> Cell:
    known = catalogue()
    if name in known:
        return known[name]
    raise AttributeError(f"ostinato.cells has no cell {name!r}; the catalogue holds {', '.join(known)}")


def __dir__() -> list[str]:
    return [*__all__, *catalogue()]
