"""`choose_backend`: kernels run on plain tensors, where nothing has to see operators; nothing else is direct."""

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import grad, jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from ostinato.cells import catalogue
from ostinato.execution.dispatch import plan_call
from ostinato.execution.routing import KERNELS, OPERATOR, REFERENCE, choose_backend


class Quiet(TorchDispatchMode):
    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        return operator(*args, **(kwargs or {}))


class Own(torch.Tensor):
    pass


def test_modes_transforms_and_subclasses_are_each_told_from_plain_calls():
    asked = []

    def ask(x):
        asked.append(choose_backend([x, weight], x.dtype))
        return x.sum()

    x, weight = torch.ones(2, 3), nn.Parameter(torch.ones(3))
    ask(x)
    assert asked.pop() == KERNELS
    for transform in (grad, vmap, lambda f: lambda x: jvp(f, (x,), (x,))):
        transform(ask)(x)
    with forward_ad.dual_level():
        ask(x)
    assert asked == [REFERENCE] * 4
    asked.clear()
    with Quiet():
        ask(x)
    torch.jit.trace(ask, x, check_trace=False)
    ask(x.as_subclass(Own))
    assert asked == [OPERATOR] * 3
    assert choose_backend([x.to("meta")], x.dtype) == REFERENCE


def test_calls_of_one_kind_share_their_plan():
    cell, x = catalogue()["elman"], torch.ones(2, 3)
    plan = plan_call(cell, [x, x], False)
    assert plan.direct and plan is plan_call(cell, [x[:1], x[:1]], True)
    assert plan_call(cell, [x.double()] * 2, False) is not plan and plan_call(cell, [x.double()] * 2, False).direct
    half = plan_call(cell, [x.bfloat16()] * 2, False)
    assert not half.direct and half.dtype is torch.float32 and half.returned == (torch.bfloat16,) * 2
    with torch.autocast("cpu", torch.bfloat16):
        assert not plan_call(cell, [x, x], False).direct
