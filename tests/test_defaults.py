"""Another default device or number type changes nothing in calls on tensors that are there already."""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

import ostinato
from ostinato import export, lens, packing
from ostinato.apps import problems
from ostinato.apps.models import CharModel
from ostinato.apps.training import Text, windows
from ostinato.layers.dropout import pinned
from ostinato.layers.stack_call import direct_call


@contextmanager
def on_meta():
    with torch.device("meta"):
        yield


@contextmanager
def set_to_meta():
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def number_type(kind):
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


DEFAULTS = {
    "with torch.device": on_meta,
    "set_default_device": set_to_meta,
    "float64": lambda: number_type(torch.float64),
    "bfloat16": lambda: number_type(torch.bfloat16),
}


class Model(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.low, self.high = ostinato.GRU(3, 4, **options), ostinato.LSTM(4, 5, **options)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.high(self.low(x)[0])[0])


def made(make):
    torch.manual_seed(0)
    return make()


X = made(lambda: torch.randn(6, 3, 3))
MODEL = made(Model)
LAYERS = {
    "gru": made(lambda: ostinato.GRU(3, 4)),
    "lstm, two layers": made(lambda: ostinato.LSTM(3, 4, num_layers=2, bidirectional=True)),
    "learned start": made(lambda: ostinato.GRU(3, 4, learn_initial_state=True)),
    "checkpoint": made(lambda: ostinato.LSTM(3, 4, checkpoint="sqrt")),
    "masks": made(lambda: ostinato.GRU(3, 4, zoneout=0.2, weight_dropout=0.2, input_dropout=0.3)),
    "slstm": made(lambda: ostinato.Recurrent("slstm", 3, 4, layer_norm=True)),
}
RESETS = [[t == 2 and row > 0 for row in range(3)] for t in range(6)]
GIVEN = {
    "dense": {},
    "lengths": {"lengths": [2, 6, 0]},
    "resets": {"resets": RESETS},
    "states": {"lengths": (6, 1, 3), "resets": RESETS, "return_states": True},
}


def called(layer, given):
    x = X.clone().requires_grad_()
    with pinned(layer, 5):
        results = tree_leaves(layer(x, **given))
    return [*results, *torch.autograd.grad(sum(r.sum() for r in results), [x, *layer.parameters()])]


def stream():
    model = copy.deepcopy(MODEL)
    tbptt = ostinato.TruncatedBPTT(model, 2, 3)
    for window in tbptt.windows([X]):
        tbptt(window).square().sum().backward()
    return [p.grad for p in model.parameters()]


def watched():
    model = copy.deepcopy(MODEL)
    with lens.watch(model) as watch:
        model(X).square().sum().backward()
    with lens.detect_anomaly():
        model(X).square().sum().backward()
    return watch.report().to_json()


def options_of_a_new_layer():
    torch.manual_seed(3)
    layer = ostinato.LSTM(3, 4, init="chrono(20)", device="cpu", dtype=torch.float32)
    model = nn.Sequential(nn.GRU(3, 4, device="cpu", dtype=torch.float32))
    ostinato.convert(model)
    return [*layer.parameters(), *model.parameters()]


def text():
    numbers = Text.of("abcabcaabbcc")
    torch.manual_seed(0)
    model = CharModel("gru", 3, 4).to(torch.float32)
    return numbers.train, numbers.encode("abc"), windows(numbers.train, 3, 4), len(list(model.parameters()))


def packed():
    pack = packing.from_offsets(X.flatten(0, 1), [0, 5, 6, 18])
    return [pack.data, pack.batch_sizes, *packing.to_offsets(pack)]


def last(h):
    return h.square().sum(-1)


CALLS = {
    **{f"{name}, {kind}": lambda g=g, y=y: called(y, g) for name, y in LAYERS.items() for kind, g in GIVEN.items()},
    "step": lambda: LAYERS["gru"].step(X[0]),
    "stream": stream,
    "watch": watched,
    "new layer": options_of_a_new_layer,
    "warmup": lambda: ostinato.warmup(MODEL) * 0,
    "packing": packed,
    "loss": lambda: ostinato.sequence_loss(
        X, X * 2, kind="squared", reduction="mean_over_sequences_of_means", lengths=[2, 6, 0]
    ),
    "gradient_by_lag": lambda: lens.gradient_by_lag(LAYERS["gru"], X, last).norms,
    "gradient_matrix": lambda: vars(lens.gradient_matrix(LAYERS["gru"], X, last)),
    "gate_values": lambda: lens.gate_values(LAYERS["gru"], X, lengths=[2, 6, 1]),
    "jacobian": lambda: lens.jacobian(LAYERS["gru"], X, lengths=[2, 6, 1]).to_json(),
    "by_age": lambda: vars(lens.by_age(MODEL, lambda model: model(X).square().sum((1, 2)))),
    "unfold": lambda: str(lens.unfold(MODEL, X)),
    "to_keras": lambda: export.to_keras(LAYERS["gru"]),
    "to_flax": lambda: export.to_flax(LAYERS["gru"]),
    **{
        f"task {n}": lambda n=n: vars(problems.named(n).draw(20, 2, torch.Generator().manual_seed(0)))
        for n in problems.TASKS
    },
}


def values(results):
    def plain(t):
        t = torch.from_numpy(t.copy()) if isinstance(t, np.ndarray) else t
        return (str(t.dtype), str(t.device), t.detach().clone()) if isinstance(t, torch.Tensor) else t

    return tree_leaves(tree_map(plain, results))


@pytest.mark.parametrize("default", DEFAULTS.values(), ids=DEFAULTS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_result_is_that_of_a_plain_call(call, default):
    expected = values(call())
    with default():
        found = values(call())
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        if isinstance(b, torch.Tensor):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
        else:
            assert a == b or repr(a) == repr(b)


def test_calls_stay_direct_for_a_shape_first_seen_under_another_device():
    layer, x = ostinato.GRU(3, 7), torch.randn(5, 11, 3)
    with torch.device("meta"):
        assert direct_call(layer, x, None, None) is not None
    assert direct_call(layer, x, None, None) is not None
