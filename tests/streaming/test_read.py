"""Models read into networks: layers, functions and shapes, each beside the model itself."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import ostinato
from ostinato import GRU, LSTM, Recurrent
from ostinato.network.reference import Reference
from ostinato.streaming.read import read
from streaming.agreement import Made, agree, drawn

torch.manual_seed(0)


# Recurrent layers.


def test_the_output_of_a_layer_is_the_first_of_two():
    torch.manual_seed(1)
    network = agree(Made(lambda m, x: m.head(m.rnn(x)[0]), rnn=LSTM(5, 4, 2), head=nn.Linear(4, 3)), "TBC", "TBO")
    assert [f.name for f in network.states] == ["rnn.0.h", "rnn.0.c", "rnn.1.h", "rnn.1.c"]
    assert [node.place for node in network.nodes] == ["x", "rnn.0", "rnn.1", "head"]
    assert [p.name for p in network.parameters][:2] == ["rnn.weight_ih_l0", "rnn.weight_hh_l0"]


def test_a_layer_inside_a_module_has_its_path():
    model = nn.Sequential(nn.Linear(5, 4), Made(lambda m, x: m.rnn(x)[0], rnn=GRU(4, 3)))
    assert [f.name for f in agree(model, "TBC", "TBO").states] == ["1.rnn.0.h"]


@pytest.mark.parametrize("cell", ["mgu", "slstm", "gru_reset_before", "lstm_projected", "elman_prelu"])
def test_any_cell_is_read(cell):
    layer = Recurrent(cell, 5, 4, batch_first=True, **({"proj_size": 3} if cell == "lstm_projected" else {}))
    agree(Made(lambda m, x: m.rnn(x)[0], rnn=layer), "BTC", "BTO")


def test_options_that_are_for_training_are_left_out_and_a_learned_state_is_read():
    layer = GRU(5, 4, zoneout=0.3, layer_norm=True, learn_initial_state=True, recurrent_dropout=0.2)
    with torch.no_grad():
        layer.initial_h_l0.normal_()
    network = agree(Made(lambda m, x: m.rnn(x)[0], rnn=layer), "TBC", "TBO")
    assert network.states[0].initial.name == "rnn.initial_h_l0"


def test_a_final_h_is_the_value_of_the_present_step():
    def last_layer(m, x):
        _, (h, c) = m.rnn(x)
        return m.head(h[-1])

    agree(Made(last_layer, rnn=LSTM(5, 4, 2, batch_first=True), head=nn.Linear(4, 3)), "BTC", "BO")

    def all_layers(m, x):
        _, h = m.rnn(x)
        return m.head(h.transpose(0, 1).reshape(x.size(0), -1))

    agree(Made(all_layers, rnn=GRU(5, 4, 2, batch_first=True), head=nn.Linear(8, 3)), "BTC", "BO")
    agree(Made(lambda m, x: m.rnn(x)[1].squeeze(0), rnn=GRU(5, 4)), "TBC", "BO")


def test_a_state_that_the_model_returns_beside_its_output_is_the_streams_own():
    agree(Made(lambda m, x: m.rnn(x), rnn=LSTM(5, 4)), "TBC", "TBO")

    def several(m, x):
        y, first = m.rnn(x)
        z, second = m.top(y)
        return m.head(z), [first, second]

    agree(Made(several, rnn=LSTM(5, 4), top=GRU(4, 4), head=nn.Linear(4, 2)), "TBC", "TBO")


def test_a_state_of_zeros_is_no_state():
    def rule(m, x):
        zeros = torch.zeros(2, x.size(0), 4, device=x.device, dtype=x.dtype)
        return m.rnn(x, (zeros, x.new_zeros(2, x.shape[0], 4)))[0]

    network = agree(Made(rule, rnn=LSTM(5, 4, 2, batch_first=True, learn_initial_state=True)), "BTC", "BTO")
    assert all(field.initial is None for field in network.states)


def test_a_parameter_expanded_over_the_rows_is_the_initial_state():
    def expanded(m, x):
        return m.rnn(x, m.start.tanh().expand(-1, x.shape[1], -1).contiguous())[0]

    start = nn.Parameter(torch.randn(2, 1, 4))
    network = agree(Made(expanded, rnn=GRU(5, 4, 2), start=start), "TBC", "TBO")
    assert torch.allclose(network.states[1].initial.read(), start[1, 0].detach().tanh().double())

    def repeated(m, x):
        return m.rnn(x, m.start.repeat(1, x.shape[1], 1))[0]

    agree(Made(repeated, rnn=GRU(5, 4, 2), start=start), "TBC", "TBO")


def test_a_layer_used_twice_has_one_set_of_weights_and_two_states():
    network = agree(Made(lambda m, x: m.rnn(m.rnn(x)[0])[0], rnn=GRU(5, 5)), "TBC", "TBO")
    assert [f.name for f in network.states] == ["rnn.0.h", "rnn#2.0.h"]
    assert len(network.parameters) == 4


class ByStep(nn.Module):
    """A model of one step that hands the state to its caller."""

    def __init__(self, sequence=False):
        super().__init__()
        self.rnn, self.head, self.sequence = LSTM(5, 4, 2), nn.Linear(4, 3), sequence

    def forward(self, x, state=None):
        if self.sequence:
            y, state = self.rnn(x.unsqueeze(0), state)
            return self.head(y.squeeze(0)), state
        y, state = self.rnn.step(x, state)
        return self.head(y), state


@pytest.mark.parametrize("sequence", [False, True])
def test_a_model_of_one_step_leaves_its_state_to_the_stream(sequence):
    model, state, found = ByStep(sequence), None, []
    network, xs = read(model), drawn("TBC")
    for x in xs:
        y, state = model(x, state)
        found.append(y)
    reference = Reference(network)
    ys, states = reference.run(xs, reference.initial(xs.shape[1]))
    assert torch.allclose(ys, torch.stack(found), atol=1e-6)
    assert torch.allclose(states["rnn.1.c"], state[1][1], atol=1e-6)


@pytest.mark.parametrize(("layout", "first"), [("TB", False), ("BT", True)])
def test_tokens_are_read_by_an_embedding(layout, first):
    parts = {"table": nn.Embedding(9, 6, padding_idx=0), "rnn": GRU(6, 4, batch_first=first), "head": nn.Linear(4, 9)}
    model = Made(lambda m, x: m.head(m.rnn(m.table(x))[0]), **parts)
    assert agree(model, layout, layout + "O", tokens=9).input.tokens == 9
    mean = Made(lambda m, x: m.head(m.rnn(m.table(x))[0].mean(1 if first else 0)), **parts)
    agree(mean, layout, "BO", tokens=9)


def test_two_tables_read_the_tokens_that_both_know():
    model = Made(lambda m, x: m.a(x) + m.b(x), a=nn.Embedding(9, 6), b=nn.Embedding(7, 6))
    assert agree(model, "TB", "TBO", tokens=7).input.tokens == 7


# Layers and functions, unit by unit.

LAYERS = [
    nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.CELU(1.3), nn.SELU(), nn.SiLU(), nn.GELU(approximate="tanh"),
    nn.Hardtanh(-0.5, 0.7), nn.ReLU6(), nn.Hardsigmoid(), nn.Hardswish(), nn.Softplus(), nn.Softplus(2.0),
    nn.Softsign(), nn.LogSigmoid(), nn.PReLU(), nn.Tanh(), nn.Sigmoid(), nn.Mish(), nn.Tanhshrink(),
    nn.Softshrink(0.3), nn.Hardshrink(0.3), nn.Threshold(0.1, 0.2), nn.RReLU(), nn.Softmax(-1), nn.LogSoftmax(2),
    nn.Softmin(-1), nn.GLU(), nn.Dropout(), nn.AlphaDropout(), nn.Identity(), nn.LayerNorm(4, eps=1e-3),
    nn.LayerNorm(4, elementwise_affine=False), nn.LayerNorm(4, bias=False), nn.RMSNorm(4), nn.ReLU(inplace=True),
    nn.RMSNorm(4, eps=0.1, elementwise_affine=False), nn.Unflatten(-1, (2, 2)), nn.Linear(4, 3, bias=False),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_layer_of_torch_is_read(layer):
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    agree(nn.Sequential(nn.Linear(5, 4), layer), "BTC", "BTO")


FUNCTIONS = {
    name: getattr(F, name)
    for name in (
        "relu", "leaky_relu", "elu", "celu", "selu", "silu", "hardtanh", "relu6", "hardsigmoid", "hardswish",
        "softplus", "softsign", "logsigmoid", "mish", "tanhshrink", "softshrink", "hardshrink",
    )
} | {
    "gelu": lambda y: F.gelu(y, approximate="tanh"),
    "softmax": lambda y: F.softmax(y, dim=-1),
    "log_softmax": lambda y: F.log_softmax(y, dim=2),
    "dropout": lambda y: F.dropout(y, 0.5, False),
    "layer_norm": lambda y: F.layer_norm(y, (4,)),
    "glu": lambda y: F.glu(y, dim=-1),
    "exp, log, sqrt": lambda y: y.exp().sqrt() + torch.log(y.exp() + 1),
    "log1p, expm1, abs": lambda y: torch.log1p(y.abs()) - torch.expm1(y),
    "powers": lambda y: y**2 + y.pow(3) + torch.square(y) + (y * y + 1) ** -0.5 + (y * y + 1).rsqrt() + 1 / (y**4 + 1),
    "minimum, maximum": lambda y: torch.minimum(y, 2 * y) + torch.max(y, -y) + torch.min(y, 0.5 * y),
    "clamp": lambda y: y.clamp(-0.5, 0.5) + torch.clamp(y, min=0.1) + y.clamp_max(0.3) + torch.clip(y, max=0),
    "comparisons": lambda y: (y > 0) * y + torch.where(y <= 0.5, y, 0.0) + (y >= 1).float().to(y.dtype) + (0.1 < y) * 2,
    "conditions": lambda y: torch.where(((y > -1) & (y < 1)) | ~(y < 2), y, 2.0 - y),
    "masked_fill": lambda y: y.masked_fill(y < 0, -1.0),
    "lerp, addcmul": lambda y: torch.lerp(y, 2 * y, 0.3) + torch.addcmul(y, y, y, value=0.5),
    "numbers": lambda y: 3 - y / 2 + (-y) * 0.5 + 1 / (y.exp() + 1) + torch.add(y, y, alpha=2) - y.sub(1, alpha=3),
    "sums of features": lambda y: y - y.mean(-1, keepdim=True) + y.sum(2, keepdim=True),
    "in place": lambda y: (y * 2).relu_().add_(1),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_torch_is_read(name):
    agree(Made(lambda m, x: FUNCTIONS[name](m.first(x)), first=nn.Linear(5, 4)), "TBC", "TBO", dtypes=(torch.float32,))


def test_parameters_and_what_is_computed_of_them_are_operands():
    def rule(m, x):
        y = m.first(x) * F.softplus(m.scale) + m.shift
        return torch.cat([y @ m.matrix, F.linear(y, m.matrix[:2] * m.mask[:2], m.shift[:2]) / m.number], -1)

    model = Made(rule, first=nn.Linear(5, 4), scale=nn.Parameter(torch.randn(4)), shift=nn.Parameter(torch.randn(1, 4)))
    model.shift = nn.Parameter(torch.randn(4))
    model.matrix, model.number = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.tensor(2.0))
    model.register_buffer("mask", torch.randint(0, 2, (4, 4)))
    network = agree(model, "TBC", "TBO")
    with torch.no_grad():
        model.scale.fill_(3.0)
    assert any(torch.allclose(p.read(), F.softplus(torch.tensor(3.0, dtype=torch.float64))) for p in network.parameters)


def test_a_weight_with_a_parametrization_is_computed_when_it_is_read():
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(5, 4)), nn.Tanh())
    network = agree(model, "TBC", "TBO")
    with torch.no_grad():
        model[0].parametrizations.weight.original0.mul_(2)
    assert torch.equal(network.parameters[0].read(), model[0].weight)


# Shapes.

SHAPES = {
    "view": lambda m, x: m.a(x.view(x.shape[0] * x.shape[1], 5)).view(x.shape[0], x.shape[1], -1),
    "view of a size": lambda m, x: m.a(x.reshape(-1, x.size(-1))).view(x.size()[:2] + (4,)),
    "unpacked sizes": lambda m, x: (lambda t, b, c: m.a(x.view(t * b, c)).view(t, b, 4))(
        *(x.size(k) for k in range(3))
    ),
    "flatten": lambda m, x: m.a(x.flatten(0, 1)).unflatten(0, x.shape[:2]),
    "there and back": lambda m, x: m.a(x.transpose(0, 1).contiguous()).permute(1, 0, 2),
    "permute": lambda m, x: m.a(x.permute(2, 0, 1).movedim(0, -1)),
    "new axes": lambda m, x: m.a(x[:, :, None]).squeeze(2) + m.a(x.unsqueeze(0))[0],
    "one feature": lambda m, x: m.a(x)[..., 1],
    "select": lambda m, x: m.a(x).select(-1, 2).unsqueeze(-1) + m.a(x).narrow(2, 1, 2),
    "heads": lambda m, x: (m.a(x).view(x.shape[0], x.shape[1], 2, 2) * 2).flatten(2),
    "last head": lambda m, x: m.a(x).view(x.shape[0], x.shape[1], 2, 2)[:, :, :, 1],
    "chunk": lambda m, x: torch.cat([m.a(x).chunk(2, -1)[1], m.a(x).chunk(2, -1)[0].sigmoid()], dim=-1),
    "split": lambda m, x: torch.cat(m.a(x).split([1, 3], dim=-1)[::-1], -1),
    "split evenly": lambda m, x: torch.cat([torch.split(m.a(x), 3, 2)[1], x], 2),
    "unbind": lambda m, x: torch.stack([m.a(x).unbind(-1)[3], m.a(x)[..., 0]], -1),
    "slices": lambda m, x: m.a(x)[..., 1:3] + m.a(x)[:, :, -2:] * m.a(x)[..., :-2],
    "expand": lambda m, x: m.a(x)[..., :1].expand(-1, -1, 3).contiguous() + m.a(x)[..., :1].expand_as(m.a(x))[..., 1:],
    "constants beside": lambda m, x: torch.cat(
        [m.a(x), torch.ones_like(x[..., :2]), x.new_zeros(x.shape[0], x.size(1), 1)], -1
    ),
    "scale": lambda m, x: m.a(x) / x.shape[-1] ** 0.5 * (m.a(x).ndim - 1),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_change_of_shape_keeps_its_meaning(name):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(5, 4)

        def forward(self, x):
            return SHAPES[name](self, x)

    agree(Model(), "TBC", "TBO", dtypes=(torch.float32,))


def test_sizes_are_unpacked():
    def rule(m, x):
        rows, steps, width = x.shape
        return m.a(x.reshape(rows * steps, width)).view(rows, -1, 4)

    agree(Made(rule, a=nn.Linear(5, 4)), "BTC", "BTO")


def test_the_width_of_x_follows_from_all_layers_where_its_features_are_divided_first():
    def halves(m, x):
        a, b = x.chunk(2, -1)
        return m.a(a) + m.b(b)

    agree(Made(halves, a=nn.Linear(3, 4), b=nn.Linear(3, 4)), "TBC", "TBO", width=6)
    agree(Made(lambda m, x: m.a(x[..., :2]) + m.b(x[..., 2:]), a=nn.Linear(2, 4), b=nn.Linear(3, 4)), "BTC", "BTO")
    agree(Made(lambda m, x: m.a(x * m.p), a=nn.Linear(5, 4), p=nn.Parameter(torch.randn(5))), "TBC", "TBO")


# The model as a whole.


def test_a_model_in_training_is_read_as_in_evaluation_and_stays_in_training():
    model = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.9), Made(lambda m, x: F.dropout(x, 0.5, m.training)))
    model[1].eval()
    agree(model, "TBC", "TBO")
    assert [m.training for m in model.modules()] == [True, True, False, True]


def test_what_forward_keeps_in_attributes_stays_as_it_was():
    def rule(m, x):
        m.seen, m.rnn.seen = x, x.shape
        return m.rnn(x)[0] * torch.tensor([1.0, 2.0, 3.0, 4.0])

    model = Made(rule, rnn=GRU(5, 4))
    before = [dict(vars(m)) for m in model.modules()]
    network = read(model)
    assert [dict(vars(m)) for m in model.modules()] == before
    xs = drawn("TBC")
    with torch.no_grad():
        ys, _ = Reference(network).run(xs, Reference(network).initial(3))
        assert torch.allclose(ys, model(xs), atol=1e-6)


def test_arguments_with_a_default_have_it():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(5, 4)

        def forward(self, x, state=None, scale=2, *, activate=True, name="a", both=(1, 2)):
            y = self.a(x) * scale * both[1]
            return torch.tanh(y) if activate and state is None and name == "a" else y

    agree(Model(), "TBC", "TBO")


def test_an_unused_part_is_left_out():
    def rule(m, x):
        m.other(x).cumsum(0)
        return m.a(x)

    network = agree(Made(rule, a=nn.Linear(5, 4), other=nn.Linear(5, 4)), "TBC", "TBO")
    assert [node.place for node in network.nodes] == ["x", "a"]


def test_a_layer_of_torch_by_itself_is_a_model():
    agree(nn.Linear(5, 4), "TBC", "TBO")
    agree(nn.Conv1d(5, 4, 1), "BCT", "BOT")


def test_a_stream_of_a_model_takes_new_weights_and_saves_its_states():
    model = nn.Sequential(nn.Linear(5, 4), Made(lambda m, x: m.rnn(x)[0], rnn=GRU(4, 3)))
    stream, xs = ostinato.stream(model, rows=3), drawn("TBC")
    first = stream.push(xs)
    assert torch.allclose(first, model(xs).detach(), atol=1e-6)
    stream.reset()
    steps = torch.stack([stream.step(x) for x in xs])
    assert torch.equal(steps, first)
    assert list(stream.state()) == ["1.rnn.0.h"]
    with torch.no_grad():
        model[0].weight.mul_(2)
    stream.refresh()
    stream.reset()
    assert torch.allclose(stream.push(xs), model(xs).detach(), atol=1e-6)
