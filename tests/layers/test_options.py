"""Options of layers: the same masks on every way a call can go, off in evaluation, right in expectation, refused."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato
from ostinato.errors import InputError
from ostinato.execution import dispatch, routing
from ostinato.layers import dropout
from ostinato.layers.dropout import pinned
from tolerance import check

REGULARISED = {
    "lstm": {"recurrent_dropout": {"g": 0.25}, "zoneout": {"c": 0.5, "h": 0.05}, "input_dropout": 0.3},
    "gru": {"layer_norm": True, "recurrent_dropout": 0.3, "weight_dropout": 0.5, "clip_gradient": 0.1},
    "elman": {"activation": "prelu", "zoneout": 0.2, "clip_state": 0.7, "clip_gradient": 0.05},
    "lstm_projected": {"recurrent_dropout": 0.4, "zoneout": {"h": 0.3}, "layer_norm": True},
    "mingru": {"zoneout": 0.3, "recurrent_dropout": {"z": 0.5}, "input_dropout": 0.2},
}


def layer_of(name, seed=0, dtype=torch.float64, **more):
    torch.manual_seed(seed)
    projected = {"proj_size": 3} if name == "lstm_projected" else {}
    return ostinato.Recurrent(name, 4, 6, dtype=dtype, **projected, **REGULARISED[name], **more)


def results(layer, x, **call):
    """Output and final states by name, and every gradient by name."""
    x = x.detach().requires_grad_()
    output, state = layer(x, **call)
    outputs = {"output": output} | dict(zip(layer.cell.states, state if isinstance(state, tuple) else (state,)))
    scalar = sum((t * torch.linspace(-1, 1.3, t.numel(), dtype=t.dtype).view(t.shape)).sum() for t in outputs.values())
    leaves = {"x": x, **dict(layer.named_parameters())}
    return outputs, dict(zip(leaves, torch.autograd.grad(scalar, list(leaves.values()), allow_unused=True)))


def agree(found, expected):
    check("outputs", found[0], expected[0])
    check("gradients", found[1], expected[1])


def same_bits(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert all(torch.equal(a[k], b[k]) for k in b)


@pytest.fixture
def by_reference(monkeypatch):
    """Switches the reference on: every call then runs the equations in plain torch."""

    def switch():
        monkeypatch.setattr(dispatch, "choose_backend", lambda *_: routing.REFERENCE)

    yield switch
    monkeypatch.undo()


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_kernels_draw_what_the_reference_draws(data):
    name = data.draw(st.sampled_from(sorted(REGULARISED)))
    layers, both = data.draw(st.sampled_from([(1, False), (2, True)]))
    steps, rows = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    lengths = data.draw(st.none() | st.lists(st.integers(0, steps), min_size=rows, max_size=rows).filter(any))
    layer = layer_of(name, num_layers=layers, bidirectional=both)
    x = torch.randn(steps, rows, 4, dtype=torch.float64)
    with pinned(layer, data.draw(st.integers(-(2**63), 2**63 - 1)), data.draw(st.integers(0, 5))):
        found = results(layer, x, lengths=lengths)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dispatch, "choose_backend", lambda *_: routing.REFERENCE)
            expected = results(layer, x, lengths=lengths)
    agree(found, expected)


@pytest.mark.parametrize("name", sorted(REGULARISED))
def test_repeatable_from_torchs_generator_and_off_in_evaluation(name):
    layer, x = layer_of(name, num_layers=2), torch.randn(5, 3, 4, dtype=torch.float64)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(results(layer, x))
    same_bits(drawn[0], drawn[1])
    assert not torch.equal(drawn[0][0]["output"], drawn[2][0]["output"])
    layer.eval()
    before = torch.get_rng_state()
    once, again = layer(x)[0], layer(x)[0]
    assert torch.equal(once, again) and torch.equal(before, torch.get_rng_state())
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copied(x)[0], once) and copied.active_cell == layer.active_cell
        assert copied.train().active_cell == layer.train().active_cell != layer.eval().active_cell
    if not {"layer_norm", "clip_state", "activation", "zoneout"} & set(REGULARISED[name]):
        assert torch.equal(ostinato.Recurrent(name, 4, 6, num_layers=2).double()(x)[0], once)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_checkpointed_segments_have_the_same_masks(name):
    layer = layer_of(name, bidirectional=True, dtype=torch.float32)
    x = torch.randn(40, 200, 4)  # blocks of two steps
    with pinned(layer, 3):
        whole = results(layer, x)
        layer.checkpoint = 5
        same_bits(results(layer, x), whole)


def test_lengths_resets_and_packing_keep_a_rows_masks():
    layer, x = layer_of("lstm"), torch.randn(6, 4, 4, dtype=torch.float64)
    lengths, resets = torch.tensor([2, 6, 0, 4]), torch.zeros(6, 4, dtype=torch.bool)
    resets[3, 1] = True
    packed = torch.nn.utils.rnn.pack_padded_sequence(x[:, [0, 1, 3]], [2, 6, 4], enforce_sorted=False)
    with pinned(layer, 9):
        dense, ragged = layer(x)[0], layer(x, lengths=lengths)[0]
        cut = layer(x, lengths=lengths, resets=resets)[0]
        rows = torch.nn.utils.rnn.pad_packed_sequence(layer(packed)[0])[0]
        rest = layer(x[:, [0, 1, 3]], lengths=lengths[[0, 1, 3]])[0]
    for row, n in enumerate(lengths.tolist()):
        assert torch.equal(ragged[:n, row], dense[:n, row]) and not ragged[n:, row].any()
    assert torch.equal(cut[:3], ragged[:3]) and torch.equal(cut[:, 3], ragged[:, 3])
    assert not torch.equal(cut[3:, 1], ragged[3:, 1])
    assert torch.equal(rows, rest)


def test_a_pinned_call_can_be_run_in_parts():
    layer, x = layer_of("lstm"), torch.randn(7, 3, 4, dtype=torch.float64)
    with pinned(layer, 4):
        whole, _ = layer(x)
        first, state = layer(x[:3])
    with pinned(layer, torch.tensor(4), first_step=3):
        second, _ = layer(x[3:], state)
    assert torch.equal(whole, torch.cat([first, second])) and layer._pinned is None


@pytest.mark.parametrize("name", ["lstm", "gru", "elman"])
@pytest.mark.slow
def test_gradients_are_those_of_the_drawn_function(name):
    """First and second derivatives in float64; a clamped gradient is no derivative of the output and stays out."""
    told = {k: v for k, v in REGULARISED[name].items() if k != "clip_gradient"}
    torch.manual_seed(1)
    layer = ostinato.Recurrent(name, 2, 3, dtype=torch.float64, **told)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

    def drawn(x, *_):
        with pinned(layer, 5):
            return layer(x)[0]

    assert torch.autograd.gradcheck(drawn, (x, *layer.parameters()))
    assert torch.autograd.gradgradcheck(drawn, (x, *layer.parameters()))


def test_double_backward_through_a_clamped_gradient():
    """∂/∂x of the clamped first gradients, kernels below, against the reference all the way.

    The loss is linear: what comes back through the gradient of the output would be clamped by itself.
    """
    layer, x = layer_of("gru"), torch.randn(4, 2, 4, dtype=torch.float64, requires_grad=True)
    found = []
    for reference in (False, True):
        with pytest.MonkeyPatch.context() as patch, pinned(layer, 8):
            if reference:
                patch.setattr(dispatch, "choose_backend", lambda *_: routing.REFERENCE)
            output = layer(x)[0]
            seed = torch.linspace(-1, 1, output.numel(), dtype=x.dtype).view_as(output)
            (first,) = torch.autograd.grad(output, x, seed, create_graph=True)
            second = torch.autograd.grad(first.square().sum(), [x, *layer.parameters()])
        found.append({str(k): g for k, g in enumerate(second)})
    check("gradients", *found)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_compiled_layers_draw_the_same(name):
    layer, x = layer_of(name), torch.randn(5, 3, 4, dtype=torch.float64)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    found = []
    for called in (layer, compiled):
        torch.manual_seed(3)
        x.grad = None
        given = x.clone().requires_grad_()
        output, _ = called(given)
        output.square().sum().backward()
        found.append((output.detach(), given.grad))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    torch._dynamo.reset()


@pytest.mark.slow
def test_inductor_draws_anew_in_every_call_and_the_same_from_one_seed():
    layer, x = layer_of("lstm", dtype=torch.float32), torch.randn(5, 3, 4)
    compiled = torch.compile(layer, fullgraph=True)
    found = []
    for called in (layer, compiled, compiled):
        torch.manual_seed(3)
        for _ in range(2):
            given = x.clone().requires_grad_()
            output, _ = called(given)
            output.square().sum().backward()
            found.append((output.detach(), given.grad))
    torch._dynamo.reset()
    first, second = found[:2]
    assert not torch.equal(first[0], second[0])
    for k, (output, gradient) in enumerate(found[2:]):
        assert torch.equal(output, found[k % 2][0]) and torch.equal(gradient, found[k % 2][1])


def test_under_vmap_torch_asks_for_the_randomness():
    layer, x = layer_of("lstm"), torch.randn(2, 5, 3, 4, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(lambda one: layer(one)[0])(x)
    same = torch.vmap(lambda one: layer(one)[0], randomness="same")(x[:1].expand(2, 5, 3, 4))
    different = torch.vmap(lambda one: layer(one)[0], randomness="different")(x[:1].expand(2, 5, 3, 4))
    # In the last bit torch's batched products depend on a matrix's place in the batch.
    assert torch.allclose(same[0], same[1], rtol=1e-12, atol=1e-15)
    assert not torch.allclose(different[0], different[1], rtol=1e-3)


def test_what_is_left_grows_by_a_factor_of_the_layers_own_type():
    """1 / 0.7 rounded to float32 is wrong in the eighth digit."""
    torch.manual_seed(0)
    layer = ostinato.Recurrent("elman_relu", 3, 3, input_dropout=0.3, dtype=torch.float64)
    x = torch.ones(1, 1, 3, dtype=torch.float64)
    torch.nn.init.eye_(layer.weight_ih_l0)
    for name in ("bias_ih_l0", "bias_hh_l0"):
        getattr(layer, name).data.zero_()
    found = torch.stack([layer(x)[0][0, 0] for _ in range(20)]).unique().tolist()
    p = round(0.3 * 2**24) / 2**24
    assert found == [0.0, 1 / (1 - p)]


@pytest.mark.parametrize("option", ["input_dropout", "weight_dropout"])
def test_dropped_inputs_and_weights_are_right_in_expectation(option):
    """A linear cell: the mean over 4,000 calls is the plain layer's, and each call has one mask in all its steps."""
    torch.manual_seed(0)
    linear = ostinato.cell(lambda W, U, x, h: (W.a @ x + U.a @ h, 0 * h), name="linear")
    layer = ostinato.Recurrent(linear, 3, 4, dtype=torch.float64, **{option: 0.4})
    x, h = torch.randn(1, 1, 3, dtype=torch.float64).expand(2, 1, 3), torch.randn(1, 1, 4, dtype=torch.float64)
    if option == "weight_dropout":
        drawn = torch.stack([layer(x[:1], h)[0][0, 0] for _ in range(4000)])
    else:
        rows = layer(x.expand(2, 4000, 3), h.expand(1, 4000, 4))[0]
        drawn = rows[0]
        past = h[0] @ layer.weight_hh_l0.t()
        torch.testing.assert_close(rows[0] - past, rows[1])  # the second step has no past and the same mask
    expected = layer.eval()(x[:1], h)[0][0, 0]
    spread = drawn.std(0)
    assert (spread > 0).all() and ((drawn.mean(0) - expected).abs() < 5 * spread / 4000**0.5).all()


def test_a_layer_normed_lstm_keeps_little():
    """At most 10 T·B·H numbers for backward beside x, the weights and the output that the caller has."""
    T, B, H = 7, 3, 32
    layer, saved = ostinato.LSTM(5, H, layer_norm=True), {}
    given = {p.data_ptr() for p in layer.parameters()}
    x = torch.randn(T, B, 5)

    def pack(t):
        if t.data_ptr() not in given | {x.data_ptr()} and t.numel() >= T * B:
            saved[t.data_ptr()] = t.numel()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        output, _ = layer(x)
    saved.pop(output.data_ptr())
    assert 8 * T * B * H < sum(saved.values()) <= 10 * T * B * H


def test_activations_are_the_catalogues_cells():
    x = torch.randn(4, 2, 3)
    for name, cell in {"relu": "elman_relu", "prelu": "elman_prelu", "softplus": "elman_softplus"}.items():
        ours = ostinato.RNN(3, 5, activation=name)
        theirs = ostinato.Recurrent(cell, 3, 5)
        theirs.load_state_dict(ours.state_dict())
        assert torch.equal(ours(x)[0], theirs(x)[0])
    assert (ostinato.RNN(3, 5, activation="prelu").p_a_l0 == 0.25).all()
    bare = ostinato.RNN(3, 5, bias=False, activation="sigmoid")
    assert "sigmoid" in bare.cell.text and bare.cell.letters == ("W", "U")


def test_plain_weights_load_and_gains_start_at_one():
    plain, normed = ostinato.LSTM(3, 5, num_layers=2), ostinato.LSTM(3, 5, num_layers=2, layer_norm=True)
    missing, unexpected = normed.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and len(missing) == 16 and all(k.startswith("p_norm_") for k in missing)
    normed.reset_parameters()
    assert all((p == 1).all() for k, p in normed.named_parameters() if k.startswith("p_norm_"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ostinato.LSTM(3, 5, layer_norm=1), "LSTM: layer_norm must be True or False, got 1. There is one form"),
        (
            lambda: ostinato.GRU(3, 5, zoneout=1.0),
            "GRU: zoneout must be a probability from 0 up to, not including, 1, or",
        ),
        (lambda: ostinato.GRU(3, 5, zoneout={}), "or a dict of such by state, got {}. 0 turns it off."),
        (
            lambda: ostinato.LSTM(3, 5, zoneout={"d": 0.1}),
            r"a dict of states of the cell lstm \(h, c\), got 'd'. Write",
        ),
        (
            lambda: ostinato.LSTM(3, 5, recurrent_dropout=-0.1),
            "not including, 1, or a dict of such by gate, got -0.1. It",
        ),
        (
            lambda: ostinato.LSTM(3, 5, recurrent_dropout={"c": 0.1}),
            r"gates of lstm that have a value of their own \(i, f, g, o\), got 'c'. Write recurrent_dropout=",
        ),
        (
            lambda: ostinato.Recurrent("mingru", 3, 5, recurrent_dropout=0.1),
            "must be 0, or a dict of gates, for the cell mingru, which has no U, got 0.1. A number drops",
        ),
        (
            lambda: ostinato.Recurrent("mingru", 3, 5, weight_dropout=0.1),
            "0 for the cell mingru, which has no U, got 0.1",
        ),
        (
            lambda: ostinato.LSTM(3, 5, weight_dropout="a"),
            "weight_dropout must be a probability from 0.*got 'a'. It is",
        ),
        (
            lambda: ostinato.LSTM(3, 5, input_dropout=True),
            "input_dropout must be a probability from 0.*got True. It is",
        ),
        (
            lambda: ostinato.LSTM(3, 5, clip_gradient=0),
            "clip_gradient must be a finite number above 0, or None, got 0. G",
        ),
        (
            lambda: ostinato.LSTM(3, 5, clip_state={"c": -1}),
            "clip_state must be a finite number above 0, a dict.* Write",
        ),
        (
            lambda: ostinato.RNN(3, 5, activation="elu"),
            "activation must be one of tanh, sigmoid.*got 'elu'. For any other",
        ),
        (
            lambda: ostinato.GRU(3, 5, activation="relu"),
            "activation must be None for the cell gru, whose equations name",
        ),
        (
            lambda: ostinato.RNN(3, 5, 1, "relu", activation="tanh"),
            "None with nonlinearity='relu', got 'tanh'. Both name",
        ),
        (
            lambda: ostinato.Recurrent(lambda p, x, h: p.a * h, 3, 5, layer_norm=True),
            "layer_norm must be False for the cell cell, without W and U, got True. There is no product",
        ),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_pins_are_refused_in_four_parts():
    layer = ostinato.LSTM(3, 5, zoneout=0.1)
    with pytest.raises(InputError, match=r"pinned: seed must be an int of 64 bits, got 0.5. Write pinned\(layer, 7\)."):
        with dropout.pinned(layer, 0.5):
            pass
    with pytest.raises(InputError, match=r"pinned: first_step must be a step counted from 0, got -1. Leave it out."):
        with dropout.pinned(layer, 1, -1):
            pass


def test_the_earlier_name_of_a_layers_active_cell_works():
    layer = ostinato.GRU(3, 4, zoneout=0.2)
    assert layer.running is layer.active_cell and layer.eval().running is layer.cell
