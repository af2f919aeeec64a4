"""Chooses what runs a network on this machine."""

from __future__ import annotations

import torch

from ..execution import backends
from ..network import Network
from .runner import ReferenceRunner, Runner


def runner_of(network: Network, rows: int) -> Runner:
    """The compiled kernel; where this machine has none, the reference, with one warning for the process."""
    example = torch.empty(0, dtype=network.dtype, device="cpu")
    if not backends.compiled(example):
        backends.without_kernels(example)
        return ReferenceRunner(network, rows)
    from .kernel_runner import KernelRunner

    return KernelRunner(network, rows)
