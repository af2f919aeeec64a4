"""First values of weights by name: exact values, statistics, and what they do to a state over time."""

import copy
import pickle

import pytest
import torch
from torch import nn, sigmoid, tanh
from torch.nn.utils.parametrizations import weight_norm

import ostinato
from ostinato.cells import catalogue
from ostinato.errors import InputError
from ostinato.layers import Options, init
from tolerance import check

FEATURES, HIDDEN = 3, 8
DEEP = {"num_layers": 2, "bidirectional": True}
KEEPERS = {n: ("forget", c.roles["forget"], 1) for n, c in catalogue().items() if "forget" in c.roles} | {
    "mgu": ("input", "f", -1),
    "mingru": ("input", "z", -1),
}


def build(cell, seed=0, hidden=HIDDEN, **options):
    """A layer whose draws of torch's kind are those of any other layer with this seed."""
    torch.manual_seed(seed)
    if isinstance(cell, str) and cell.startswith("nn."):
        return getattr(ostinato, cell[3:])(FEATURES, hidden, **options)
    return ostinato.Recurrent(cell, FEATURES, hidden, **options)


def groups(layer):
    """For each layer and direction: letter → gate → block, and the names of the parameters that they are views of."""
    for names in layer._weight_names():
        weights = [getattr(layer, name).detach() for name in names]
        yield layer.cell.split(weights), names


def bias_of(layer, parts, gate):
    return sum(parts[k][gate] for k in "bd" if gate in layer.cell.gates.get(k, ()))


def same_but(layer, plain, changed):
    """Every parameter is that of `plain`, the ones whose name begins with one of `changed` apart."""
    for (name, found), (_, expected) in zip(layer.named_parameters(), plain.named_parameters(), strict=True):
        assert torch.equal(found, expected) != name.startswith(changed), name


@pytest.mark.parametrize("cell", ["elman", "gru", "gru_reset_before", "lstm_peephole", "slstm", "nn.LSTM", "nn.GRU"])
def test_orthogonal_makes_every_block_of_u_orthogonal(cell):
    layer = build(cell, init="orthogonal", dtype=torch.float64, **DEEP)
    blocks = [block for parts, _ in groups(layer) for block in parts["U"].values()]
    assert len(blocks) == 4 * len(layer.cell.gates["U"])
    for block in blocks:
        check("outputs", {"UᵀU": block.T @ block}, {"UᵀU": torch.eye(HIDDEN, dtype=torch.float64)})
    assert len({tuple(block.flatten().tolist()) for block in blocks}) == len(blocks)
    same_but(layer, build(cell, dtype=torch.float64, **DEEP), ("weight_hh",))


def test_orthogonal_columns_behind_a_projection_and_half_types():
    for layer in (
        build("lstm_projected", proj_size=2, init="orthogonal"),
        build("nn.LSTM", proj_size=2, init="orthogonal"),
    ):
        for block in next(groups(layer))[0]["U"].values():
            assert block.shape == (HIDDEN, 2) and (block.T @ block - torch.eye(2)).abs().max() < 1e-5
    layer = build("gru", init="orthogonal", dtype=torch.bfloat16)
    for block in next(groups(layer))[0]["U"].values():
        assert (
            block.dtype == torch.bfloat16 and (block.float().T @ block.float() - torch.eye(HIDDEN)).abs().max() < 0.03
        )


@pytest.mark.parametrize("cell", ["elman_relu", "lstm", "gru_reset_before", "nn.GRU"])
def test_identity_is_exact_and_takes_the_biases_away(cell):
    layer = build(cell, init="identity", **DEEP)
    for parts, _ in groups(layer):
        for block in parts["U"].values():
            assert torch.equal(block, torch.eye(HIDDEN))
        assert not any(block.any() for letter in "bd" for block in parts.get(letter, {}).values())
    same_but(layer, build(cell, **DEEP), ("weight_hh", "bias"))


def test_relu_from_the_identity_keeps_its_state_and_its_gradient():
    layer = build("elman_relu", init="identity", dtype=torch.float64)
    h = torch.rand(1, 2, HIDDEN, dtype=torch.float64, requires_grad=True)
    _, last = layer(torch.zeros(300, 2, FEATURES, dtype=torch.float64), h)
    assert torch.equal(last, h)
    assert torch.equal(torch.autograd.grad(last.sum(), h)[0], torch.ones_like(h))


@pytest.mark.parametrize("cell", [*KEEPERS, "nn.LSTM", "nn.GRU"])
def test_the_forget_gates_biases_add_up_to_the_wanted_value(cell):
    layer = build(cell, forget_bias=1.5, **DEEP)
    _, gate, sign = KEEPERS[cell.removeprefix("nn.").lower()]
    plain = build(cell, **DEEP)
    for (parts, _), (before, _) in zip(groups(layer), groups(plain), strict=True):
        assert torch.equal(bias_of(layer, parts, gate), torch.full((HIDDEN,), 1.5 * sign))
        for letter in "bd":
            for other, block in parts.get(letter, {}).items():
                assert other == gate or torch.equal(block, before[letter][other])
    same_but(layer, plain, ("bias",))


@pytest.mark.parametrize("cell", [*KEEPERS, "nn.LSTM", "nn.GRU"])
def test_chrono_draws_times_between_one_step_and_t_less_one(cell):
    steps, hidden = 40, 400
    layer = build(cell, hidden=hidden, init=f"chrono({steps})", **DEEP)
    role, gate, sign = KEEPERS[cell.removeprefix("nn.").lower()]
    other = layer.cell.roles["input"] if role == "forget" and "input" in layer.cell.roles else None
    drawn = []
    for parts, _ in groups(layer):
        bias = bias_of(layer, parts, gate)
        if other:
            assert torch.equal(bias_of(layer, parts, other), -bias)
        drawn.append((sign * bias).exp())
    times = torch.cat(drawn).sort().values
    assert 0.999 < times[0] < 1.5 and steps - 1.5 < times[-1] < steps - 0.999
    expected = torch.linspace(1, steps - 1, len(times))
    assert (times - expected).abs().max() < 1.63 / len(times) ** 0.5 * (steps - 2)  # Kolmogorov's bound of 1 %
    assert not torch.equal(drawn[0], drawn[1])
    same_but(layer, build(cell, hidden=hidden, **DEEP), ("bias",))


def test_the_shortest_time_is_one_step():
    layer = build("lstm", init="chrono(2)")
    parts, _ = next(groups(layer))
    assert not bias_of(layer, parts, "f").any() and not bias_of(layer, parts, "i").any()


def carried(layer, steps):
    """∂state_k/∂state_0 for each unit, after k steps without input: by autograd through the layer."""
    state = [torch.rand(1, 1, HIDDEN, dtype=torch.float64) + 0.5 for _ in layer.cell.states]
    leaf = state[1 if "c" in layer.cell.states else 0].requires_grad_()
    x = torch.zeros(steps, 1, FEATURES, dtype=torch.float64)
    _, last = layer(x, tuple(state) if len(state) > 1 else state[0])
    named = dict(zip(layer.cell.states, last if isinstance(last, tuple) else (last,), strict=True))
    value = named.get("c", named.get("h"))
    if "m" in named:  # the sLSTM holds c divided by exp(m)
        value = value * (named["m"] - state[3]).exp()
    return torch.autograd.grad(value.sum(), leaf)[0].flatten()


@pytest.mark.parametrize("options", [{"forget_bias": 1.0}, {"init": "chrono(30)"}], ids=["forget_bias", "chrono"])
@pytest.mark.parametrize("cell", KEEPERS)
def test_a_unit_keeps_f_to_the_k(cell, options):
    layer = build(cell, dtype=torch.float64, **options)
    _, gate, sign = KEEPERS[cell]
    parts, names = next(groups(layer))
    bias = sign * bias_of(layer, parts, gate)
    set_by_options = {gate, layer.cell.roles.get("input")} if "init" in options else {gate}
    with torch.no_grad():
        for name in names:
            if not name.startswith("bias"):
                getattr(layer, name).zero_()
        for letter in "bd":
            for other, block in parts.get(letter, {}).items():
                if other not in set_by_options:
                    block.zero_()
    keeps = sigmoid(bias)
    if cell == "minlstm":  # its two gates are divided by their sum
        keeps = keeps / (keeps + (1 - keeps if "init" in options else 0.5))
    for steps in (1, 7, 60):
        check("gradients", {"kept": carried(layer, steps)}, {"kept": keeps**steps})
    if "init" in options:  # 1 / (1 - f) is the time over which a unit forgets
        times = 1 / (1 - keeps)
        assert 2 - 1e-9 <= times.min() and times.max() <= 30 + 1e-9


@pytest.mark.parametrize("cell", ["lstm", "nn.LSTM", "mgu"])
def test_reset_parameters_gives_the_same_kind_of_values_again(cell):
    layer = build(cell, init="orthogonal", forget_bias=2.0, learn_initial_state=True, dtype=torch.float64)
    before = {name: p.clone() for name, p in layer.named_parameters()}
    for p in layer.parameters():
        nn.init.normal_(p)
    layer.reset_parameters()
    parts, _ = next(groups(layer))
    for block in parts["U"].values():
        check("outputs", {"UᵀU": block.T @ block}, {"UᵀU": torch.eye(HIDDEN, dtype=torch.float64)})
    _, gate, sign = KEEPERS[cell.removeprefix("nn.").lower()]
    assert (bias_of(layer, parts, gate) == 2.0 * sign).all()
    assert not layer.initial_h_l0.any() and not torch.equal(layer.weight_hh_l0, before["weight_hh_l0"])
    assert 0.2 < layer.weight_ih_l0.abs().max() <= 1 / HIDDEN**0.5
    seed = {"init": "chrono(9)", "learn_initial_state": True}
    layer = build(cell, **seed)
    torch.manual_seed(7)
    layer.reset_parameters()
    drawn = bias_of(layer, next(groups(layer))[0], gate)
    assert drawn.unique().numel() == HIDDEN and not torch.equal(
        drawn, bias_of(layer, next(groups(build(cell, **seed)))[0], gate)
    )


def test_parametrized_weights_are_reset_through_their_parametrization():
    layer = build("gru", init="orthogonal", dtype=torch.float64)
    weight_norm(layer, "weight_hh_l0")
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original1.normal_()
    layer.reset_parameters()
    for block in layer.weight_hh_l0.chunk(3):
        check("outputs", {"UᵀU": block.T @ block}, {"UᵀU": torch.eye(HIDDEN, dtype=torch.float64)})


OPTIONS = {"init": "orthogonal", "forget_bias": 1.0, "learn_initial_state": True}


def test_the_general_layer_and_the_drop_in_draw_the_same():
    for options in (OPTIONS, {"init": "chrono(50)", "learn_initial_state": True}):
        one, two = build("lstm", **DEEP, **options), build("nn.LSTM", **DEEP, **options)
        for (name, a), (other, b) in zip(one.named_parameters(), two.named_parameters(), strict=True):
            assert name == other and torch.equal(a, b), name


def test_options_are_seen_copied_and_absent_where_there_are_none():
    shown = "init='orthogonal', forget_bias=1.0, learn_initial_state=True"
    for cell, start in (("lstm", "Recurrent(lstm, 3, 8"), ("nn.LSTM", "LSTM(3, 8")):
        layer = build(cell, num_layers=2, **OPTIONS)
        assert repr(layer) == f"{start}, num_layers=2, {shown})"
        x = torch.randn(5, 2, FEATURES)
        for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
            assert repr(twin) == repr(layer) and twin.options == Options(**OPTIONS)
            assert torch.equal(twin(x)[0], layer(x)[0])
        plain = build(cell)
        assert "options" not in vars(plain) and plain.options == Options() and "init" not in repr(plain)
    explicit = build("nn.GRU", init="torch", forget_bias=None, learn_initial_state=False)
    assert "options" not in vars(explicit) and repr(explicit) == "GRU(3, 8)"


def test_every_option_is_documented():
    for name in vars(Options()):
        assert f"\n    {name} " in Options.__doc__ and name in ostinato.Recurrent.__doc__


def test_layers_are_built_anywhere():
    layer = build("nn.LSTM", device="meta", **OPTIONS)
    assert all(p.device.type == "meta" for p in layer.parameters())
    init._direction.cache_clear()
    with torch.device("meta"):
        assert build("lstm", init="chrono(9)").bias_ih_l0.device.type == "meta"
    init._direction.cache_clear()
    with torch.inference_mode():
        inferred = build("gru", forget_bias=1.0)
    assert (bias_of(inferred, next(groups(inferred))[0], "z") == 1).all()
    restored = build("nn.LSTM", device="meta", **OPTIONS).to_empty(device="cpu")
    restored.reset_parameters()
    assert (bias_of(restored, next(groups(restored))[0], "f") == 1).all()


def test_a_second_bias_alone_is_set():
    @ostinato.cell(forget="f")
    def late(W, U, d, x, h):
        f = sigmoid(W.f @ x + U.f @ h + d.f)
        return f * h + (1 - f) * tanh(W.n @ x + U.n @ h)

    assert (build(late, forget_bias=-0.5).bias_hh_l0 == -0.5).all()


@ostinato.cell(forget="f")
def backwards(W, U, b, x, h):
    f = sigmoid(W.f @ x + b.f + U.f @ h)
    return (1 - f) * h + f * tanh(W.n @ x + b.n)


@ostinato.cell(forget="f")
def unbiased(W, U, b, x, h):
    f = sigmoid(W.f @ x + U.f @ h)
    return f * h + (1 - f) * tanh(W.n @ x + b.n)


REFUSALS = [
    (
        "lstm",
        {"init": "xavier"},
        r'Recurrent: init must be one of "torch", .*, "chrono\(T\)" .*, got \'xavier\'. T is the l',
    ),
    ("nn.LSTM", {"init": "chrono"}, r'LSTM: init must be one of .* got \'chrono\'.*write init="chrono\(200\)"'),
    ("nn.LSTM", {"init": "chrono(1)"}, r"got 'chrono\(1\)'"),
    ("nn.LSTM", {"init": "chrono(-5)"}, r"got 'chrono\(-5\)'"),
    ("nn.LSTM", {"init": "chrono(20) "}, r"got 'chrono\(20\) '"),
    ("nn.LSTM", {"init": "chrono(2.5)"}, r"got 'chrono\(2.5\)'"),
    ("nn.LSTM", {"init": ("chrono", 200)}, r"got \('chrono', 200\)"),
    ("nn.LSTM", {"init": None}, "got None"),
    ("nn.GRU", {"forget_bias": True}, "GRU: forget_bias must be a finite number or None, got True. The usual one is f"),
    ("nn.GRU", {"forget_bias": "1"}, "forget_bias must be a finite number or None, got '1'"),
    ("nn.GRU", {"forget_bias": float("inf")}, "forget_bias must be a finite number or None, got inf"),
    (
        "nn.GRU",
        {"learn_initial_state": 1},
        "GRU: learn_initial_state must be True or False, got 1. A start for one call",
    ),
    (
        "nn.LSTM",
        {"init": "chrono(9)", "forget_bias": 1.0},
        r"LSTM: forget_bias must be None with init='chrono\(9\)', got 1.0. Both set the forget gate's bias",
    ),
    (
        "mingru",
        {"init": "orthogonal"},
        r"init must be 'torch' or 'chrono\(T\)' for the cell mingru, which has no U, got 'o",
    ),
    (
        "indrnn",
        {"init": "identity"},
        "for the cell indrnn, which has no U, got 'identity'. There is no recurrent weight",
    ),
    (
        "lstm_projected",
        {"init": "identity", "proj_size": 2},
        r"init must be another than 'identity' where a block of U is \[8, 2\], got 'identity'. A projection makes",
    ),
    (
        "elman",
        {"forget_bias": 1.0},
        "cell must be one that declares its forget gate, for forget_bias=1.0, got elman. Write @",
    ),
    (
        "nn.RNN",
        {"init": "chrono(9)"},
        r"RNN: cell must be one that declares its forget gate, for init='chrono\(9\)', got el",
    ),
    (
        "lstm_1997",
        {"forget_bias": 1.0},
        "one whose declared gate decides what .*, got lstm_1997 with input='i'. Its input",
    ),
    (
        backwards,
        {"forget_bias": 1.0},
        "got backwards with forget='f'. A forget gate keeps more of the state as it rises",
    ),
    (
        unbiased,
        {"forget_bias": 1.0},
        "one whose gate f has a bias, for forget_bias=1.0, got unbiased without b.f. Leave",
    ),
    (
        "nn.LSTM",
        {"init": "chrono(9)", "bias": False},
        "one whose gate f has a bias, for .*, got lstm without b.f. Leave b",
    ),
]


@pytest.mark.parametrize("cell, options, message", REFUSALS)
def test_refusals(cell, options, message):
    with pytest.raises(InputError, match=message):
        build(cell, **options)


@pytest.mark.parametrize("name", ["layer_nrom", "where"])
def test_an_option_that_does_not_exist_is_a_type_error(name):
    for cell in ("lstm", "nn.LSTM", "nn.GRU", "nn.RNN"):
        known = "layer_norm, .*, init, forget_bias, learn_.*"
        nearest = r"(Did you mean 'layer_norm'\? )?"
        message = rf"\w+: an option must be one of {known}, got '{name}'. {nearest}Arguments of torch.nn's"
        with pytest.raises(TypeError, match=message):
            build(cell, **{name: True})
