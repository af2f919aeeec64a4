"""`MODULE:FUNCTION`: a function of the user's that returns a model, a batch and a loss."""

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ostinato.errors import InputError, phrase

from .saved import WHERE

_REMEDY = (
    "Write `def example(): return model, batch, loss`, where loss(model(*batch)) is a number to learn from, and name "
    "it my_file:example."
)


@dataclass(frozen=True)
class Example:
    """A model, what it is called with, and the loss of what it returns."""

    model: nn.Module
    batch: tuple[Any, ...]
    loss: Callable[[Any], Tensor]


def example(name: str) -> Example:
    """Imports `module:function`, from the current folder first, and calls the function without arguments."""
    module, _, function = name.partition(":")
    if not module or not function.isidentifier():
        raise InputError(phrase(WHERE, "MODEL", "a file, or MODULE:FUNCTION", repr(name), _REMEDY))
    value = getattr(_imported(module, name), function, None)
    if not callable(value):
        received = f"{name}, which is not there" if value is None else f"{name}, a {type(value).__name__}"
        raise InputError(phrase(WHERE, "MODULE:FUNCTION", "a function", received, _REMEDY))
    returned = value()
    if not isinstance(returned, tuple) or len(returned) != 3:
        received = f"{len(returned)} values" if isinstance(returned, tuple) else type(returned).__name__
        raise InputError(phrase(WHERE, f"what {name} returns", "(model, batch, loss)", received, _REMEDY))
    model, batch, loss = returned
    if not isinstance(model, nn.Module):
        raise InputError(phrase(WHERE, f"the model of {name}", "a torch module", type(model).__name__, _REMEDY))
    if not callable(loss):
        expected = "a function of the model's output"
        raise InputError(phrase(WHERE, f"the loss of {name}", expected, type(loss).__name__, _REMEDY))
    return Example(model, tuple(batch) if isinstance(batch, tuple | list) else (batch,), loss)


def loss_of(given: Example, name: str) -> Tensor:
    """The loss of one pass through the model, a single number with a gradient."""
    loss = given.loss(given.model(*given.batch))
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        received = (
            type(loss).__name__
            if not isinstance(loss, Tensor)
            else f"{'one without a gradient' if loss.numel() == 1 else f'a tensor of shape {list(loss.shape)}'}"
        )
        remedy = "End it with .mean() or .sum(), of what the model computed."
        raise InputError(phrase(WHERE, f"the loss of {name}", "a single number with a gradient", received, remedy))
    return loss.sum()


def _imported(module: str, name: str) -> Any:
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module that the user's own file misses is their error to read, with its traceback.
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise
        received = f"{name}, of which no module {error.name} is found from {here}"
        raise InputError(phrase(WHERE, "MODULE:FUNCTION", "a module that can be imported", received, _REMEDY)) from None
    finally:
        sys.path.remove(here)
