"""The short way asks in one breath what `way` asks one by one; both must say the same."""

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import grad, jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from ostinato.execution.routing import KERNELS, straight, way


class Quiet(TorchDispatchMode):
    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        return operator(*args, **(kwargs or {}))


class Own(torch.Tensor):
    pass


def test_the_short_way_is_taken_where_way_says_kernels_and_nowhere_else():
    asked = []

    def ask(x):
        asked.append((straight([x, weight]), way([x, weight]) == KERNELS))
        return x.sum()

    x, weight = torch.ones(2, 3), nn.Parameter(torch.ones(3))
    ask(x)
    assert asked == [(True, True)]
    for transform in (grad, vmap, lambda f: lambda x: jvp(f, (x,), (x,))):
        transform(ask)(x)
    with forward_ad.dual_level():
        ask(x)
    with Quiet():
        ask(x)
    torch.jit.trace(ask, x, check_trace=False)
    ask(x.as_subclass(Own))
    assert asked[1:] == [(False, False)] * 7
    assert not straight([x, None])
