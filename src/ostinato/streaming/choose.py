"""Chooses what runs a network on this machine: for a stream, or once for a whole sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from ..execution import backends
from ..network import Network
from .arguments import input_tensor, wrong_shape
from .runner import ReferenceRunner, Runner


def runner_of(network: Network, rows: int, steps: int | None = None) -> Runner:
    """The compiled kernel; where this machine has none, the reference, with one warning for the process.

    steps  how many the kernel computes together, node by node; by default what keeps its workspace small
    """
    example = torch.empty(0, dtype=network.dtype, device="cpu")
    if not backends.compiled(example):
        backends.without_kernels(example)
        return ReferenceRunner(network, rows)
    from .kernel_runner import KernelRunner

    return KernelRunner(network, rows, steps)


def run_whole(network: Network, xs: Tensor) -> Tensor:
    """xs [T, C] of one row, or tokens int64 [T] → ys [T, O], for a network that runs on whole sequences too."""
    given = input_tensor("run_whole", xs, network)
    inner = () if network.input.tokens is not None else (network.input.width,)
    if given.dim() != len(inner) + 1 or given.shape[1:] != inner:
        raise wrong_shape("run_whole", "xs", ("T", *inner), given)
    ys = torch.empty(len(given), network.nodes[network.output].width, dtype=network.dtype, device="cpu")
    if len(given):
        runner = runner_of(network, 1, len(given))
        runner.reset(None)
        runner.run(given, ys, len(given))
    return ys
