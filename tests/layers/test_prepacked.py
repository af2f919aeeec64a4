"""`prepacked`: the same bits from weights packed once, and packed again after torch has written one."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations

import ostinato
from ostinato.errors import InputError
from ostinato.kernels.runtime.prepacked import PREPACKED

LAYERS = {
    "lstm": lambda: ostinato.LSTM(5, 7),
    "wide lstm": lambda: ostinato.LSTM(40, 70),
    "projected lstm": lambda: ostinato.LSTM(5, 9, proj_size=3),
    "two gru, both directions": lambda: ostinato.GRU(20, 33, num_layers=2, bidirectional=True),
    "rnn float64": lambda: ostinato.RNN(6, 10, dtype=torch.float64),
    "lstm without bias, batch first": lambda: ostinato.LSTM(5, 7, bias=False, batch_first=True),
    "gru whose reset gate comes first": lambda: ostinato.Recurrent("gru_reset_before", 20, 33),
    "slstm": lambda: ostinato.Recurrent("slstm", 6, 12),
}
SIZES = ((1, 1), (1, 9), (3, 2), (20, 1), (40, 6), (2, 70))


def made(name):
    torch.manual_seed(0)
    return LAYERS[name]()


def inputs(layer, steps, batch):
    sizes = (batch, steps) if layer.batch_first else (steps, batch)
    generator = torch.Generator().manual_seed(steps + batch)
    dtype = next(layer.parameters()).dtype
    return torch.randn(*sizes, layer.input_size, generator=generator, dtype=dtype)


def flat(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(flat(a), flat(b), strict=True))


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", LAYERS)
def test_results_have_the_bits_of_calls_that_pack(name, threads):
    layer = made(name)
    with torch.no_grad():
        batches = [inputs(layer, *sizes) for sizes in SIZES]
        wanted = [layer(x) for x in batches]
        with ostinato.prepacked(layer):
            for _ in range(2):  # packs, then reads what was packed
                assert all(same(layer(x), right) for x, right in zip(batches, wanted))


def test_ragged_rows_and_states_have_the_bits_of_calls_that_pack():
    layer = made("two gru, both directions")
    x, lengths = inputs(layer, 12, 5), [3, 12, 1, 7, 12]
    with torch.inference_mode():
        wanted, states = layer(x, lengths=lengths), layer(x, return_states=True)
        with ostinato.prepacked(layer):
            for _ in range(2):
                assert same(layer(x, lengths=lengths), wanted)
                assert torch.equal(layer(x, return_states=True)[2], states[2])


def test_a_weight_written_in_place_is_packed_again(threads):
    layer = made("wide lstm")
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    for steps, batch in ((1, 9), (20, 2)):
        x = inputs(layer, steps, batch)
        with ostinato.prepacked(layer):
            with torch.no_grad():
                first = layer(x)
            layer(x)[0].square().mean().backward()
            optimiser.step()
            with torch.no_grad():
                second = layer(x)
        with torch.no_grad():
            assert same(second, layer(x))
        assert not same(first, second)


def test_weights_are_packed_once():
    """A write that no version counter tells of is not seen inside, as the docstring says, and is seen after it."""
    layer = made("lstm")
    x = inputs(layer, 20, 2)
    with torch.no_grad():
        with ostinato.prepacked(layer):
            first = layer(x)
            layer.weight_hh_l0.data.add_(1.0)
            assert same(layer(x), first)
        assert not same(layer(x), first)


def test_nothing_is_left_when_the_context_ends():
    layer = made("lstm")
    with ostinato.prepacked(layer), ostinato.prepacked(nn.Sequential(layer)):
        assert len(PREPACKED) == 1
    assert not PREPACKED


def test_training_calls_pack_as_ever():
    layer = made("wide lstm")
    x = inputs(layer, 6, 3)
    layer(x)[0].sum().backward()
    wanted = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    with ostinato.prepacked(layer):
        layer(x)[0].sum().backward()
    assert all(torch.equal(p.grad, right) for p, right in zip(layer.parameters(), wanted))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: nn.Linear(2, 3), "must be a module with recurrent layers of ostinato, got Linear without one"),
        (lambda: [made("lstm")], "got list without one"),
        (
            lambda: nn.Sequential(parametrizations.weight_norm(made("lstm"), "weight_hh_l0")),
            "0.weight_hh_l0 must be a parameter with a version counter, got a parametrization",
        ),
    ],
    ids=["no recurrent layer", "no module", "weight norm"],
)
def test_what_cannot_be_prepacked_is_refused(model, words):
    with pytest.raises(InputError) as error, ostinato.prepacked(model()):
        pass
    assert words in str(error.value)


def test_weights_without_version_counters_are_refused():
    with torch.inference_mode():
        layer = made("lstm")
    with pytest.raises(InputError, match="made under torch.inference_mode"), ostinato.prepacked(layer):
        pass


def test_weights_with_a_pending_sign_at_the_same_address_are_not_taken_for_the_layers_own():
    layer = made("wide lstm")
    x = inputs(layer, 6, 3)
    negative = {name: torch._neg_view(p.detach()) for name, p in layer.named_parameters()}
    with torch.no_grad():
        own, other = layer(x), functional_call(layer, negative, (x,))
        assert not same(own, other)
        with ostinato.prepacked(layer):
            for _ in range(2):
                assert same(functional_call(layer, negative, (x,)), other)
                assert same(layer(x), own)
