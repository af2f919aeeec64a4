"""A linear map whose products have the same bits at any number of threads.

The BLAS of torch divides the sum of a product, such as a weight's gradient over many rows, among its threads: the order
of the additions, and with it the last bits, would depend on their number. Heads are small, so one thread computes them.

Letters: R rows, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@contextmanager
def one_thread() -> Iterator[None]:
    """torch's operations on one thread of this process."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _OnOneThread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        with one_thread():
            return F.linear(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        flat_dy, flat_x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
        with one_thread():
            dx = (dy @ weight) if ctx.needs_input_grad[0] else None
            dw = (flat_dy.T @ flat_x) if ctx.needs_input_grad[1] else None
            db = flat_dy.sum(0) if ctx.needs_input_grad[2] else None
        return dx, dw, db


class SteadyLinear(nn.Linear):
    """torch.nn.Linear: x [..., I] → [..., O], on the CPU computed by one thread, forward and backward.

    While torch traces, compiles or exports, and on other devices, it is torch.nn.Linear itself.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return super().forward(x)
        return _OnOneThread.apply(x, self.weight, self.bias)
