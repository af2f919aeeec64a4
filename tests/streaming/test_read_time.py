"""Models with operations over time, read into networks: causal convolutions, pooling, last steps."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ostinato import GRU, LSTM
from streaming.agreement import Made, agree

CAUSAL = {
    "F.pad": lambda m, x: m.conv(F.pad(x, (4, 0))),
    "F.pad of two axes": lambda m, x: m.conv(F.pad(x, (4, 0, 0, 0))),
    "padding and a slice": lambda m, x: m.wide(x)[..., :-4],
    "padding and x's length": lambda m, x: m.wide(x)[:, :, : x.size(2)],
    "padding and a length less p": lambda m, x: m.wide(x)[:, :, : m.wide(x).shape[-1] - 4].contiguous(),
    "padding, more, and a slice": lambda m, x: torch.relu(m.norm(m.wide(x)))[..., :-4],
    "padding on both sides and a slice": lambda m, x: m.conv(F.pad(x, (4, 4)))[:, :, :-4],
    "padding cut again": lambda m, x: m.conv(F.pad(x, (6, 0))[..., 2:]),
    "ConstantPad1d": lambda m, x: m.conv(m.constant(x)),
    "ZeroPad1d": lambda m, x: m.conv(m.zero(x)),
    "functional": lambda m, x: F.conv1d(F.pad(x, (4, 0)), m.conv.weight, m.conv.bias, dilation=2),
    "two, one slice": lambda m, x: m.wide(m.square(x))[:, :, :-6],
    "a residual block": lambda m, x: torch.relu(m.square(x)[:, :, :-2] + x),
    "of a transposed value": lambda m, x: m.conv(F.pad(x.transpose(1, 2), (0, 0, 4, 0)).transpose(1, 2)),
}


def parts():
    return {
        "conv": nn.Conv1d(5, 6, 3, dilation=2),
        "wide": nn.Conv1d(5, 6, 3, dilation=2, padding=4),
        "square": nn.Conv1d(5, 5, 3, padding=2),
        "norm": nn.BatchNorm1d(6),
        "constant": nn.ConstantPad1d((4, 0), 0.0),
        "zero": nn.ZeroPad1d((4, 0)),
    }


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_convolution_is_read(name):
    agree(Made(CAUSAL[name], **parts()), "BCT", "BOT")


def test_groups_become_a_dense_weight():
    model = Made(lambda m, x: m.conv(F.pad(x, (2, 0))), conv=nn.Conv1d(6, 9, 3, groups=3, bias=False))
    network = agree(model, "BCT", "BOT", width=6)
    weight = network.parameters[0].read()
    assert weight.shape == (9, 6, 3)
    assert (weight != 0).sum() == model.conv.weight.numel()


def test_histories_of_two_convolutions_have_the_names_of_their_modules():
    model = nn.Sequential(nn.ZeroPad1d((2, 0)), nn.Conv1d(5, 5, 3), nn.ReLU(), nn.ZeroPad1d((1, 0)), nn.Conv1d(5, 4, 2))
    assert [f.name for f in agree(model, "BCT", "BOT").states] == ["1.history", "4.history"]
    twice = Made(lambda m, x: m.conv(m.conv(x)[..., :-2])[..., :-2], conv=nn.Conv1d(5, 5, 3, padding=2))
    assert [f.name for f in agree(twice, "BCT", "BOT").states] == ["conv.history", "conv#2.history"]


def trained(norm):
    """A norm with statistics and weights that are not those of the start."""
    for tensor in (norm.running_mean, norm.weight, norm.bias):
        if tensor is not None:
            nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return norm


@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_in_evaluation_is_read_in_every_layout(affine):
    norm = trained(nn.BatchNorm1d(5, affine=affine))
    agree(nn.Sequential(norm), "BCT", "BOT")
    last = nn.Linear(5, 3)
    agree(Made(lambda m, x: m.last(m.norm(x.transpose(1, 2)).transpose(1, 2)), norm=norm, last=last), "BTC", "BTO")

    def flat(m, x):
        return m.norm(x.reshape(-1, 5)).reshape(x.shape[0], x.shape[1], 5)

    agree(Made(flat, norm=norm, last=last), "TBC", "TBO")
    agree(Made(lambda m, x: m.last(m.norm(m.rnn(x)[0][-1])), norm=norm, rnn=GRU(4, 5), last=last), "TBC", "BO", width=4)


def test_a_prelu_of_many_slopes_is_read_in_its_layout():
    agree(nn.Sequential(nn.Conv1d(5, 4, 1), nn.PReLU(4)), "BCT", "BOT")


POOLED = {
    "x[:, -1]": lambda y: y[:, -1],
    "x[:, -1:]": lambda y: y[:, -1:].squeeze(1),
    "the last by its number": lambda y: y[:, y.size(1) - 1],
    "select": lambda y: y.select(1, -1),
    "mean": lambda y: y.mean(dim=1),
    "mean, kept": lambda y: torch.mean(y, 1, keepdim=True).flatten(1),
    "mean of a list": lambda y: y.mean([1]),
    "mean of both": lambda y: y.mean((1, 2), keepdim=True).squeeze(1).expand(-1, 4),
    "amax": lambda y: y.amax(1),
    "max, by number": lambda y: y.max(1)[0],
    "max, by name": lambda y: torch.max(y, dim=1).values,
    "average pooling": lambda y: F.adaptive_avg_pool1d(y.transpose(1, 2), 1).squeeze(-1),
    "maximum pooling": lambda y: F.adaptive_max_pool1d(y.permute(0, 2, 1), 1)[:, :, 0],
    "both": lambda y: y.mean(1) + y.max(1).values * y[:, -1],
    "least": lambda y: -(-y).amax(1),
}


@pytest.mark.parametrize("name", POOLED)
def test_a_pooled_value_is_that_of_all_steps_so_far(name):
    model = Made(lambda m, x: m.head(POOLED[name](m.rnn(x)[0])), rnn=GRU(5, 4, batch_first=True), head=nn.Linear(4, 3))
    agree(model, "BTC", "BO")


def test_pooling_layers_are_read_and_name_their_states():
    body = [nn.ZeroPad1d((2, 0)), nn.Conv1d(5, 6, 3), nn.ReLU()]
    mean = nn.Sequential(*body, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 2))
    assert [f.name for f in agree(mean, "BCT", "BO").states] == ["1.history", "3.sum", "3.rest", "3.count"]
    most = nn.Sequential(*body, nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(6, 2))
    assert [f.name for f in agree(most, "BCT", "BO").states] == ["1.history", "3.maximum"]


def test_layers_of_every_layout_work_together():
    def rule(m, x):
        y = m.norm(m.conv(x.transpose(1, 2))[..., : x.size(1)]).transpose(1, 2)
        z, (h, _) = m.rnn(F.relu(y) + x)
        return m.head(torch.cat([h[-1], z.mean(1), z.max(1)[0]], dim=1))

    norm = trained(nn.BatchNorm1d(5))
    rnn, conv = LSTM(5, 4, 2, batch_first=True), nn.Conv1d(5, 5, 3, padding=2)
    agree(Made(rule, conv=conv, norm=norm, rnn=rnn, head=nn.Linear(12, 2)), "BTC", "BO")
