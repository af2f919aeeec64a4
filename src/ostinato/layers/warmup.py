"""`warmup`: compiles the kernels of a model before its first call."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from ..cells import Cell
from ..errors import InputError, phrase
from ..execution import backends
from .base import Layer
from .dropout import mask_cells

_HALF = (torch.bfloat16, torch.float16)


def warmup(model: nn.Module, *, training: bool = True, return_states: bool = False) -> int:
    """Compiles ahead for every layer of this package inside `model`; returns how many kernels were not in memory yet.

    A kernel serves all sizes, so no input is needed: only the layer's equations, in evaluation and in training, and the
    number type of its parameters (bfloat16 and float16 are computed in float32, and so is autocast). What is compiled
    goes to the cache folder ($OSTINATO_CACHE, else the user's cache folder) and is loaded from there by the next
    process of the same machine: called while an image is built, the image then starts without compiling, also where
    that folder is read-only.

    training       False leaves out what only a backward pass needs
    return_states  True adds the kernels of calls with return_states=True, which are kernels of their own

    Costs about as many compilations as the number returned, each up to a second, and a few milliseconds each when they
    are in the cache. Several are compiled side by side in threads of this process, as many as torch.get_num_threads();
    a forked process has one thread. The error of a kernel that cannot be compiled is raised here. Layers on other
    devices than the CPU have nothing to compile.
    """
    if not isinstance(model, nn.Module):
        raise InputError(
            phrase("warmup", "model", "a torch.nn.Module", type(model).__name__, "Give the model, not its weights.")
        )
    needs = dict.fromkeys(
        need for layer in model.modules() if isinstance(layer, Layer) for need in _needs(layer, training, return_states)
    )
    if not needs:
        return 0
    from ..kernels.runtime.precompile import Need, prepare

    return prepare([Need(*need) for need in needs])


def _needs(layer: Layer, training: bool, return_states: bool) -> Iterator[tuple[Cell, torch.dtype, bool, bool]]:
    """Cell, number type, training and histories of the kernels of one layer."""
    own = next(layer.parameters(), torch.empty(0, device="cpu"))
    if own.device.type != "cpu":
        return
    dtype = torch.float32 if own.dtype in _HALF else own.dtype
    example = torch.empty(0, dtype=dtype, device="cpu")
    if not backends.compiled(example):
        backends.without_kernels(example)
        return
    for cell in dict.fromkeys((layer.cell, *((layer._equations or ()) if training else ()))):
        yield cell, dtype, training, return_states
    for cell in mask_cells(layer.options) if training else ():
        yield cell, dtype, False, False
