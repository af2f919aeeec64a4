"""`warmup`: afterwards nothing is left to compile, in this process and in the next one with a cache it cannot write."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import ostinato
from ostinato.errors import InputError
from ostinato.kernels.runtime.api import compiled_backward, compiled_forward
from ostinato.kernels.system import compile_cache

pytestmark = pytest.mark.slow

MODEL = """
import json, os, torch, ostinato
from torch import nn, tanh
from ostinato.kernels.system import compile_cache

@ostinato.cell
def leaky(W, U, b, x, h):
    return 0.9 * h + 0.1 * tanh(W.a @ x + U.a @ h + b.a)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = ostinato.RNN(3, 4)
        self.second = ostinato.Recurrent(leaky, 4, 5, dtype=torch.float64)

    def forward(self, x):
        y, _ = self.first(x)
        return self.second(y.double())[0].sum()

def use(model):
    x = torch.randn(6, 2, 3, requires_grad=True)
    with torch.inference_mode():
        model(x)
    model(x).backward()
    assert x.grad.abs().max() > 0

torch.set_num_threads(1)
torch.manual_seed(0)
model = Model()
"""
FILL = """
made = ostinato.warmup(model)
compiled = compile_cache.compiled_count()
again = ostinato.warmup(model)
use(model)
print(json.dumps([made, compiled, again, compile_cache.compiled_count()]))
"""
START = """
use(model)
print(json.dumps([compile_cache.compiled_count(), sorted(os.listdir(os.environ["OSTINATO_CACHE"]))]))
"""


def run(script, cache):
    environment = {**os.environ, "OSTINATO_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MODEL + script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_process_with_a_read_only_cache_compiles_nothing_after_warmup(tmp_path):
    made, compiled, again, after_use = run(FILL, tmp_path)
    # What sorts rows, what threads meet in; two cells: forward, forward that keeps, backward.
    assert made == compiled == after_use == 8
    assert again == 0
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 8
    tmp_path.chmod(0o500)
    try:
        assert run(START, tmp_path) == [0, files]
    finally:
        tmp_path.chmod(0o700)


def test_the_check_above_counts_what_an_empty_cache_costs(tmp_path):
    assert run(START, tmp_path)[0] == 6


@pytest.fixture
def counted(monkeypatch):
    """The kernels that warmup asks for, none of them made."""
    from ostinato.kernels.runtime import precompile

    asked = []

    def prepare(needs):
        asked.extend((need.cell.name, need.dtype, need.training, need.histories) for need in needs)
        return sum(3 if need.training else 1 for need in needs)

    monkeypatch.setattr(precompile, "prepare", prepare)
    return asked


def test_every_layer_inside_the_model_is_asked_and_no_other(counted):
    model = nn.Sequential(nn.LSTM(2, 3), nn.ModuleList([ostinato.LSTM(2, 3), ostinato.RNN(3, 3, nonlinearity="relu")]))
    assert ostinato.warmup(model) == 6
    assert [name for name, *_ in counted] == ["lstm", "elman_relu"]
    assert ostinato.warmup(ostinato.Recurrent("mgu", 2, 3).double(), training=False, return_states=True) == 1
    assert counted[-1] == ("mgu", torch.float64, False, True)


def test_half_precision_is_prepared_in_the_type_that_it_is_computed_in(counted):
    ostinato.warmup(ostinato.GRU(2, 3).bfloat16())
    assert counted == [("gru", torch.float32, True, False)]


def test_a_layer_without_a_place_on_the_cpu_has_nothing_to_prepare(counted):
    assert ostinato.warmup(ostinato.GRU(2, 3, device="meta")) == 0
    assert counted == []


def test_calls_with_return_states_are_prepared_on_demand():
    layer = ostinato.Recurrent("minlstm", 3, 4)
    ostinato.warmup(layer, return_states=True)
    before = compile_cache.compiled_count()
    x = torch.randn(3, 2, 3, requires_grad=True)
    output, _, states = layer(x, return_states=True)
    (output.sum() + sum(s.square().sum() for s in (states if isinstance(states, tuple) else (states,)))).backward()
    layer(x, return_states=True)[0].sum().backward()
    with torch.no_grad():
        layer(x, return_states=True)
    assert compile_cache.compiled_count() == before


def test_a_layer_that_draws_finds_its_training_and_its_masks_prepared():
    layer = ostinato.LSTM(3, 4, zoneout=0.2, weight_dropout=0.2, input_dropout=0.2)
    compiled_forward.cache_clear()
    compiled_backward.cache_clear()
    assert ostinato.warmup(layer, training=False) == 1
    assert ostinato.warmup(layer) == 7  # 2 and 3 of the cells, and a mask's cell each of weights and of inputs
    for mode in (True, False):
        layer.train(mode)(torch.randn(3, 2, 3, requires_grad=True))[0].sum().backward()
        with torch.no_grad():
            layer(torch.randn(3, 2, 3))
    assert compiled_forward.cache_info().misses + compiled_backward.cache_info().misses == 8


def test_what_is_no_model_is_refused():
    with pytest.raises(InputError, match="warmup: model must be a torch.nn.Module, got dict. Give the model"):
        ostinato.warmup({})
