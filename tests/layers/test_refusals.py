"""What RNN, GRU, LSTM and Recurrent refuse: in torch's words where torch has some, else in four parts."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import ostinato
from layers.pairs import BATCH, FEATURES, HIDDEN, STEPS, pair
from ostinato.errors import InputError, OstinatoError, ShapeError

CONSTRUCTORS = [
    (("RNN", "GRU", "LSTM", "Recurrent"), {"input_size": 0}),
    (("RNN", "GRU", "LSTM", "Recurrent"), {"input_size": 2.0}),
    (("RNN", "GRU", "LSTM", "Recurrent"), {"hidden_size": -1}),
    (("RNN", "GRU", "LSTM", "Recurrent"), {"hidden_size": "7"}),
    (("RNN", "GRU", "LSTM", "Recurrent"), {"num_layers": 0}),
    (("RNN", "GRU", "LSTM", "Recurrent"), {"dropout": 1.5}),
    (("RNN", "GRU", "LSTM", "Recurrent"), {"dropout": 0.5}),
    (("RNN", "GRU", "LSTM", "Recurrent"), {"bias": 1}),
    (("RNN", "GRU", "LSTM", "Recurrent"), {"batch_first": 0}),
    (("LSTM", "Recurrent"), {"proj_size": -1}),
    (("LSTM", "Recurrent"), {"proj_size": 9}),
    (("RNN", "GRU"), {"proj_size": 2}),
    (("RNN",), {"nonlinearity": "sigmoid"}),
]


@pytest.mark.parametrize("kind, wrong", [(k, wrong) for kinds, wrong in CONSTRUCTORS for k in kinds])
def test_wrong_options_are_refused_in_torchs_words(kind, wrong):
    arguments = {"input_size": FEATURES, "hidden_size": HIDDEN, **wrong}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Exception) as expected:  # noqa: B017
            getattr(nn, "LSTM" if kind == "Recurrent" else kind)(**arguments)
        with pytest.raises(Exception) as found:  # noqa: B017
            if kind == "Recurrent":
                ostinato.Recurrent("lstm_projected", **arguments)
            else:
                getattr(ostinato, kind)(**arguments)
    assert type(found.value) is type(expected.value) and str(found.value) == str(expected.value)


def test_unknown_options_and_cells_are_refused():
    with pytest.raises(TypeError, match="layer_norms"):
        ostinato.GRU(3, 5, layer_norms=True)
    with pytest.raises(InputError, match="Recurrent: cell must be a cell or one of elman.*got 'gruu'"):
        ostinato.Recurrent("gruu", 3, 5)
    message = (
        "Recurrent: proj_size must be 0 for the cell gru, which has no projection V, got 2. Use a cell that has one"
    )
    with pytest.raises(InputError, match=message):
        ostinato.Recurrent("gru", 3, 5, proj_size=2)


def draw(data, *shape):
    return torch.randn(*shape, generator=data)


def wrong_calls(kind):
    """(label, input, hx) that torch refuses."""
    data = torch.Generator().manual_seed(0)
    x = draw(data, STEPS, BATCH, FEATURES)
    good = draw(data, 1, BATCH, HIDDEN)

    def state(h):
        return (h, h) if kind == "LSTM" else h

    yield "T=0", x[:0], None
    yield "features", x[..., 1:], None
    yield "dimensions", x[0, 0], None
    yield "four dimensions", x[None], None
    yield "dtype", x.double(), None
    yield "integers", x.long(), None
    yield "rows", x, state(good[:, 1:])
    yield "units", x, state(good[..., 1:])
    yield "layers", x, state(torch.cat([good, good]))
    yield "state of one row", x, state(good[:, 0])
    yield "unbatched x, batched state", x[:, 0], state(good)
    yield "state's dtype", x, state(good.double())
    yield "device", x.to("meta"), None
    yield "a list", x.tolist(), None
    yield "packed features", pack_sequence([x[:, 0, 1:]]), None
    yield "packed state", pack_sequence([x[:, 0]]), state(good)
    if kind == "LSTM":
        yield "three states", x, (good, good, good)


CRASHES = ("a list",)
"""Calls that torch does not check and fails in some other way."""


@pytest.mark.parametrize(
    "kind, label", [(k, c[0]) for k in ("RNN", "GRU", "LSTM") for c in wrong_calls(k) if c[0] not in CRASHES]
)
def test_wrong_calls_are_refused_in_torchs_words(kind, label):
    theirs, ours = pair(kind)
    x, hx = next((c[1], c[2]) for c in wrong_calls(kind) if c[0] == label)
    with pytest.raises(Exception) as expected:  # noqa: B017
        if kind == "LSTM" and "packed" in label:  # nn.LSTM does not check these, though it has the checks
            theirs.check_input(x.data, x.batch_sizes)
            theirs.check_forward_args(x.data, hx, x.batch_sizes)
        theirs(x, hx)
    with pytest.raises(Exception) as found:  # noqa: B017
        ours(x, hx)
    assert type(found.value) is type(expected.value)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_where_torch_only_crashes_the_message_is_ours(kind):
    with pytest.raises(InputError, match=r"x must be a tensor or a PackedSequence, got list. Write torch.as_tensor"):
        pair(kind)[1]([[[1.0] * FEATURES]])


def test_a_sparse_x_and_a_layer_as_a_cell_are_refused():
    x = torch.randn(4, 3, FEATURES).to_sparse()
    for layer, given in (
        (ostinato.GRU(FEATURES, HIDDEN), [[4, 2, 1]]),
        (ostinato.Recurrent("gru", FEATURES, HIDDEN), [None, [4, 2, 1]]),
    ):
        for lengths in given:
            with pytest.raises(
                InputError, match=r"x must be a dense tensor, got one of layout torch.sparse_coo. Write x"
            ):
                layer(x, lengths=lengths)
    with pytest.raises(InputError, match="cell must be a cell, got the module GRU. Give the cell of a layer"):
        ostinato.Recurrent(ostinato.GRU(FEATURES, HIDDEN), FEATURES, HIDDEN)


def test_a_state_that_is_no_tensor_is_refused_in_four_parts():
    with pytest.raises(
        InputError, match=r"LSTM: state must be a tuple of tensors \(h, c\), got int. Give what an earl"
    ):
        ostinato.LSTM(FEATURES, HIDDEN)(torch.randn(4, 3, FEATURES), 3)


MESSAGES = {
    "T=0": (ShapeError, "Recurrent: x must be of at least one step, got T = 0. Sequences without a step can stand in"),
    "features": (ShapeError, r"x must be of input_size = 4 features at the end, got a shape of \[5, 3, 3\]. Build"),
    "dimensions": (InputError, r"x must be \[T, B, C\] or \[T, C\], got 1 dimensions. One step goes to layer.step"),
    "four dimensions": (InputError, r"x must be \[T, B, C\] or \[T, C\], got 4 dimensions"),
    "dtype": (InputError, "x must be of the weights' number type, torch.float32, got torch.float64. Convert x"),
    "integers": (InputError, "x must be of the weights' number type, torch.float32, got torch.int64"),
    "rows": (ShapeError, r"state h must be of shape \[1, 3, 6\], got \[1, 2, 6\]. A state has one row for each layer"),
    "units": (ShapeError, r"state h must be of shape \[1, 3, 6\], got \[1, 3, 5\]"),
    "layers": (ShapeError, r"state h must be of shape \[1, 3, 6\], got \[2, 3, 6\]"),
    "state of one row": (ShapeError, r"state h must be of shape \[1, 3, 6\], got \[1, 6\]"),
    "unbatched x, batched state": (ShapeError, r"state h must be of shape \[1, 6\], got \[1, 3, 6\]"),
    "state's dtype": (InputError, "state h must be of the number type of x, torch.float32, got torch.float64. Convert"),
    "device": (InputError, "x must be on the weights' device, cpu, got meta. Move x with x.to"),
    "a list": (InputError, r"x must be a tensor or a PackedSequence, got list. Write torch.as_tensor\(x\)"),
    "packed features": (ShapeError, r"x must be of input_size = 4 features at the end, got a shape of \[5, 3\]"),
    "packed state": (ShapeError, r"state h must be of shape \[1, 1, 6\], got \[1, 3, 6\]"),
    "three states": (
        ShapeError,
        r"state must be a tuple of tensors \(h, c\), got 3 of them. Give what an earlier call",
    ),
}


@pytest.mark.parametrize("label", MESSAGES)
def test_wrong_calls_of_any_cell_are_refused_in_four_parts(label):
    layer = ostinato.Recurrent("lstm", FEATURES, HIDDEN)
    x, hx = next((c[1], c[2]) for c in wrong_calls("LSTM") if c[0] == label)
    kind, message = MESSAGES[label]
    with pytest.raises(kind, match=message):
        layer(x, hx)


def test_other_wrong_states_are_refused_in_four_parts():
    x = torch.zeros(STEPS, BATCH, FEATURES)
    good = torch.zeros(1, BATCH, HIDDEN)
    cases = [
        ("lstm", good, r"state must be a tuple of tensors \(h, c\), got Tensor"),
        ("lstm", (good, None), r"state must be a tuple of tensors \(h, c\), got tuple of Tensor, NoneType"),
        ("gru", (good,), "state must be a tensor, got tuple of Tensor"),
        ("gru", good.to("meta"), "state must be on the device of x, cpu, got meta. Move it"),
        ("gru", 3, "state must be a tensor, got int"),
    ]
    for cell, state, message in cases:
        with pytest.raises(OstinatoError, match=message):
            ostinato.Recurrent(cell, FEATURES, HIDDEN)(x, state)
    with pytest.raises(InputError, match=r"x must be \[B, T, C\] or \[T, C\], got 1 dimensions"):
        ostinato.Recurrent("gru", FEATURES, HIDDEN, batch_first=True)(x[0, 0])
    with pytest.raises(ShapeError, match=r"x must be packed rows \[R, C\], got 3 dimensions"):
        ostinato.Recurrent("gru", FEATURES, HIDDEN)(pack_sequence([x]))


def test_lengths_bring_four_part_messages_to_the_drop_ins():
    with pytest.raises(ShapeError, match="GRU: x must be of input_size = 4 features at the end"):
        ostinato.GRU(FEATURES, HIDDEN)(torch.zeros(STEPS, BATCH, 3), lengths=[1, 2, 3])


def test_wrong_steps_are_refused():
    message = (
        "GRU.step: the layer must be one-directional, got bidirectional=True. The second direction reads from the end"
    )
    with pytest.raises(InputError, match=message):
        ostinato.GRU(FEATURES, HIDDEN, bidirectional=True).step(torch.zeros(BATCH, FEATURES))
    layer = ostinato.Recurrent("gru", FEATURES, HIDDEN)
    with pytest.raises(
        InputError, match=r"Recurrent.step: x_t must be a tensor \[B, C\] or \[C\], got 3 dimensions. Give"
    ):
        layer.step(torch.zeros(1, BATCH, FEATURES))
    with pytest.raises(InputError, match=r"x_t must be a tensor \[B, C\] or \[C\], got list"):
        layer.step([1.0])
    with pytest.raises(ShapeError, match=r"state must be of shape \[1, 3, 6\], got \[3, 6\]"):
        layer.step(torch.zeros(BATCH, FEATURES), torch.zeros(BATCH, HIDDEN))


def test_scripts_are_refused():
    with pytest.raises(torch.jit.frontend.NotSupportedError, match="keyword-only arguments"):
        torch.jit.script(ostinato.GRU(3, 5))
