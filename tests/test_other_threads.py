"""What is measured, exported or trained in one thread changes no call in another, of another layer or of the same.

The other thread runs in the middle of the work, at a place that the test names, so that nothing depends on chance.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import nn

import ostinato
from ostinato import lens
from ostinato.cells.reference import sequence
from ostinato.errors import AnomalyError
from ostinato.layers.dropout import pinned
from ostinato.layers.modes import eval_mode
from tolerance import check

pytestmark = pytest.mark.slow


def elsewhere(call):
    """What a call returns, or raises, in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


class Model(nn.Module):
    """A layer and a head; `meanwhile` runs in another thread before the layer, and again after it."""

    def __init__(self, meanwhile=lambda: None):
        super().__init__()
        self.rnn, self.head, self.meanwhile = ostinato.GRU(3, 4), nn.Linear(4, 2), meanwhile

    def forward(self, x):
        elsewhere(self.meanwhile)
        y = self.rnn(x)[0]
        elsewhere(self.meanwhile)
        return self.head(y)


class Served:
    """Calls of a layer with what they must give, counted."""

    def __init__(self, layer):
        self.layer, self.x, self.calls = layer, torch.randn(6, 2, 3), 0
        self.expected = self.call()

    def call(self):
        output, state = self.layer(self.x)
        step, _ = self.layer.step(self.x[0])
        (gradient,) = torch.autograd.grad(output.sum() + step.sum(), self.layer.weight_hh_l0)
        return output, state, step, gradient

    def __call__(self):
        assert all(torch.equal(a, b) for a, b in zip(self.call(), self.expected, strict=True))
        self.calls += 1


def same_layer():
    torch.manual_seed(0)
    model = Model()
    model.meanwhile = Served(model.rnn)
    return model


def other_layer():
    torch.manual_seed(0)
    return Model(Served(ostinato.GRU(3, 4)))


def exported(model, path):
    pytest.importorskip("onnxscript")
    ostinato.export.onnx(model, path / "model.onnx", (torch.randn(5, 2, 3),))


def test_export_beside_calls_of_another_layer(tmp_path):
    model = other_layer()
    exported(model, tmp_path)
    assert model.meanwhile.calls >= 2


def test_export_beside_a_watched_layer(tmp_path):
    """torch says in every thread that it is compiling; a watch and a search for NaN see their calls all the same."""
    layer, x = ostinato.GRU(3, 4), torch.randn(5, 2, 3)
    seen = []

    def watched():
        with lens.watch(layer) as looking:
            layer(x)[0].sum().backward()
        seen.append(len(looking.report().layers))
        with pytest.raises(AnomalyError), ostinato.detect_anomaly(layer):
            layer(x * torch.nan)

    exported(Model(watched), tmp_path)
    assert len(seen) >= 2 and set(seen) == {1}


def by_age(model, x):
    return lens.by_age(model, lambda m: m(x).square().sum()).norm


def live(model, x):
    with lens.Live(model, every=1) as live, live.step():
        model(x).square().sum().backward()
        calls = len(live._calls)
    return calls, [len(r.layers) for r in [live.report]]


def watched(model, x):
    model.zero_grad()
    with lens.watch(model) as looking:
        model(x).square().sum().backward()
    return looking.report().to_json()


def truncated(model, x):
    tbptt = ostinato.TruncatedBPTT(model, 3, 3)
    found = []
    for window in tbptt.windows([(x, x)]):
        found.append(tbptt(window[0]).detach())
    return torch.cat(found)


def folded(model, x):
    return lens.fold(model, x).svg


def unfolded(model, x):
    return lens.unfold(model, x).svg


def clean(model, x):
    with ostinato.detect_anomaly(model):
        return model(x).detach()


def equal(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else repr(a) == repr(b)


WORK = [by_age, live, watched, truncated, folded, unfolded, clean]


@pytest.mark.parametrize("make", [other_layer, same_layer])
@pytest.mark.parametrize("work", WORK)
def test_work_beside_calls(work, make):
    """The calls give what they always give, and the work finds what it finds alone."""
    model, x = make(), torch.randn(6, 2, 3)
    served, model.meanwhile = model.meanwhile, lambda: None
    alone = work(model, x)
    model.meanwhile = served
    beside = work(model, x)
    assert served.calls >= 2
    assert equal(alone, beside)


def test_nan_in_another_thread_is_none_of_ours():
    layer, x = ostinato.GRU(3, 4), torch.randn(5, 2, 3)
    with ostinato.detect_anomaly(layer):
        assert elsewhere(lambda: layer(x * torch.nan))[0].isnan().any()
        layer(x)


def test_a_pin_holds_in_its_own_thread():
    torch.manual_seed(0)
    layer, x = ostinato.Recurrent("gru", 3, 4, recurrent_dropout=0.5).train(), torch.randn(5, 2, 3)

    def call(seed):
        with pinned(layer, seed):
            return layer(x)[0]

    seven, eight = call(7), call(8)
    with pinned(layer, 7):
        assert torch.equal(elsewhere(lambda: call(8)), eight)
        assert not torch.equal(elsewhere(lambda: layer(x)[0]), seven)
        assert torch.equal(layer(x)[0], seven)
    assert "_pinned" not in vars(layer)


def test_two_measurements_leave_a_model_in_training():
    """The second begins within the first and ends after it: each found the model as the other had put it."""
    model = Model().train()
    first, second = eval_mode(model), eval_mode(model)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not model.training and not model.rnn.training
    second.__exit__(None, None, None)
    assert model.training and model.rnn.training


def test_a_model_in_evaluation_stays_there():
    model = Model().train()
    model.rnn.eval()
    with eval_mode(model):
        assert not model.training
    assert model.training and not model.rnn.training and model.head.training


TEXT = """@cell()
def first_used_by_four(W, U, b, x, h):
    v1 = tanh(W.h @ x + b.h + U.h @ h)
    return {} * h + 0.5 * v1
"""


@pytest.mark.parametrize("prepared", [False, True])
def test_four_threads_compile_one_new_cell(prepared):
    cell = ostinato.Cell.from_text(TEXT.format(0.375 + prepared))  # of its own for each test: not in memory
    torch.manual_seed(0)
    layers = [ostinato.Recurrent(cell, 3, 4) for _ in range(4)]
    x, ready = torch.randn(5, 2, 3), Barrier(4)

    def first(layer):
        ready.wait()
        made = ostinato.warmup(layer) if prepared else 0
        output, _ = layer(x)
        output.sum().backward()
        return made, output.detach(), layer.weight_hh_l0.grad

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(first, layers))
    for layer, (_, output, gradient) in zip(layers, found, strict=True):
        weights = [getattr(layer, name) for name in layer._weight_names()[0]]
        truth, _, _ = sequence(cell, x, [torch.zeros(2, 4)], weights)
        check("outputs", {"output": output}, {"output": truth.detach()})
        check("gradients", {"U": gradient}, {"U": torch.autograd.grad(truth.sum(), layer.weight_hh_l0)[0]})
    if prepared:
        assert sum(made for made, *_ in found) == max(made for made, *_ in found) > 0


def test_converting_beside_calls():
    torch.manual_seed(0)
    served, model = Served(ostinato.GRU(3, 4)), nn.Sequential(nn.GRU(3, 4))
    x = torch.randn(5, 2, 3)
    expected = model(x)[0]
    model.register_forward_pre_hook(lambda *_: elsewhere(served))
    ostinato.convert(model)
    check("outputs", {"y": model(x)[0].detach()}, {"y": expected.detach()})
    assert served.calls == 1
