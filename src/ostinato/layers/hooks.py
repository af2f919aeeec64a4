"""Forward hooks for the calls of one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import nn

Before = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]
After = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], Any]


@contextmanager
def hooked(module: nn.Module, before: Before | None, after: After | None) -> Iterator[None]:
    """Calls of `module` inside, in this thread, run `before` and `after`, as torch's forward hooks with keywords.

    Calls in other threads do not run them.
    """
    handles = []
    try:
        if before is not None:
            handles.append(module.register_forward_pre_hook(_here_alone(before), with_kwargs=True))
        if after is not None:
            handles.append(module.register_forward_hook(_here_alone(after), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _here_alone(hook: Callable[..., Any]) -> Callable[..., Any]:
    own = get_ident()

    def run(*given: Any) -> Any:
        # torch registers in a second step that a hook takes keywords; until then another thread may call it without.
        # torch.compile cannot trace get_ident, and traces in the thread that calls.
        if torch.compiler.is_dynamo_compiling() or get_ident() == own:
            return hook(*given)
        return None

    return run
