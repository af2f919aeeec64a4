"""Every private name of torch that is used here, each behind a function that says what it is for.

tests/test_torch_private.py tells what broke when a version of torch changes one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.autograd import forward_ad
from torch.utils import _pytree
from torch.utils._python_dispatch import _disable_current_modes


def functions_in_c() -> Any:
    """The namespace of functions that torch.fx records for torch.nn.functional's own, as softplus and leaky_relu."""
    return torch._C._nn


def functorch_active() -> bool:
    """Whether the caller runs under torch.func: grad, vmap, jvp and what is built from them."""
    return torch._C._are_functorch_transforms_active()


def transformed(tensors: Sequence[Tensor | None]) -> bool:
    """Whether the caller runs under torch.func or forward-mode differentiation, or a tensor stands for several at once.

    It does inside of torch.vmap, and of the older vmap that torch.autograd uses for `is_grads_batched=True` and
    `vectorize=True`, which `functorch_active` does not tell of.
    """
    c = torch._C
    if c._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return True
    older, newer = c._functorch.is_legacy_batchedtensor, c._functorch.is_batchedtensor
    for t in tensors:
        if t is not None and (older(t) or newer(t)):
            return True
    return False


def forward_ad_active() -> bool:
    """Whether a level of forward-mode differentiation is open (torch.autograd.forward_ad, torch.func.jvp)."""
    return forward_ad._current_level >= 0


def wrapped(t: Tensor) -> bool:
    """Whether t is a wrapper of torch.func, also one whose transform has ended, which has no storage of its own."""
    return torch._C._functorch.is_functorch_wrapped_tensor(t)


def dispatch_mode_active() -> bool:
    """Whether a mode sees every operation: fake tensors, make_fx, a counter, a user's TorchDispatchMode."""
    return torch._C._len_torch_dispatch_stack() > 0


def unobserved() -> bool:
    """Whether none of the three above is the case and nothing is traced by torch.jit: asked in every call, at once."""
    c = torch._C
    return not (
        c._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or c._len_torch_dispatch_stack()
        or c._is_tracing()
    )


@contextmanager
def untransformed() -> Iterator[None]:
    """New tensors serve later calls too: those made under torch.func are wrappers without storage once the transform
    has ended, those of FakeTensorMode have no values, and those of torch.inference_mode cannot be saved for backward.

    For tensors that are kept. torch.inference_mode, torch.func and dispatch modes are as before when the context ends.
    """
    with torch.inference_mode(False):
        if unobserved():
            yield
            return
        with temporarily_clear_interpreter_stack(), _disable_current_modes():
            yield


own_parameters: Callable[[nn.Module], dict[str, nn.Parameter | None]] = attrgetter("_parameters")
"""The parameters that a module itself holds, by name, without the microsecond that each attribute access takes."""


def own_modules(module: nn.Module) -> dict[str, nn.Module | None]:
    """The modules that a module itself holds, by name."""
    return module._modules


def wraps_compiled(module: nn.Module) -> bool:
    """Whether a module is what torch.compile returned for one: its class takes a second to import, so the name of its
    attribute is looked for."""
    return "_orig_mod" in module._modules


def compiler_loaded() -> bool:
    """Whether anything has been compiled with torch.compile in this process, or could have been."""
    return "torch._dynamo" in sys.modules


def current_flat_weights(layer: nn.RNNBase) -> Any:
    """The weights of a recurrent layer of torch.nn, a list of tensors as its own implementation takes them."""
    layer._update_flat_weights()
    return layer._flat_weights


def rnn_repr(layer: nn.Module) -> str:
    """The sizes and options of a recurrent layer in the words of torch.nn; the layer need not be one of torch.nn."""
    return nn.RNNBase.extra_repr(layer)  # type: ignore[arg-type]


def check_rnn_arguments(arguments: Sequence[Any]) -> None:
    """torch.nn's own checks of a recurrent layer's arguments, in their order there, from input_size to proj_size.

    A layer on the meta device is made for it: without storage nothing is drawn at random.
    """
    nn.RNNBase("RNN_TANH", *arguments, device="meta")  # type: ignore[misc]


def state_dict_metadata(destination: Any) -> dict[str, dict[str, Any]] | None:
    """The metadata of a state_dict, which torch.save keeps; None for a plain dict."""
    return getattr(destination, "_metadata", None)


def version(t: Tensor) -> int:
    """How often t, or a view of it, was changed in place."""
    return t._version


def tree_map(fn: Callable[[Any], Any], tree: Any) -> Any:
    """A tree of containers with `fn` applied to its leaves, as torch.export reads trees."""
    return _pytree.tree_map(fn, tree)


def plain_apply(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """`function.apply` outside of torch.func, for tensors of which none is `wrapped`.

    `apply` itself unwraps each of them in Python.
    """
    return super(torch.autograd.Function, function).apply  # type: ignore[misc]


def saved_tensor_hooks_active() -> bool:
    """Whether hooks of torch.autograd.graph.saved_tensors_hooks see what is saved now, as under
    torch.utils.checkpoint; torch then does not check whether it was changed in place. True where torch cannot tell."""
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)  # since torch 2.8
    return top is None or top(True) is not None


def forget_saved(ctx: Any, first: int) -> None:
    """From the backward of an autograd.Function: drops what it saved from number `first` on, so that `saved_tensors`
    checks only the others for changes in place. What was dropped reads as a tensor without entries."""
    for saved in ctx._raw_saved_tensors[first:]:
        saved.register_hooks(lambda t: None, lambda _: torch.empty(0, device="cpu"))


def is_changed_in_place(error: RuntimeError) -> bool:
    """Whether torch raised because a tensor that was saved for backward was changed in place since."""
    return "modified by an inplace operation" in str(error)


def inside_backward() -> bool:
    """Whether this thread is inside of a backward pass, as when a checkpoint runs a call again."""
    return inside_which_backward() != -1


def after_backward(call: Callable[[], None]) -> None:
    """From inside of a backward pass: `call` runs at its end, once all gradients stand in `.grad`.

    DistributedDataParallel puts means there by a callback of its own at the end of the pass. One that is asked for by a
    callback comes after all that were asked for during the pass.
    """
    queue = torch.autograd.Variable._execution_engine.queue_callback
    queue(lambda: queue(call))


def inside_which_backward() -> int:
    """The number of the backward pass that this thread is inside of; -1 outside."""
    return int(torch._C._current_graph_task_id())


def onednn_has_bfloat16() -> bool:
    """Whether torch.nn.LSTM runs bfloat16 in oneDNN on this processor; where not, it runs torch's own operations."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def below_autograd() -> AbstractContextManager[None]:
    """Operators called inside start below autograd, as an operator's own autograd implementation must call it."""
    return torch._C._AutoDispatchBelowAutograd()


def constant_result(fn: Callable[..., Any]) -> Callable[..., Any]:
    """fn, whose result torch.compile takes as a constant: torch.compiler.assume_constant_result,
    without the second that importing the compiler takes."""
    fn._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return fn


def same_kind(tensors: Sequence[Tensor], any_size: Container[int] = ()) -> Callable[..., bool] | None:
    """(other tensors) → whether each has the class, number type, device, shape, strides and dispatch keys of the one in
    its place, and no two are one tensor: the compiler's own check of a graph's inputs, less than a microsecond for all.

    any_size: the numbers of tensors of which only the count of dimensions is compared, and no shape and no strides.

    Dispatch keys tell of layouts, lazy negation and conjugation, zeros without memory, and the mode of autograd. False
    is no proof of a difference. None where torch has no such check any more: ask the public questions then.
    A nested tensor must not be given: torch raises a C++ exception then that nothing on the way to Python catches.
    """
    try:
        free = [k in any_size for k in range(len(tensors))]
        sizes: list[Any] = [[None] * t.dim() if any_ else [*t.shape] for any_, t in zip(free, tensors)]
        strides: list[Any] = [[None] * t.dim() if any_ else [*t.stride()] for any_, t in zip(free, tensors)]
        guards: Any = torch._C._dynamo.guards  # the stubs describe another call
        found: Any = guards.TensorGuards(*tensors, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides)
    except (AttributeError, TypeError):
        return None
    return found.check
