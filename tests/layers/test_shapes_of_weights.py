"""A parameter of another shape is refused by its name, also where it has the right count of numbers."""

import re

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import ostinato
from ostinato.errors import InputError, ShapeError

CALLS = {
    "direct": ({}, {}),
    "lengths": ({}, {"lengths": [3, 5]}),
    "general": ({"num_layers": 2, "bidirectional": True}, {}),
    "states": ({}, {"return_states": True}),
    "checkpoint": ({"checkpoint": 2}, {}),
}


@pytest.mark.parametrize("way", sorted(CALLS))
@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "mgu", "lstm_peephole"])
def test_every_parameter(name, learning, way):
    options, how = CALLS[way]
    make = getattr(ostinato, name, None) or (lambda *sizes, **more: ostinato.Recurrent(name, *sizes, **more))
    x = torch.randn(5, 2, 3)
    for parameter, p in make(3, 4, **options).named_parameters():
        layer = make(3, 4, **options)
        layer(x, **how)  # a call of the right shapes is no excuse
        for wrong in (p.detach().flip(0).reshape(p.shape[::-1]) if p.dim() > 1 else p.detach()[None], p.detach()[:-1]):
            setattr(layer, parameter, nn.Parameter(wrong))
            message = f"{name if hasattr(ostinato, name) else 'Recurrent'}: {parameter} must be of shape "
            message += f"{list(p.shape)}, got {list(wrong.shape)}. "
            if p.dim() > 1 and wrong.shape == p.shape[::-1] != p.shape:
                message += f"Write {parameter}.t() for a weight that is stored as [features, units]."
            elif wrong.shape != p.shape:
                message += "Give the layer a parameter of this shape, or build a layer of the sizes"
            if wrong.shape != p.shape:
                with torch.set_grad_enabled(learning), pytest.raises(ShapeError, match=re.escape(message)):
                    layer(x, **how)


def test_a_learned_start_of_one_number_is_not_spread_over_all_units():
    layer = ostinato.LSTM(3, 4, learn_initial_state=True)
    layer.initial_c_l0 = nn.Parameter(torch.zeros(1))
    with pytest.raises(ShapeError, match=re.escape("LSTM: initial_c_l0 must be of shape [4], got [1]. Give the layer")):
        layer(torch.randn(5, 2, 3))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.float64])
def test_batch_sizes_of_another_type_are_refused_in_torchs_words(kind, dtype):
    packed = pack_padded_sequence(torch.randn(6, 4, 3), [6, 3, 2, 1])
    wrong, said = PackedSequence(packed.data, packed.batch_sizes.to(dtype)), []
    for library in (nn, ostinato):
        with pytest.raises((RuntimeError, TypeError)) as found:
            getattr(library, kind)(3, 4)(wrong)
        said.append((type(found.value), str(found.value)))
    assert said[0] == said[1]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "mgu"])
@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda n: n.int(),
            "an int64 tensor [T] on the CPU, T at least 1, got torch.int32 [6] on cpu. Let pack_padded",
        ),
        (lambda n: n.double(), "an int64 tensor [T] on the CPU, T at least 1, got torch.float64 [6] on cpu"),
        (lambda n: n[:, None], "an int64 tensor [T] on the CPU, T at least 1, got torch.int64 [6, 1] on cpu"),
        (lambda n: n[:0], "an int64 tensor [T] on the CPU, T at least 1, got torch.int64 [0] on cpu"),
        (
            lambda n: n.flip(0),
            "rows for each step, never more than in the step before, 12 in all as data has them, got [1",
        ),
        (
            lambda n: n[:-1],
            "12 in all as data has them, got [4, 3, 2, 1, 1]. Let pack_padded_sequence or pack_sequence",
        ),
        (lambda n: torch.cat([n, -n[-1:]]), "12 in all as data has them, got [4, 3, 2, 1, 1, 1, -1]."),
    ],
)
def test_batch_sizes_that_are_none(kind, change, message):
    make = getattr(ostinato, kind, None) or (lambda *sizes: ostinato.Recurrent(kind, *sizes))
    layer, packed = make(3, 4), pack_padded_sequence(torch.randn(6, 4, 3), [6, 3, 2, 1])
    if kind != "mgu" and change(packed.batch_sizes).dtype != torch.int64:
        pytest.skip("torch has words of its own, which the test above compares")
    with pytest.raises((InputError, ShapeError), match=f"batch_sizes must be .*{re.escape(message)}"):
        layer(PackedSequence(packed.data, change(packed.batch_sizes)))
    expected = layer(packed)[0].data
    spaced = torch.stack([packed.batch_sizes, packed.batch_sizes], 1)[:, 0]
    assert torch.equal(layer(PackedSequence(packed.data, spaced))[0].data, expected)
    ended = torch.cat([packed.batch_sizes, torch.zeros(2, dtype=torch.int64)])
    assert torch.equal(layer(PackedSequence(packed.data, ended))[0].data, expected)


def learn(layer, x, change, twice=False, how=None):
    """Gradients where hooks give back `change(number of the tensor, tensor)`."""
    count = iter(range(1000))
    with saved_tensors_hooks(lambda t: t, lambda t: change(next(count), t)):
        found = layer(x, **(how or {}))
        output = found[0].data if isinstance(found[0], PackedSequence) else found[0]
    return torch.autograd.grad(output.square().sum(), list(layer.parameters()), create_graph=twice)


def only(which, change):
    return lambda k, t: change(t.detach()) if k == which else t


def saved(which, options=None, how=None, twice=False, change=None, T=6):
    layer = ostinato.LSTM(3, 4, **(options or {}))
    return learn(layer, torch.randn(T, 2, 3), only(which, change), twice, how)


@pytest.mark.parametrize("twice", [False, True])
def test_hooks_have_to_give_back_what_they_were_given(twice):
    """Without sizes and noise, the first saved tensor is x; then come two states, four weights, the output."""
    end = re.escape("Saved-tensor hooks have to give back what they were given; only its strides may be others.")
    with pytest.raises(
        ShapeError,
        match=rf"backward of the cell lstm: the saved x must be of shape \[6, 2, 3\], got \[5, 2, 3\]. {end}",
    ):
        saved(0, twice=twice, change=lambda t: t[:-1])
    for change, received in ((torch.Tensor.double, "float64 on cpu"), (lambda t: t.to("meta"), "float32 on meta")):
        expected = f"a saved tensor must be of torch.float32 on cpu, got torch.{received}"
        if not twice:
            dtype, device = received.split(" on ")
            expected = (
                r"weight_ih must be a dense tensor of torch.float32 on the CPU, "
                f"got torch.{dtype}, torch.strided, on {device}. Saved-tensor hooks have to give back"
            )
        with pytest.raises(InputError, match=expected):
            saved(3, twice=twice, change=change)
    expected = r"weight_ih must be of shape \[16, 3\], got \[3, 16\]"
    with pytest.raises(ShapeError, match=("the saved " if twice else "cell lstm: ") + expected):
        saved(3, twice=twice, change=lambda t: t.reshape(3, 16))
    with pytest.raises(ShapeError, match=r"state c must be of shape \[(1, )?2, 4\], got \[(1, )?1, 4\]"):
        saved(2, twice=twice, change=lambda t: t[:, :1])
    if twice:
        with pytest.raises(
            ShapeError, match="the saved tensors must be of the dimensions of a cell's states and weights"
        ):
            saved(1, twice=True, change=lambda t: t[0, 0, 0])


def test_hooks_of_sizes_and_of_boundaries():
    with pytest.raises(InputError, match="sizes must be an int64 tensor .* got torch.int32"):
        saved(0, how={"lengths": [3, 5]}, change=lambda t: t.int())
    with pytest.raises(ShapeError, match=r"checkpoint: a saved state must be of shape \[2, 2, 4\], got \[1, 2, 4\]"):
        saved(7, {"checkpoint": 3}, T=700, change=lambda t: t[:1])
