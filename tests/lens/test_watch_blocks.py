"""Gradients that a watched step in float32 measures block by block, against those that it records in float64."""

import copy

import pytest
import torch

import ostinato
from ostinato import lens
from ostinato.kernels import BlockNorms
from ostinato.kernels.system.openmp import kernel_threads

T, B = 60, 20  # three blocks of steps
LENGTHS = [T] * 9 + [40, 40, 33, 31, 30, 30, 12, 5, 4, 2, 1]


def report(model, x, last, **call):
    model.zero_grad()
    with lens.watch(model) as looking:
        output = model(x, **call)[0]
        (output[-1] if last else output).square().sum().backward()
    return looking.report(), [p.grad for p in model.parameters()]


def near(found, expected):
    scale = expected[expected.isfinite()].abs().max().item()
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-6 * scale, equal_nan=True)


@pytest.mark.parametrize("last", [True, False], ids=["last", "every"])
@pytest.mark.parametrize("call", [{}, {"lengths": LENGTHS}], ids=["dense", "ragged"])
@pytest.mark.parametrize("options", [{}, {"checkpoint": 27}], ids=str)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_blocks_in_float32_show_what_is_recorded_in_float64(kind, options, call, last, monkeypatch):
    torch.manual_seed(0)
    single = getattr(ostinato, kind)(16, 12, bidirectional=True, **options)
    double, x = copy.deepcopy(single).double(), torch.randn(T, B, 16, dtype=torch.float64)
    run, blocks = BlockNorms.run, []

    def counted(self, *arguments):
        blocks.append(arguments[:2])
        run(self, *arguments)

    monkeypatch.setattr(BlockNorms, "run", counted)
    with kernel_threads(2):
        expected, _ = report(double, x, last, **call)
        assert not blocks
        found, gradients = report(single, x.float(), last, **call)
        assert len(blocks) >= 2 * 2
    single.zero_grad()
    output = single(x.float(), **call)[0]
    (output[-1] if last else output).square().sum().backward()
    assert all(torch.equal(p.grad, g) for p, g in zip(single.parameters(), gradients, strict=True))
    for a, b in zip(found.layers, expected.layers, strict=True):
        near(a.gradient.norms, b.gradient.norms)
        near(a.gradient.underflowed_share, b.gradient.underflowed_share)
        near(a.probe.norms, b.probe.norms)
        near(a.probe.additive_norms, b.probe.additive_norms)
        for weight, other in zip(a.weight_gradients, b.weight_gradients, strict=True):
            assert weight.parameter == other.parameter
            near(weight.norms, other.norms)


def test_where_a_block_has_few_steps_for_many_threads_gradients_are_recorded(monkeypatch):
    monkeypatch.setattr(BlockNorms, "run", None)
    torch.manual_seed(0)
    model, x = ostinato.GRU(16, 12), torch.randn(T, B, 16)
    with kernel_threads(16):
        found, _ = report(model, x, last=True)
    expected, _ = report(model.double(), x.double(), last=True)
    near(found.layers[0].gradient.norms, expected.layers[0].gradient.norms)
    near(found.layers[0].weight_gradients[0].norms, expected.layers[0].weight_gradients[0].norms)
