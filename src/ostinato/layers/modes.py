"""Modules in eval mode inside a context, also where contexts of several threads overlap."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn

_lock = threading.Lock()
_held: WeakKeyDictionary[nn.Module, list[int]] = WeakKeyDictionary()
"""Modules that were in training → how many contexts hold them in evaluation now."""


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """`model` and all in it in eval mode; each module is put back as it was when the last of such contexts ends.

    The mode belongs to the module: another thread that trains the same model meanwhile trains it in eval mode.
    """
    modules = list(model.modules())
    with _lock:
        # One that another context holds has training=False, and is to be in training again after both.
        training = [module for module in modules if module.training or module in _held]
        for module in training:
            _held.setdefault(module, [0])[0] += 1
    try:
        model.eval()
        yield
    finally:
        with _lock:
            for module in training:
                _held[module][0] -= 1
                if not _held[module][0]:
                    del _held[module]
                    module.training = True
