"""The one point where calls of layers are intercepted: a context variable that holds one record of roles.

A layer reads the variable once in a call. Two roles can be set, each by a context manager: `replaced` answers a call in
the place of the layer (the export to ONNX, the lens's detached calls), and `observed` passes what a call computes to
observers (`lens.watch`, `detect_anomaly`). Both hold in their own context: calls in other threads are not intercepted.
torch.compile cannot trace a context variable, so a call that it traces is not intercepted.

What a user can ask of torch is not repeated here: `TruncatedBPTT` uses torch's forward hooks. The seed of `pinned`
masks is an attribute of the layer, on which a graph of torch.compile can depend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from .observer import Observe

Answer = Callable[..., Any]
"""Called in the place of `Layer._sequence`, with its arguments: layer, x, state, lengths, resets, return_states."""
Replace = Callable[[Any], Answer | None]
"""A layer → the function that answers its calls; None where the layer itself runs."""


@dataclass(frozen=True, slots=True)
class Interception:
    """The roles that are set in a context."""

    replace: Replace | None = None
    observe: Observe | None = None


INTERCEPTION: ContextVar[Interception | None] = ContextVar("ostinato_interception", default=None)
"""None where nothing is intercepted."""


@contextmanager
def replaced(find: Replace) -> Iterator[None]:
    """Calls inside, of `forward` and of `step`, are answered by what `find` returns, else by what did so before."""
    outer = current().replace
    with _role("replace", find if outer is None else lambda layer: find(layer) or outer(layer)):
        yield


def not_replaced() -> AbstractContextManager[None]:
    """Calls inside run the layers themselves."""
    return _role("replace", None)


def observed(observe: Observe) -> AbstractContextManager[None]:
    """Calls inside are observed as `observe` says, and by nothing that was set outside."""
    return _role("observe", observe)


def not_observed() -> AbstractContextManager[None]:
    """Calls inside are not observed: trial calls, which are no part of a training step."""
    return _role("observe", None)


def current() -> Interception:
    """The roles of this context."""
    return INTERCEPTION.get() or Interception()


def _set(name: str, role: Any) -> None:
    now = current()
    replace, observe = (role, now.observe) if name == "replace" else (now.replace, role)
    INTERCEPTION.set(None if replace is None and observe is None else Interception(replace, observe))


@contextmanager
def _role(name: str, role: Any) -> Iterator[None]:
    """Sets one role, and sets it back: contexts of different roles need not end in the order in which they began."""
    before = getattr(current(), name)
    _set(name, role)
    try:
        yield
    finally:
        _set(name, before)
