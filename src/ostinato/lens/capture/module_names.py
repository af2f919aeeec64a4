"""The names of a model's modules and parameters as its user knows them, without those of wrappers."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from ..._torch_private import wraps_compiled


def modules_by_name(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """`model.named_modules()`, without what wrappers put into names: "rnn" for "module.rnn".

    Wrappers are DistributedDataParallel, DataParallel, and what torch.compile returns, anywhere in the model and inside
    of each other. A module of the user's own may be called "module".
    """
    wrappers: set[str] = set()
    for full, module in model.named_modules():
        if not wrappers:
            yield full, module
        else:
            parts = full.split(".")
            yield ".".join(part for k, part in enumerate(parts) if ".".join(parts[:k]) not in wrappers), module
        if isinstance(module, DistributedDataParallel | DataParallel) or wraps_compiled(module):
            wrappers.add(full)


def parameters_by_name(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """`model.named_parameters()` in the same way; a parameter that several modules share comes once for each."""
    for name, module in modules_by_name(model):
        for own, p in module.named_parameters(recurse=False):
            yield f"{name}.{own}".removeprefix("."), p
