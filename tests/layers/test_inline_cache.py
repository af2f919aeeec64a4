"""The inline cache of a layer's calls: its results, and every change that must end the use of an entry."""

import copy
import gc
import pickle

import pytest
import torch
from torch.nn.utils import parametrizations

import ostinato
from layers.cached_calls import KINDS, B, C, H, T, flat, same, states_of, uncached
from ostinato.kernels.system import openmp
from ostinato.layers import inline_cache


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_from_the_cache_has_the_bits_of_one_that_decides(kind, with_state, batch_first, hits):
    layer = KINDS[kind](batch_first=batch_first)
    shape = (B, T, C) if batch_first else (T, B, C)
    state = states_of(layer) if with_state else None
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            for _ in range(3):
                layer(torch.randn(shape), state)
            x = torch.randn(shape)
            hits.clear()
            found = flat(layer(x, state))
            assert len(hits) == 1
            same(found, flat(uncached(layer, x, state)))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_from_the_cache_have_the_bits_of_a_call_that_decides(kind, hits):
    layer = KINDS[kind]()

    def gradients(x, state, call=layer):
        x = x.clone().requires_grad_()
        result = flat(call(x, state))
        loss = sum((k + 1) * (r * r).sum() for k, r in enumerate(result))
        return [*result, *torch.autograd.grad(loss, [x, *layer.parameters()], allow_unused=True)]

    for _ in range(3):
        gradients(torch.randn(T, B, C), states_of(layer))
    x, state = torch.randn(T, B, C), states_of(layer)
    hits.clear()
    found = gradients(x, state)
    assert len(hits) == 1
    same(found, gradients(x, state, lambda *a: uncached(layer, *a)))


def test_states_are_given_and_left_out_in_turns(hits):
    layer, x, state = ostinato.GRU(C, H).requires_grad_(False), torch.randn(T, B, C), torch.randn(1, B, H)
    for _ in range(6):
        for start in (None, state):
            found = flat(layer(x, start))
            with torch.no_grad():
                same(found, flat(layer(x, torch.zeros(1, B, H) if start is None else state)))
    assert hits


def warm(layer, x=None, calls=3):
    x = torch.randn(T, B, C) if x is None else x
    for _ in range(calls):
        layer(x)
    return x


def test_weights_are_read_where_they_are(hits):
    layer = ostinato.LSTM(C, H).requires_grad_(False)
    x = warm(layer)
    for change in (
        lambda: layer.weight_ih_l0.mul_(2),
        lambda: setattr(layer, "weight_hh_l0", torch.nn.Parameter(torch.randn(4 * H, H), requires_grad=False)),
        lambda: layer.load_state_dict(ostinato.LSTM(C, H).state_dict()),
    ):
        change()
        hits.clear()
        found = flat(layer(x))
        assert hits
        same(found, flat(uncached(layer, x)))
        warm(layer)
    with torch.no_grad():
        other = {name: torch.randn_like(p) for name, p in layer.named_parameters()}
        found = flat(torch.func.functional_call(layer, other, (x,)))
        layer.load_state_dict(other)
        same(found, flat(uncached(layer, x)))


CHANGES = {
    "training": lambda layer: layer.train(not layer.training),
    "batch_first": lambda layer: setattr(layer, "batch_first", True),
    "double": lambda layer: layer.double(),
    "records": lambda layer: layer.requires_grad_(True),
    "checkpoint": lambda layer: setattr(layer.requires_grad_(True), "checkpoint", "sqrt"),
    "parametrized": lambda layer: parametrizations.weight_norm(layer, "weight_hh_l0"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_layer_that_has_changed_decides_again(name):
    layer = ostinato.GRU(T, H, recurrent_dropout=0.5 if name == "training" else 0.0).eval().requires_grad_(False)
    x = warm(layer, torch.randn(T, T, T))
    CHANGES[name](layer)
    x = x.to(layer.weight_ih_l0.dtype)
    torch.manual_seed(3)
    found = flat(layer(x))
    torch.manual_seed(3)
    same([t.detach() for t in found], [t.detach() for t in flat(uncached(layer, x))])
    assert found[0].requires_grad == (name in ("records", "checkpoint"))


@pytest.mark.parametrize("name", ["input_size", "hidden_size"])
def test_a_layer_of_other_sizes_refuses_what_it_would_refuse_without_the_cache(name):
    layer = ostinato.GRU(C, H)
    x = warm(layer)
    setattr(layer, name, 7)
    with pytest.raises(Exception) as cached:
        layer(x)
    with pytest.raises(type(cached.value)) as decided:
        uncached(layer, x)
    assert str(cached.value) == str(decided.value)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_other_inputs_get_the_answers_that_they_got_before():
    layer = ostinato.LSTM(C, H)
    x = warm(layer)
    state = torch.zeros(1, B, H)
    for wrong in (x[0, 0], x[:, :, :3], x.double(), torch.randint(3, x.shape), x.numpy()):
        with pytest.raises(Exception) as cached:
            layer(wrong)
        with pytest.raises(type(cached.value)) as decided:
            uncached(layer, wrong)
        assert str(cached.value) == str(decided.value)
        warm(layer, x)
    for wrong in (state, (state,), (state, state[:, :1]), (state, None), [state, state.double()], (state, "c")):
        with pytest.raises(Exception) as cached:
            layer(x, wrong)
        with pytest.raises(type(cached.value)) as decided:
            uncached(layer, x, wrong)
        assert str(cached.value) == str(decided.value)
        warm(layer, x)
    nested = torch.nested.nested_tensor([torch.randn(2, C), torch.randn(4, C)])
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        layer(nested)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x)[0].dtype is torch.bfloat16
    for view in (
        x.flip(0),
        x.transpose(0, 1).contiguous().transpose(0, 1),
        torch._neg_view(x),
        x[:, :1].expand(x.shape),
    ):
        same(flat(layer(view)), flat(uncached(layer, view.clone())))
        warm(layer, x)


def test_transforms_see_torchs_own_operations():
    layer = ostinato.GRU(C, H)
    x = warm(layer)

    def loss(x):
        return layer(x)[0].square().sum()

    expected = torch.autograd.grad(loss(x.requires_grad_()), x)[0]
    x = x.detach()
    torch.testing.assert_close(torch.func.grad(loss)(x), expected)
    torch.testing.assert_close(torch.func.vmap(lambda x: layer(x)[0])(x[None])[0], layer(x)[0])
    _, tangent = torch.func.jvp(loss, (x,), (torch.ones_like(x),))
    torch.testing.assert_close(tangent, expected.sum())
    left = []
    torch.func.grad(lambda x: (left.append(x), x.sum())[1])(x)
    for _ in range(4):  # a tensor that a transform has left behind
        torch.testing.assert_close(layer(left[0])[0].detach(), layer(x)[0].detach())
    y = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(loss(y), y, create_graph=True)
    assert torch.autograd.grad(first.sum(), y)[0].isfinite().all()


def test_results_that_change_in_place_and_inputs_that_do():
    layer = ostinato.LSTM(C, H)
    x = warm(layer).requires_grad_()
    warm(layer, x)

    def gradients(spoil):
        output, _ = layer(x)
        loss = (output * torch.arange(H)).sum()
        if spoil:
            with torch.no_grad():
                output.zero_()
        return torch.autograd.grad(loss, [x, *layer.parameters()])

    same(gradients(True), gradients(False))
    with torch.no_grad():
        output, _ = torch.enable_grad()(layer)(x)
        layer.weight_hh_l0.mul_(1.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_saved_tensor_hooks_may_not_change_a_size():
    """Also not in the first backward pass of a prepared call, which makes the plan of the later ones."""
    layer = ostinato.GRU(C, H)
    x = warm(layer)

    def hooked(back, loss):
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, back):
            output, state = layer(x)
        return torch.autograd.grad(loss(output, state), layer.weight_hh_l0)

    def last(output, state):
        return state.sum()

    for back in (lambda t: t[:1] if t.dim() == 3 else t, lambda t: t.bfloat16() if t.is_floating_point() else t):
        for loss in (last, lambda output, state: output.sum()):
            with pytest.raises(ostinato.errors.OstinatoError):
                hooked(back, loss)
    expected = torch.autograd.grad(last(*uncached(layer, x)), layer.weight_hh_l0)
    warm(layer, x)
    for back in (lambda t: t, lambda t: t.clone()):
        same(hooked(back, last), expected)


def test_steps_with_a_carried_state_use_the_cache(hits):
    layer, x = ostinato.GRU(C, H), torch.randn(1, 2, C)
    for mode in (torch.inference_mode, torch.enable_grad):
        for _ in range(6):
            with mode():
                hits.clear()
                state = None
                for _ in range(5):
                    _, state = layer(x, state)
        assert len(hits) == 5


def test_an_entry_ends_with_its_layer_and_is_not_copied():
    layer = ostinato.GRU(C, H).requires_grad_(False)
    x = warm(layer)
    key = (id(layer), False, False)
    assert inline_cache._ENTRIES[key].prepared is not None
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        same(flat(twin(x)), flat(layer(x)))
        assert set(vars(twin)) - {"__module__"} == set(vars(layer)) - {"__module__"} == set(vars(torch.nn.GRU(C, H)))
    del layer
    gc.collect()
    assert key not in inline_cache._ENTRIES


def test_threads_and_packed_weights_change_no_bit(hits):
    layer = ostinato.LSTM(256, 256).requires_grad_(False)
    x = torch.randn(20, 2, 256)
    expected = flat(uncached(layer, x))
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 1, 2):
            torch.set_num_threads(threads)
            for _ in range(3):
                same(flat(layer(x)), expected)
    finally:
        torch.set_num_threads(before)
    assert hits
    with ostinato.prepacked(layer):
        for _ in range(3):
            same(flat(layer(x)), expected)
    same(flat(layer(x)), expected)


def test_few_plans_are_kept_whatever_the_number_of_threads():
    layer = ostinato.GRU(C, H)
    x = warm(layer)
    for threads in range(1, 20):
        with openmp.kernel_threads(threads):
            layer(x)[0].sum().backward()
    prepared = inline_cache._ENTRIES[id(layer), False, False].prepared
    assert 0 < len(prepared._forward) <= 4 and 0 < len(prepared._backward) <= 4


def test_a_kind_whose_tensors_are_not_read_as_they_are_is_prepared_a_few_times_only(monkeypatch):
    made = []
    plain = inline_cache.prepare_call
    monkeypatch.setattr(inline_cache, "prepare_call", lambda *a: made.append(a) or plain(*a))
    layer, x = ostinato.GRU(C, H).requires_grad_(False), torch.randn(T, C, B).transpose(1, 2)
    for _ in range(20):
        layer(x)
    assert len(made) == inline_cache._MAX_PREPARED
