"""The folded and the unfolded picture of a model, as SVG, written here without another program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ....errors import InputError, phrase
from ....output_files import file_path, write_file
from .flow import Flow, alone, is_recurrent
from .folded import folded
from .tracing import trace
from .unfolded import unfolded

__all__ = ["Diagram", "fold", "unfold"]


@dataclass(frozen=True)
class Diagram:
    """A picture as SVG: `.svg` is the file's text, `.save(path)` writes it, and a notebook shows it by itself."""

    svg: str
    """The text of the file."""
    width: float
    """In pixels."""
    height: float
    """In pixels."""

    def save(self, path: str | Path) -> Path:
        """Writes the picture; `path` ends in .svg. Raises InputError for another ending."""
        file = file_path("Diagram.save", "path", path, (".svg",))
        write_file("Diagram.save", "path", file, self.svg)
        return file

    def _repr_svg_(self) -> str:
        return self.svg


def fold(model: nn.Module, *example: Any, title: str | None = None, **keywords: Any) -> Diagram:
    """The folded picture of a model: boxes for its layers, loops for its states, shapes [T, B, C] on the arrows.

        ostinato.lens.fold(ostinato.LSTM(64, 256))          # one recurrent layer needs no example
        ostinato.lens.fold(model, x, lengths=lengths)       # any other model by an example of its inputs

    example, keywords  the arguments of one call of the model. It runs once on them, in eval mode, which shows which
                       module reads which; weights, gradients, buffers and torch's random numbers stay as they were.
                       Boxes are the innermost modules that are called, in the order of their calls; sizes equal to the
                       example's number of steps and rows are written T and B
    title              by default the class's name

    A dashed arrow is a path that no gradient shows, such as one behind an argmax; it follows the order of the calls.
    Calls of `layer.step`, which is no call of a module, and functions without modules are not shown. Sizes are in
    pixels. Raises InputError for a model of several modules without an example, or without a recurrent layer.
    """
    flow = _flow("fold", model, example, keywords)
    return Diagram(*folded(flow, type(model).__name__ if title is None else title))


def unfold(model: nn.Module, *example: Any, steps: int = 4, title: str | None = None, **keywords: Any) -> Diagram:
    """The same model unfolded for a number of steps: a column for each, with the states passed between them.

    steps  how many; the other arguments as in `fold`. Shapes [B, C] are those of one step

    Raises InputError as `fold` does, and for a number of steps below 1.
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise InputError(phrase("unfold", "steps", "a whole number from 1 up", repr(steps), "Write steps=4."))
    flow = _flow("unfold", model, example, keywords)
    return Diagram(*unfolded(flow, type(model).__name__ if title is None else title, steps))


def _flow(where: str, model: nn.Module, example: tuple[Any, ...], keywords: dict[str, Any]) -> Flow:
    if not isinstance(model, nn.Module):
        raise InputError(phrase(where, "model", "a torch module", type(model).__name__))
    if example or keywords:
        return trace(model, example, keywords, where)
    if is_recurrent(model):
        return alone(model)
    remedy = f"Write lens.{where}(model, x): one run on x shows which module reads which."
    raise InputError(phrase(where, "example", "given for a model of several modules", "none", remedy))
