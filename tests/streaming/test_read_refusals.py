"""What cannot run step by step is refused, with the place in the model and what to write instead."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ostinato
from ostinato import GRU, LSTM
from ostinato.errors import InputError
from streaming.agreement import Made


def message(model):
    """The message with which `stream` refuses a model; it has four parts."""
    with pytest.raises(InputError) as caught:
        ostinato.stream(model)
    text = str(caught.value)
    assert re.fullmatch(r"stream: .+ must be .+, got .+\. .+", text, re.DOTALL), text
    assert "got got" not in text
    return text


def says(model, *parts):
    text = message(model)
    assert all(part in text for part in parts), text


# Layers.

TORCHS = [
    (nn.LSTM(5, 4), "torch.nn.LSTM", "ostinato.convert"),
    (nn.GRU(5, 4), "torch.nn.GRU", "ostinato.convert"),
    (nn.RNN(5, 4), "torch.nn.RNN", "ostinato.convert"),
    (nn.GRUCell(5, 4), "torch.nn.GRUCell", "step"),
    (nn.TransformerEncoderLayer(4, 1), "TransformerEncoderLayer", "Attention"),
    (nn.ConvTranspose1d(5, 4, 3), "ConvTranspose1d", "every step"),
    (nn.MaxPool1d(2), "MaxPool1d", "every step"),
    (nn.AvgPool1d(2), "AvgPool1d", "every step"),
    (nn.GroupNorm(1, 4), "GroupNorm", "LayerNorm"),
    (nn.InstanceNorm1d(4), "InstanceNorm1d", "LayerNorm"),
    (nn.Bilinear(5, 4, 3), "Bilinear", "Streams run recurrent layers"),
    (nn.Conv2d(5, 4, 3), "Conv2d", "Streams run recurrent layers"),
    (nn.GELU(), "approximate='none'", 'nn.GELU(approximate="tanh")'),
    (nn.Softplus(threshold=10), "threshold=10", "Leave it out"),
    (nn.Softmax(None), "no dimension", "dim=-1"),
    (nn.LayerNorm((2, 4)), "[2, 4]", "Reshape"),
    (nn.RMSNorm((2, 4)), "[2, 4]", "Reshape"),
    (nn.BatchNorm1d(4, track_running_stats=False), "track_running_stats=False", "statistics"),
    (nn.PReLU(7), "given 7 features", "Transpose"),
    (nn.AdaptiveAvgPool1d(2), "output_size=2", "output_size=1"),
    (nn.AdaptiveMaxPool1d(1, return_indices=True), "return_indices=True", "step numbers"),
    (nn.Embedding(9, 4), "given the tokens that x holds", "the embedding x itself"),
    (nn.Flatten(), "[T, B, 4]", "x.shape"),
    (nn.Linear(7, 4), "given 7 features", "[T, B, 4]"),
    (GRU(7, 4), "given 7 features", "[T, B, 4]"),
    (GRU(4, 4, bidirectional=True), "layer 1", "bidirectional=True"),
]


@pytest.mark.parametrize(("layer", "parts"), [(layer, parts) for layer, *parts in TORCHS], ids=lambda v: str(v)[:30])
def test_a_layer_that_cannot_run_step_by_step_is_refused(layer, parts):
    says(nn.Sequential(nn.Linear(5, 4), layer), *parts)


def test_a_layer_by_itself_is_refused_by_its_type():
    says(nn.LSTM(5, 4), "the module LSTM", "ostinato.convert")
    says(LSTM(5, 4, bidirectional=True), "the layer LSTM", "bidirectional=True")


def test_an_embedding_that_changes_its_table_is_refused():
    says(nn.Sequential(nn.Embedding(9, 4, max_norm=1.0)), "the module 0", "max_norm=1.0")
    says(Made(lambda m, x: F.embedding(x, m.p, max_norm=1.0), p=nn.Parameter(torch.ones(9, 4))), "max_norm=1.0")


def test_attention_is_refused():
    attention = Made(lambda m, x: m.a(x, x, x)[0], a=nn.MultiheadAttention(5, 1))
    says(attention, "the module a", "MultiheadAttention", "Attention reads all steps")


# Arguments of recurrent layers.

CALLS = {
    "lengths": (lambda m, x: m.rnn(x, lengths=[1])[0], "lengths="),
    "resets": (lambda m, x: m.rnn(x, resets=x[..., 0] > 0)[0], "resets="),
    "return_states": (lambda m, x: m.rnn(x, return_states=True)[0], "return_states="),
    "a state of another layer": (lambda m, x: m.top(x, m.rnn(x)[1])[0], "the module top", "one that depends on x"),
    "hx of another layer": (lambda m, x: m.top(x, hx=m.rnn(x)[1])[0], "one that depends on x"),
    "two states": (
        lambda m, x: m.rnn(x, (x.new_zeros(1, x.shape[1], 4), x.new_zeros(1, x.shape[1], 4)))[0],
        "1 states",
    ),
    "a step in a sequence": (lambda m, x: m.rnn.step(x[-1])[0], "the module rnn", "the present step"),
    "other axes": (lambda m, x: m.rnn(x.permute(1, 2, 0))[0], "given [T, B, C]", "batch_first"),
    "a sequence of its own": (lambda m, x: m.rnn(m.rnn.weight_ih_l0)[0] + m.rnn(x)[0], "the same rows and steps"),
    "the state c": (lambda m, x: m.lstm(x)[1][1][-1], "one of the state c"),
    "padding": (lambda m, x: m.rnn(F.pad(x, (0, 0, 0, 0, 2, 0)))[0], "2 steps of padding"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_of_a_recurrent_layer_with_more_than_x_is_refused(name):
    rule, *parts = CALLS[name]
    says(Made(rule, rnn=GRU(5, 4), top=GRU(5, 4), lstm=LSTM(5, 4)), *parts)


# Time.

TIMES = {
    "matmul": (lambda m, y: torch.bmm(y, y.transpose(1, 2)), "bmm", "later steps"),
    "@": (lambda m, y: y @ y.transpose(1, 2), "matmul", "two values that depend on x"),
    "attention": (lambda m, y: F.scaled_dot_product_attention(y, y, y), "Attention"),
    "einsum": (lambda m, y: torch.einsum("tbc,sbc->tsb", y, y), "einsum", "nn.Linear"),
    "cumsum": (lambda m, y: y.cumsum(0), "the line cumsum", "other steps"),
    "flip": (lambda m, y: torch.flip(y, (0,)), "the line flip", "other steps"),
    "roll": (lambda m, y: y.roll(1, 0), "the line roll", "other steps"),
    "sum": (lambda m, y: y.sum(0), "a sum", "mean"),
    "softmax": (lambda m, y: y.softmax(0), "over time", "later steps"),
    "mean over rows": (lambda m, y: y.mean(1), "the rows of the batch", "independent"),
    "mean over all": (lambda m, y: y.mean(), "the rows of the batch"),
    "maximum of features": (lambda m, y: y.amax(-1), "over features"),
    "maximum of all": (lambda m, y: y.max(), "over everything", "amax"),
    "minimum": (lambda m, y: y.min(0).values, "a minimum", "-(-x).amax"),
    "indices": (lambda m, y: y.max(0)[1], "its indices"),
    "argmax": (lambda m, y: y.argmax(-1), "scores"),
    "late": (lambda m, y: y[1:], "drops 1 of the first steps"),
    "early": (lambda m, y: y[:-1], "drops 1 of the last steps"),
    "a number of steps": (lambda m, y: y[:3], "one up to step 3"),
    "a window": (lambda m, y: y[-3:], "one from step -3"),
    "the first step": (lambda m, y: y[0], "step 0", "present step"),
    "the step before the last": (lambda m, y: y[-2], "step -2", "present step"),
    "every other step": (lambda m, y: y[::2], "step 2", "every step"),
    "every other feature": (lambda m, y: y[..., ::2], "step 2", "Linear"),
    "no feature": (lambda m, y: y[..., 2:2], "keeps features"),
    "one row": (lambda m, y: y[:, 0], "the rows of the batch"),
    "some rows": (lambda m, y: y[:, :2], "the rows of the batch"),
    "a list": (lambda m, y: y[..., [0, 2]], "numbers and slices"),
    "a mask": (lambda m, y: y[y > 0], "numbers and slices"),
    "less its mean": (lambda m, y: y - y.mean(0, keepdim=True), "one of all steps and one of each", "early steps"),
    "beside its mean": (lambda m, y: torch.cat([y, y.mean(0, keepdim=True).expand_as(y)], -1), "expand"),
    "beside later steps": (lambda m, y: torch.cat([y, y], 0), "over time", "one step at a time"),
    "beside other rows": (lambda m, y: torch.cat([y, y], 1), "the rows of the batch"),
    "beside a pooled one": (lambda m, y: torch.cat([y.mean(0, keepdim=True), y], 2), "same rows and steps"),
    "split of time": (lambda m, y: y.split(2, 0)[0], "of time"),
    "unbind of time": (lambda m, y: torch.stack(y.unbind(0)[:2]), "of time"),
    "exchanged by a view": (lambda m, y: y.view(y.shape[1], y.shape[0], -1), "transpose"),
    "time among features": (lambda m, y: y.transpose(0, 1).flatten(1), "apart"),
    "exchanged features": (lambda m, y: y.unflatten(-1, (2, 2)).transpose(2, 3).flatten(2), "order of features"),
    "squeeze of time": (lambda m, y: y.squeeze(0), "of axes of length 1"),
    "padding of features": (lambda m, y: F.pad(y, (1, 0)), "padding of time"),
    "padding with ones": (lambda m, y: F.pad(y, (0, 0, 0, 0, 1, 0), value=1.0), "padding with zeros"),
    "unused padding": (lambda m, y: F.pad(y, (0, 0, 0, 0, 1, 0)), "1 steps more"),
    "mean of padding": (lambda m, y: F.pad(y, (0, 0, 0, 0, 1, 0)).mean(0), "1 steps more"),
    "last of padding": (lambda m, y: F.pad(y, (0, 0, 0, 0, 0, 1))[-1], "1 steps behind x"),
    "view of padding": (lambda m, y: F.pad(y, (0, 0, 0, 0, 0, 1)).flatten(0, 1), "1 steps more"),
    "a sum with padding": (lambda m, y: F.pad(y, (0, 0, 0, 0, 0, 1)) + y, "more steps than the other"),
}


@pytest.mark.parametrize("name", TIMES)
def test_an_operation_on_other_steps_or_rows_is_refused(name):
    rule, *parts = TIMES[name]
    says(Made(lambda m, x: rule(m, m.rnn(x)[0]), rnn=GRU(5, 4)), *parts)


def test_the_place_is_the_line_also_where_rows_come_first():
    late = Made(lambda m, x: m.rnn(x[:, 1:])[0], rnn=GRU(5, 4, batch_first=True))
    says(late, "the line getitem", "drops 1 of the first steps")


CONVOLUTIONS = {
    "same": (nn.Conv1d(5, 4, 3, padding="same"), lambda m, x: m.c(x), 'padding="same"', "y[t] reads x[t + 1]"),
    "both sides": (nn.Conv1d(5, 4, 5, padding=2), lambda m, x: m.c(x), "y[t] reads x[t + 2]", "F.pad(x, (4, 0))"),
    "none": (nn.Conv1d(5, 4, 3), lambda m, x: m.c(x), "no padding", "first 2 steps have no output"),
    "valid": (nn.Conv1d(5, 4, 3, padding="valid"), lambda m, x: m.c(x), "no padding"),
    "right": (nn.Conv1d(5, 4, 3), lambda m, x: m.c(F.pad(x, (0, 2))), "y[t] reads x[t + 2]"),
    "half": (nn.Conv1d(5, 4, 3), lambda m, x: m.c(F.pad(x, (1, 1))), "y[t] reads x[t + 1]"),
    "much": (nn.Conv1d(5, 4, 3), lambda m, x: m.c(F.pad(x, (4, 0))), "y[t] is that of step t - 2"),
    "unsliced": (nn.Conv1d(5, 4, 3, padding=2), lambda m, x: m.c(x), "the output of the model", "2 steps more"),
    "sliced too much": (nn.Conv1d(5, 4, 3, padding=2), lambda m, x: m.c(x)[..., :-3], "drops 1 of the last"),
    "sliced early": (nn.Conv1d(5, 4, 3, padding=2), lambda m, x: m.c(x)[..., 2:], "drops 2 of the first"),
    "stride": (nn.Conv1d(5, 4, 3, stride=2), lambda m, x: m.c(F.pad(x, (2, 0))), "stride=2", "every step"),
    "circular": (nn.Conv1d(5, 4, 3, padding=2, padding_mode="circular"), lambda m, x: m.c(x), "circular"),
    "reflected": (nn.Conv1d(5, 4, 3), lambda m, x: m.c(F.pad(x, (2, 0), mode="reflect")), "mode='reflect'"),
    "padding of values": (nn.Conv1d(5, 4, 3), lambda m, x: m.c(F.pad(x, (2, 0)).sigmoid()), "something between"),
    "padding twice": (nn.Conv1d(5, 4, 3), lambda m, x: m.c(F.pad(F.pad(x, (1, 0)).exp(), (1, 0))), "padding once"),
    "features last": (nn.Conv1d(5, 4, 1), lambda m, x: m.c(m.g(x)[0]), "given [B, C, T]"),
    "other features": (nn.Conv1d(4, 4, 1), lambda m, x: m.c(m.c1(x)), "given 4 features"),
    "a weight that depends on x": (nn.Conv1d(5, 4, 1), lambda m, x: F.conv1d(m.c(x), m.c(x)), "a weight of the model"),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_that_is_not_causal_is_refused(name):
    conv, rule, *parts = CONVOLUTIONS[name]
    says(Made(rule, c=conv, g=GRU(5, 5), c1=nn.Conv1d(5, 3, 1)), *parts)


# Functions.

FUNCTIONS = {
    "gelu": (lambda m, y: F.gelu(y), "approximate"),
    "erf": (lambda m, y: torch.erf(y), "erf"),
    "unknown": (lambda m, y: torch.sin(y), "sin", "Streams run"),
    "unknown method": (lambda m, y: y.sinh(), "sinh"),
    "dropout": (lambda m, y: F.dropout(y), "training=self.training"),
    "rrelu": (lambda m, y: F.rrelu(y, training=True), "training=self.training"),
    "draws of x's sizes": (lambda m, y: y + torch.randn_like(y), "randn_like"),
    "draws": (lambda m, y: y + torch.rand(4), "one that draws"),
    "another type": (lambda m, y: y.double(), "torch.float64"),
    "half": (lambda m, y: y.to(torch.float16), "torch.float16"),
    "another device": (lambda m, y: y.to("meta"), "meta"),
    "rounding": (lambda m, y: torch.div(y, 2, rounding_mode="floor"), "rounding_mode"),
    "a power": (lambda m, y: y**1.5, "1.5"),
    "a power of a value": (lambda m, y: 2**y, "exponent"),
    "no bound": (lambda m, y: y.clamp(), "given a bound"),
    "no condition": (lambda m, y: torch.where(y, y, 0.0), "comparison"),
    "no axis": (lambda m, y: y.softmax(5), "dimension"),
    "no feature": (lambda m, y: y[..., 7], "an index from"),
    "other sizes": (lambda m, y: y + y[..., :3], "same sizes"),
    "some features": (lambda m, y: y.unflatten(-1, (2, 2)) * y.unflatten(-1, (2, 2))[..., :1], "equal features"),
    "softmax of some": (lambda m, y: y.unflatten(-1, (2, 2)).softmax(-1), "some of"),
    "mean of some": (lambda m, y: y.unflatten(-1, (2, 2)).mean(-1), "some of"),
    "parts": (lambda m, y: y.split([1, 2], -1)[0], "whose sum is 4"),
    "odd": (lambda m, y: F.glu(y[..., :3]), "even"),
    "arguments": (lambda m, y: y.sum(-1, dtype=torch.float64), "arguments"),
    "flatten": (lambda m, y: y.flatten(1, 0), "the first dimension before the last"),
    "permutation": (lambda m, y: y.permute(0, 1), "every dimension once"),
    "index": (lambda m, y: y.new_axis, "attribute"),
    "unpacked": (lambda m, y: y.shape[7] * y, "entry 7"),
    "a size": (lambda m, y: y * y.shape[0], "cannot be proved"),
    "a constant of x's sizes": (lambda m, y: m.p.reshape(y.shape[0], 1) * y, "reshape", "expand"),
    "assignment": (lambda m, y: y.__setitem__(0, 0) or y, "the same operations for every x"),
    "a weight on the left": (lambda m, y: m.p @ y, "matmul"),
    "a vector": (lambda m, y: y @ m.p[0], "two dimensions"),
    "in place, used again": (lambda m, y: F.relu(y, inplace=True) + y, "used again"),
    "in place on a view": (lambda m, y: y[..., :2].relu_() + y[..., 2:], "used again"),
    "x += 1": (lambda m, y: (lambda z: z.__iadd__(1) * y)(y), "used again"),
    "no use of a result": (lambda m, y: (y.tanh_(), y)[1], "used again"),
    "numbers as tokens": (lambda m, y: F.embedding(y, m.p), "tokens"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_a_stream_cannot_run_is_refused(name):
    rule, *parts = FUNCTIONS[name]
    says(Made(lambda m, x: rule(m, m.a(x)), a=nn.Linear(5, 4), p=nn.Parameter(torch.ones(4, 4))), *parts)


def test_tokens_are_no_numbers():
    says(Made(lambda m, x: m.e(x) * (x + 1), e=nn.Embedding(9, 4)), "tokens", "nn.Embedding")


def test_a_refused_model_leaves_the_state_of_random_numbers():
    model = Made(lambda m, x: m.a(x) + torch.rand(4), a=nn.Linear(5, 4))
    before = torch.get_rng_state()
    message(model)
    assert torch.equal(torch.get_rng_state(), before)


# The model as a whole.


class Inputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(5, 4)


class Two(Inputs):
    def forward(self, x, y):
        return self.a(x) + y


class Many(Inputs):
    def forward(self, *xs):
        return self.a(xs[0])


class Branching(Inputs):
    def forward(self, x):
        return self.a(x) if x.sum() > 0 else x


class Looping(Inputs):
    def forward(self, x):
        return torch.stack([self.a(row) for row in x])


def test_a_model_of_several_inputs_is_refused():
    says(Two(), "the forward of Two", "one input", "y too")
    says(Many(), "the forward of Many", "*xs too")


@pytest.mark.parametrize("model", [Branching(), Looping()], ids=["branch", "loop"])
def test_control_flow_that_depends_on_x_is_refused(model):
    says(model, f"the forward of {type(model).__name__}", "the same operations for every x", "torch.fx says")


OUTPUTS = {
    "two": (lambda m, x: (m.a(x), x), "2 values"),
    "a dictionary": (lambda m, x: {"y": m.a(x)}, "a dictionary"),
    "a constant": (lambda m, x: m.a.weight * 2, "a constant"),
    "a size": (lambda m, x: x.shape[0], "Size"),
    "zeros": (lambda m, x: x.new_zeros(x.shape[0], x.shape[1], 4), "a constant"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_another_output_than_one_tensor_is_refused(name):
    rule, *parts = OUTPUTS[name]
    says(Made(rule, a=nn.Linear(5, 4)), "the output of the model", *parts)


def test_tokens_are_no_output():
    says(Made(lambda m, x: x, e=nn.Embedding(9, 4)), "must be")


def test_a_width_of_x_that_nothing_says_is_refused():
    says(Made(lambda m, x: m.a(x[..., :2]), a=nn.Linear(2, 4)), "a single number of features", "2 and 3")


def test_types_and_devices_of_parameters_are_checked():
    says(nn.Sequential(nn.ReLU()), "with parameters")
    says(nn.Linear(5, 4).half(), "torch.float16", "model.float()")
    says(nn.Linear(5, 4).bfloat16(), "torch.bfloat16", "model.float()")
    says(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 4).double()), "the parameter 1.weight", "model.float()")
    says(nn.Linear(5, 4, device="meta"), "on the CPU", "model.cpu()")
    says(nn.Sequential(nn.LazyLinear(4)), "of known sizes", "once")
    with pytest.raises(InputError, match="must be a torch.nn.Module, got function"):
        ostinato.stream(message)


def test_a_module_with_a_hook_is_refused():
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh())
    handle = model[1].register_forward_hook(lambda module, given, result: result * 2)
    says(model, "the module 1", "forward hooks", "Remove")
    handle.remove()
    ostinato.stream(model)
    model.register_forward_pre_hook(lambda module, given: None)
    says(model, "the module Sequential", "forward hooks")
    with pytest.warns(FutureWarning, match="weight_norm"):
        model = nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(5, 4)))
    says(model, "the module 0", "parametrizations")


def test_a_function_of_ones_own_is_refused():
    says(Wrapped(), "a function of torch", "doubled")


def doubled(x):
    return x * 2


torch.fx.wrap("doubled")


class Wrapped(Inputs):
    def forward(self, x):
        return doubled(self.a(x))
