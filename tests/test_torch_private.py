"""Each private name of torch that is used: what it must do, and what breaks when a version of torch changes it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import grad, jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from ostinato import _torch_private

SOURCES = Path(_torch_private.__file__).parent
PRIVATE = re.compile(
    r"torch\.(\w+\.)*_(?!_)|from torch[\w.]* import (\w+, )*_|torch[\w.]*\._(?!_)\w* import|RNNBase\.\w|nn\.RNNBase\("
    r"|(?<!ostinato)(?<=[\w\])])\._(all_weights|flat_weights|update_flat_weights|orig_mod|metadata|version|modules)\b"
    r"|(layer|module|model)\._(parameters|buffers)\b|\"(_orig_mod|_metadata|torch\._\w*)\""
)
"""What private names of torch look like in code: in its modules, on its classes, on instances of them."""


def private_names(text):
    """The private names of torch in code, comments and docstrings left out."""
    code = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
    return [m[0] for line in code.splitlines() if (m := PRIVATE.search(line.partition("#")[0]))]


def test_private_names_of_torch_are_used_in_one_file():
    found = {path: private_names(path.read_text(encoding="utf-8")) for path in SOURCES.rglob("*.py")}
    used = {path.relative_to(SOURCES).as_posix(): names for path, names in found.items() if names}
    assert len(used.pop("_torch_private.py")) > 15  # they are found
    assert used == {}


class Quiet(TorchDispatchMode):
    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        return operator(*args, **(kwargs or {}))


def test_functorch_is_noticed():
    """torch._C._are_functorch_transforms_active. Without it kernels would read the memory of wrapped tensors."""
    seen = []

    def look(x):
        seen.append(_torch_private.functorch_active())
        return x.sum()

    x = torch.ones(2, 3)
    look(x)
    assert seen.pop() is False
    for transform in (grad, vmap, lambda f: lambda x: jvp(f, (x,), (x,))):
        transform(look)(x)
        assert seen.pop() is True, f"{transform} is not noticed: layers would compute wrong values under torch.func"
    assert _torch_private.functorch_active() is False


def test_forward_mode_is_noticed():
    """torch.autograd.forward_ad._current_level. Without it derivatives in forward mode would be zero, silently."""
    assert _torch_private.forward_ad_active() is False
    with forward_ad.dual_level():
        assert _torch_private.forward_ad_active() is True, "forward mode is not noticed: tangents would be lost"
    assert _torch_private.forward_ad_active() is False


def test_dispatch_modes_are_noticed():
    """torch._C._len_torch_dispatch_stack. Without it modes and tracers would not see a layer at all."""
    assert _torch_private.dispatch_mode_active() is False
    with Quiet():
        assert _torch_private.dispatch_mode_active() is True, "modes are not noticed: layers would pass them by"
    with torch._subclasses.FakeTensorMode():
        assert _torch_private.dispatch_mode_active() is True, "fake tensors are not noticed: they have no memory"
    assert _torch_private.dispatch_mode_active() is False


def test_whatever_looks_on_is_noticed_at_once():
    """The three above and torch._C._is_tracing. Without it kernels would run unseen by a tracer or a mode."""
    found = []

    def look(x):
        found.append(_torch_private.unobserved())
        return x.sum()

    x = torch.ones(2, 3)
    look(x)
    assert found.pop() is True
    for transform in (grad, vmap, lambda f: lambda x: jvp(f, (x,), (x,))):
        transform(look)(x)
    with forward_ad.dual_level():
        look(x)
    with Quiet():
        look(x)
    torch.jit.trace(look, x, check_trace=False)
    assert found == [False] * 6
    assert _torch_private.unobserved() is True


def test_tensors_to_keep_are_made_outside_of_transforms_and_modes():
    """torch._functorch.pyfunctorch.temporarily_clear_interpreter_stack and torch.utils._python_dispatch
    ._disable_current_modes. Without them a layer would keep wrappers without storage or fake tensors for its next
    calls."""
    made = []

    def make(x):
        with _torch_private.untransformed():
            made.append(torch.zeros(2))
        assert _torch_private.unobserved() is not transformed, "what the caller runs under is lost"
        return x.sum()

    transformed, x = True, torch.ones(3, 2)
    grad(make)(x)
    vmap(grad(make))(x)
    jvp(make, (x,), (x,))
    with torch._subclasses.FakeTensorMode():
        make(torch.ones(2))
        assert type(torch.ones(2)) is not torch.Tensor
    with Quiet():
        make(x)
    transformed = False
    with torch.inference_mode():
        make(x)
        assert torch.ones(2).is_inference()
    assert len(made) == 6
    for t in made:
        assert type(t) is torch.Tensor and not _torch_private.wrapped(t) and not t.is_inference()
        assert t.untyped_storage().nbytes() == 8 and t.tolist() == [0, 0]


def test_below_autograd_nothing_is_recorded():
    """torch._C._AutoDispatchBelowAutograd. Without it the operator's autograd implementation would call itself."""
    x = torch.ones(2, requires_grad=True)
    with _torch_private.below_autograd():
        assert (x * 2).grad_fn is None, "the operator's autograd implementation would call itself without end"
    assert (x * 2).grad_fn is not None


def test_a_call_inside_of_a_backward_pass_is_known():
    """torch._C._current_graph_task_id. Without it a watch would take what a checkpoint runs again for another call."""
    seen, x = [], torch.ones(2, requires_grad=True)
    x.register_hook(lambda g: seen.append(_torch_private.inside_backward()))
    assert not _torch_private.inside_backward()
    x.sum().backward()
    assert seen == [True] and not _torch_private.inside_backward()


def test_a_callback_comes_after_those_that_were_asked_for_during_the_pass():
    """Variable._execution_engine.queue_callback. Without it clipping would be told from gradients of one process."""
    order, x = [], torch.ones(2, requires_grad=True)

    def first(g):
        _torch_private.after_backward(lambda: order.append("ours"))
        torch.autograd.Variable._execution_engine.queue_callback(lambda: order.append("theirs"))

    x.register_hook(first)
    x.sum().backward()
    assert order == ["theirs", "ours"], "gradients would be read before DistributedDataParallel has averaged them"


def test_bfloat16_in_onednn_is_known():
    """torch.ops.mkldnn._is_mkldnn_bf16_supported. Without it nn.LSTM's types under autocast would be guessed.

    From float32 states oneDNN returns c in bfloat16; torch's own operations promote it to float32.
    """
    states = torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, (_, c) = torch.nn.LSTM(3, 4)(torch.randn(5, 2, 3), states)
    assert c.dtype == (torch.bfloat16 if _torch_private.onednn_has_bfloat16() else torch.float32)


def test_a_constant_result_is_taken_as_it_is():
    """fn._dynamo_marked_constant. Without it the number types under autocast would be traced through a cell's graph."""

    def name(text):
        return {"a": 2.0}[str(text.encode().decode())]

    constant = _torch_private.constant_result(name)
    f = torch.compile(lambda x: x * constant("a"), backend="eager", fullgraph=True)
    assert torch.equal(f(torch.ones(2)), torch.full((2,), 2.0))


def test_import_does_not_bring_the_compiler():
    """torch.compiler's own decorators import torch._dynamo, a second of every start."""
    code = "import sys, torch; before = set(sys.modules); import ostinato; print(sorted(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in ("'torch._dynamo'", "'llvmlite'", "'matplotlib'", "'typer'"):
        assert name not in found, f"import ostinato imports {name}"


def test_tensors_of_one_kind_are_known_at_once():
    """torch._C._dynamo.guards.TensorGuards. Without it each call asks every tensor for its shape, type and layout."""
    t, p = torch.randn(2, 3), torch.nn.Parameter(torch.randn(3))
    same = _torch_private.same_kind([t, p])
    assert same is not None, "calls are slower by some microseconds; nothing else has changed"
    assert same(torch.randn(2, 3), p)
    others = (t.t(), t[:1], t.double(), torch._neg_view(t), torch._efficientzerotensor((2, 3)), t.to("meta"), p)
    assert not any(same(other, p) for other in others), "a tensor would be read as what it is not"
    with torch.inference_mode():
        assert not same(torch.randn(2, 3), p)
    any_size = _torch_private.same_kind([t, p], any_size=[0])
    assert any_size is not None and any_size(torch.randn(7, 4), p) and any_size(t.t(), p)
    others = (torch.randn(6), t.double(), torch._neg_view(t), torch._efficientzerotensor((2, 3)), t.to("meta"), p)
    assert not any(any_size(other, p) for other in others), "a tensor would be read as what it is not"
    assert not any_size(t, torch.nn.Parameter(torch.randn(4)))


def test_batched_tensors_are_noticed():
    """torch._C._functorch.is_legacy_batchedtensor. Without it kernels would read the memory of batched gradients."""
    seen = []

    class Look(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, d):
            seen.append((_torch_private.transformed([d]), _torch_private.functorch_active()))
            return d

    x = torch.ones(3, requires_grad=True)
    y = Look.apply(x)
    torch.autograd.grad(y, x, torch.ones(3), retain_graph=True)
    torch.autograd.grad(y, x, torch.eye(3), retain_graph=True, is_grads_batched=True)
    vmap(lambda d: torch.autograd.grad(y, x, d, retain_graph=True))(torch.eye(3))
    assert seen == [(False, False), (True, False), (True, True)], "layers would refuse batched gradients"


def test_wrappers_of_torch_func_are_noticed_after_it_has_ended():
    """torch._C._functorch.is_functorch_wrapped_tensor. Without it the storage of a wrapper would be asked for."""
    left, x = [], torch.ones(3)
    torch.func.grad(lambda x: (left.append(x), x.sum())[1])(x)
    assert _torch_private.wrapped(left[0]) and not _torch_private.wrapped(x)


def test_apply_without_the_search_for_wrappers_records_the_function():
    """torch.autograd.Function's own base. Without it a small training call takes some microseconds more."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, d):
            return 2 * d

    x = torch.ones(3, requires_grad=True)
    (found,) = torch.autograd.grad(_torch_private.plain_apply(Twice)(x).sum(), x)
    assert torch.equal(found, torch.full((3,), 2.0))


def test_hooks_of_saved_tensors_are_noticed():
    """torch._C._autograd._top_saved_tensors_default_hooks. Without it, a changed output under torch.utils.checkpoint
    would give wrong gradients, silently."""
    known = hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks")
    assert _torch_private.saved_tensor_hooks_active() is (not known)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        assert _torch_private.saved_tensor_hooks_active() is True


def test_saved_tensors_can_be_forgotten_one_by_one():
    """_raw_saved_tensors of an autograd.Function, and the words of torch's error. Without them an output that was
    changed in place would be refused."""
    read = []

    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, y := x.exp())
            return y

        @staticmethod
        def backward(ctx, d):
            try:
                read.append(ctx.saved_tensors)
            except RuntimeError as error:
                read.append(_torch_private.is_changed_in_place(error))
                _torch_private.forget_saved(ctx, 1)
            x, y = ctx.saved_tensors
            read.append((x, y.numel()))
            return d * x.exp()

    x = torch.ones(3, requires_grad=True)
    y = Exp.apply(x)
    y += 1
    torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert read[0] is True and read[1][0] is x and read[1][1] == 0
    torch.autograd.grad(y.sum(), x)
    assert len(read) == 4 and read[3][1] == 0
    try:
        torch.autograd.grad(y.sum(), x)
    except RuntimeError as error:
        assert not _torch_private.is_changed_in_place(error), "a graph that is freed would look like a changed output"


def test_the_modules_and_parameters_of_a_module_are_found():
    """module._parameters, _modules. Without them a small call would take a microsecond more for each weight."""
    linear = nn.Linear(2, 3)
    assert _torch_private.own_parameters(linear)["weight"] is linear.weight
    assert _torch_private.own_modules(nn.Sequential(linear)) == {"0": linear}


def test_what_torch_compile_returns_is_known_by_its_attribute():
    """_orig_mod. Without it reports would name layers as no user knows them."""
    linear = nn.Linear(2, 3)
    assert _torch_private.wraps_compiled(torch.compile(linear)) and not _torch_private.wraps_compiled(linear)
    assert _torch_private.compiler_loaded()


def test_flat_weights_are_those_that_were_set_last():
    """_update_flat_weights, _flat_weights. Without them torch's own layers would run with weights of the past."""
    layer = nn.GRU(2, 3)
    layer.weight_hh_l0 = nn.Parameter(torch.ones(9, 3))
    assert _torch_private.current_flat_weights(layer)[1] is layer.weight_hh_l0


def test_torchs_checks_of_a_layers_arguments_raise_its_errors():
    """nn.RNNBase without storage. Without it `Recurrent` would refuse in other words than torch.nn."""
    with pytest.raises(ValueError, match="hidden_size must be greater than zero"):
        _torch_private.check_rnn_arguments((2, 0, 1, True, False, 0.0, False, 0))
    before = torch.get_rng_state()
    _torch_private.check_rnn_arguments((2, 3, 1, True, False, 0.0, False, 0))
    assert torch.equal(before, torch.get_rng_state())


def test_torchs_words_for_a_layer():
    """nn.RNNBase.extra_repr. Without it a layer would print other options than torch.nn's."""
    assert _torch_private.rnn_repr(nn.GRU(2, 3, bidirectional=True)) == "2, 3, bidirectional=True"


def test_a_state_dict_has_metadata_and_a_dict_has_none():
    """state_dict()._metadata. Without it the order of gates would be lost where torch.save keeps it."""
    assert "" in _torch_private.state_dict_metadata(nn.Linear(2, 3).state_dict())
    assert _torch_private.state_dict_metadata({}) is None


def test_changes_in_place_are_counted():
    """t._version. Without it a changed output would give wrong gradients under saved-tensor hooks."""
    t = torch.zeros(3)
    before = _torch_private.version(t)
    t[:1].add_(1)
    assert _torch_private.version(t) == before + 1


def test_trees_are_mapped_leaf_by_leaf():
    """torch.utils._pytree. Without it dynamic_shapes could not follow nested arguments."""
    assert _torch_private.tree_map(lambda n: n + 1, {"a": [1, (2,)]}) == {"a": [2, (3,)]}


def test_functions_in_c_are_what_torch_fx_records():
    assert torch.nn.functional.softplus is _torch_private.functions_in_c().softplus
