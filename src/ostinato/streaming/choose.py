"""Chooses what runs a network on this machine: for a stream, or once for a whole sequence."""

from __future__ import annotations

import torch
from torch import Tensor

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


def run_whole(network: Network, xs: Tensor) -> Tensor:
    """xs [T, C] of one row, or tokens int64 [T] → ys [T, O], for a network that runs on whole sequences too."""
    ys = torch.empty(len(xs), network.nodes[network.output].width, dtype=network.dtype)
    if not len(xs):
        return ys
    runner: Runner
    if backends.compiled(ys):
        from .kernel_runner import KernelRunner

        runner = KernelRunner(network, 1, steps=len(xs))
    else:
        backends.without_kernels(ys)
        runner = ReferenceRunner(network, 1)
    runner.reset(None)
    runner.run(xs.contiguous(), ys, len(xs))
    return ys
