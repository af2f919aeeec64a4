"""What truncated backpropagation cannot be right for is refused, and the message says why."""

import pytest
import torch
from torch import nn

import ostinato
from bptt.models import Model, stream
from ostinato.errors import InputError, ShapeError

X, _ = stream(12, 3)


@pytest.mark.parametrize(
    ("k1", "k2", "message"),
    [
        (0, 5, "k1 must be a whole number of steps, 1 or more, got 0. k1 is the steps between updates"),
        (4, 0, "k2 must be a whole number of steps, 1 or more, got 0"),
        (4, -3, "k2 must be .*, got -3"),
        (4.0, 5, r"k1 must be .*, got 4\.0"),
        (True, 5, "k1 must be .*, got True"),
    ],
)
def test_horizons(k1, k2, message):
    with pytest.raises(InputError, match=message):
        ostinato.TruncatedBPTT(Model(), k1, k2)


def test_other_wrong_arguments():
    with pytest.raises(InputError, match="batch_first must be True, False or None, got 'no'"):
        ostinato.TruncatedBPTT(Model(), 2, 3, batch_first="no")
    stream = ostinato.TruncatedBPTT(Model(), 2, 3)
    for state, absent in (({}, "k1"), ({"k1": 2, "k2": 3}, "steps")):
        message = f"state must be a saved position of a stream, got one without '{absent}'. Give what state_dict"
        with pytest.raises(InputError, match=message):
            stream.load_state_dict(state)


class Around(nn.Module):
    """A layer, or several, called as `call` says."""

    def __init__(self, call, **layers):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleDict(layers or {"one": ostinato.GRU(3, 5)})
        self.call = call

    def forward(self, x):
        return self.call(self.layers, x)


def gru(**options):
    return ostinato.GRU(3, 5, **options)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (torch.relu, "model must be a torch.nn.Module, got builtin_function_or_method"),
        (nn.Linear(3, 5), "model must be one with recurrent layers of ostinato, got none in Linear. ostinato.convert"),
        (Around(None, a=gru(), b=nn.LSTM(3, 5)), r"got torch.nn.LSTM in it. ostinato.convert\(model\) replaces"),
        (Around(None, a=gru(bidirectional=True)), "layer 'layers.a' must be one-directional, got bidirectional=True"),
        (gru(bidirectional=True), "the layer must be one-directional, got bidirectional=True. Its second direction"),
        (Around(None, a=gru(), b=gru(batch_first=True)), "batch_first must be given for this model, got None"),
    ],
)
def test_models_that_are_refused_at_once(model, message):
    with pytest.raises(InputError, match=message):
        ostinato.TruncatedBPTT(model, 4, 6)


def twice(layers, x):
    return layers["one"](x)[0] + layers["one"](x.flip(2))[0]


def by_steps(layers, x):
    state, found = None, []
    for x_t in x:
        y, state = layers["one"].step(x_t, state)
        found.append(y)
    return torch.stack(found)


def own_state(layers, x):
    return layers["one"](x, x.new_ones(1, x.shape[1], 5))[0]


def learned_elsewhere(layers, x):
    return layers["one"](x, state=x.new_zeros(1, x.shape[1], 5).requires_grad_())[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (twice, "layer 'layers.one' must be called once in a step, got a second call. A layer has one state"),
        (by_steps, "model must be one that calls its recurrent layers, got no call of any"),
        (own_state, "the state of layer 'layers.one' must be left out, got one that is not 0. Leave the state out"),
        (learned_elsewhere, "the state of layer 'layers.one' must be left out, got one that is not 0"),
        (
            lambda ls, x: ls["one"](x, lengths=[1, 4, 4])[0],
            "layer 'layers.one' must be called with rows of equal length, got lengths=",
        ),
        (
            lambda ls, x: ls["one"](nn.utils.rnn.pack_padded_sequence(x, [4, 4, 4]))[0].data,
            "must be called with rows of equal length, got a PackedSequence. TruncatedBPTT does not support",
        ),
        (lambda ls, x: ls["one"](x[::2])[0], r"must be of the 4 steps of the call along dimension 0, got \[2, 3, 3\]"),
        (lambda ls, x: ls["one"](x)[1][0], r"what the model returns must be one output for each of the 4 steps"),
        (lambda ls, x: ls["one"](x)[1], r"what the model returns must be .*, got \[1, 3, 5\]. The loss is taken at"),
    ],
)
def test_calls_that_are_refused(call, message):
    with pytest.raises((InputError, ShapeError), match=message):
        ostinato.TruncatedBPTT(Around(call), 4, 6)(torch.randn(4, 3, 3))


def attention(layers, x):
    y = layers["one"](x)[0].transpose(0, 1)
    return nn.functional.scaled_dot_product_attention(y, y, y).transpose(0, 1)


def causal_attention(layers, x):
    y = layers["one"](x)[0].transpose(0, 1)
    return nn.functional.scaled_dot_product_attention(y, y, y, is_causal=True).transpose(0, 1)


def convolved(layers, x):
    before = nn.functional.pad(x, (0, 0, 0, 0, 2, 0))
    return layers["one"](x + before[:-2])[0]


def numbered(layers, x):
    return layers["one"](x + torch.arange(len(x))[:, None, None])[0]


def cells_beside(layers, x):
    state, found = torch.zeros(x.shape[1], 5), []
    for x_t in x:
        state = layers["cell"](x_t, state)
        found.append(state)
    return layers["one"](x)[0] + torch.stack(found)


READERS = {
    "attention": (attention, "where its output at steps 3 to 5 changes with the steps before them"),
    "causal attention": (causal_attention, "its output at steps 3 to 5 changes with the steps before"),
    "what comes later": (lambda ls, x: ls["one"](x.cumsum(0).flip(0))[0], "the input of layer 'layers.one' at steps"),
    "a convolution": (convolved, "the input of layer 'layers.one' at steps 3 to 5 changes with the steps before"),
    "a mean": (lambda ls, x: ls["one"](x)[0] - x.mean(), "its output at steps 3 to 5 changes"),
    "the next output": (lambda ls, x: ls["one"](x)[0].roll(-1, 0), "its output at steps"),
    "batch normalisation": (
        lambda ls, x: ls["norm"](ls["one"](x)[0].flatten(0, 1)).view(*x.shape[:2], 5),
        "its output at steps 3 to 5 changes with .* batch normalisation in training",
    ),
    "a cell of torch's": (cells_beside, "its output at steps 3 to 5 changes with the steps before"),
    "the number of a step": (numbered, "the input of layer 'layers.one' depends on a step's index in the call"),
    "the final state": (
        lambda ls, x: ls["one"](x)[1].expand(len(x), -1, -1).clone(),
        "its output at steps 3 to 5 changes with the steps before",
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_model_that_reads_other_steps_by_itself(name):
    call, message = READERS[name]
    model = Around(call, one=gru(), norm=nn.BatchNorm1d(5), cell=nn.GRUCell(3, 5))
    tbptt = ostinato.TruncatedBPTT(model, 6, 9)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InputError, match=message):
        tbptt(torch.randn(6, 3, 3))
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_model_that_reads_other_steps_only_when_the_window_is_long():
    def dilated(layers, x):
        return layers["one"](x + nn.functional.pad(x, (0, 0, 0, 0, 5, 0))[:-5])[0]

    tbptt = ostinato.TruncatedBPTT(Around(dilated), 2, 12)
    with pytest.raises(InputError, match="changes with the steps before"):
        for x in tbptt.windows([torch.randn(30, 3, 3)]):
            tbptt(x)


def test_models_that_are_not_refused():
    def chaotic(layers, x):
        """Rounding grows a thousandfold over a window; it is no reading of other steps."""
        return layers["one"](x)[0]

    wild = ostinato.RNN(3, 40)
    with torch.no_grad():
        wild.weight_hh_l0.normal_().mul_(2.5 / 40**0.5)
    for model in (
        Around(chaotic, one=wild),
        Around(lambda ls, x: ls["norm"](ls["one"](x)[0]), one=gru(), norm=nn.LayerNorm(5)),
        Around(lambda ls, x: nn.functional.dropout(ls["one"](x)[0], 0.5), one=gru()).eval(),
        Around(
            lambda ls, x: ls["norm"](ls["one"](x)[0].flatten(0, 1)).view(*x.shape[:2], 5),
            one=gru(),
            norm=nn.BatchNorm1d(5),
        ).eval(),
    ):
        tbptt = ostinato.TruncatedBPTT(model, 6, 60)
        for x in tbptt.windows([torch.randn(120, 3, 3)]):
            tbptt(x)


@pytest.mark.parametrize(
    ("given", "resets", "message"),
    [
        (X[:5], None, r"a window must be of k1 = 4 new steps, got 5. windows\(stream\) cuts chunks of any size"),
        (X[:0], None, "the model's inputs must be tensors of one number of steps, 1 or more, .*got 0"),
        (
            torch.tensor(3),
            None,
            "the model's inputs must be tensors with time along dimension 0, got a tensor of 0",
        ),
        ("abc", None, "must be tensors with time along dimension 0, got tuple without a tensor"),
        (X[:4, :2], None, r"a window must be .*\[T, 3\] torch.int64.*, as the one before it, got .*\[T, 2\]"),
        (X[:4], torch.zeros(4, 3), r"resets must be a bool tensor \[4, 3\], got \[4, 3\] torch.float32"),
        (X[:4], torch.zeros(3, 3, dtype=torch.bool), r"resets must be a bool tensor \[4, 3\], got \[3, 3\] torch.bool"),
        (X[:4], [True], r"resets must be a bool tensor \[4, 3\], got \[True\]"),
    ],
)
def test_windows_that_do_not_fit(given, resets, message):
    tbptt = ostinato.TruncatedBPTT(Model(), 4, 6)
    tbptt(X[:4])
    with pytest.raises((InputError, ShapeError), match=message):
        tbptt(given, resets=resets)


def test_resets_given_twice():
    model = Around(lambda ls, x: ls["one"](x, resets=x[..., 0] > 9)[0])
    with pytest.raises(InputError, match="resets must be given once, got them twice. The model passes resets"):
        ostinato.TruncatedBPTT(model, 4, 6)(torch.randn(4, 3, 3), resets=torch.zeros(4, 3, dtype=torch.bool))


def test_after_a_short_window_the_stream_is_at_its_end():
    tbptt = ostinato.TruncatedBPTT(Model(), 4, 6)
    tbptt(X[:3])
    with pytest.raises(
        InputError,
        match=r"fewer than k1 steps, as the one before, got another window of the same stream. Call restart\(\)",
    ):
        tbptt(X[3:7])
    tbptt.restart()
    tbptt(X[3:7])


def test_chunks_that_do_not_fit():
    tbptt = ostinato.TruncatedBPTT(Model(), 4, 6)
    with pytest.raises(ShapeError, match=r"windows: a chunk must be tensors of one number of steps, .*got 5 and 4"):
        next(tbptt.windows([(X[:5], X[:4])]))
    tbptt = ostinato.TruncatedBPTT(Model(), 4, 6)
    with pytest.raises(InputError, match=r"a chunk must be .*\[T, 3\].*, as those before it, got .*\[T, 2\]"):
        list(tbptt.windows([(X[:3], X[:3]), (X[:3, :2], X[:3])]))


def test_a_state_of_another_kind():
    tbptt = ostinato.TruncatedBPTT(Model(), 4, 6)
    tbptt(X[:4])
    state = tbptt.state_dict()
    with pytest.raises(InputError, match="k2 must be 6, got 7. It was saved with k1 = 4 and k2 = 6"):
        ostinato.TruncatedBPTT(Model(), 4, 7).load_state_dict(state)
    other = Around(lambda ls, x: ls["one"](x)[0])
    with pytest.raises(InputError, match="recurrent layers 'low', 'high', got one without 'high'"):
        ostinato.TruncatedBPTT(other, 4, 6).load_state_dict(state)
