"""Looking on at training that is more than one call: cut streams, checkpoints, several passes. All by values."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import ostinato
from ostinato import lens
from tolerance import check

DOUBLE = {"dtype": torch.float64}


class Net(nn.Module):
    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = ostinato.LSTM(3, 6, **options, **DOUBLE), nn.Linear(6, 2, **DOUBLE)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def by_hand(model, x, state, last):
    """What retain_grad() holds of h and c in a loop of single steps whose loss reads the `last` steps: [2, T, B]."""
    weights = [getattr(model.rnn, n).detach().requires_grad_() for n in model.rnn._weight_names()[0]]
    every, loss = [], 0.0
    for t, x_t in enumerate(x):
        output, state = model.rnn.cell.step(weights, x_t, state)
        every.append(state)
        for s in state:
            s.retain_grad()
        if t >= len(x) - last:
            loss = loss + model.head(output).square().sum()
    loss.backward()
    return torch.stack([torch.stack([s[k].grad.norm(dim=1) for s in every]) for k in range(2)])


def curves(report):
    """The gradient curves of all calls, one after the other in time."""
    return torch.cat([layer.gradient.norms for layer in report.layers], 1)


def same(found, expected):
    check("gradients", dict(zip("hc", found)), dict(zip("hc", expected)))


@pytest.mark.parametrize("options", [{}, {"checkpoint": 2}], ids=str)
@pytest.mark.parametrize(("k1", "k2"), [(4, 8), (4, 6), (4, 4), (8, 4)])
def test_truncated_backpropagation_shows_what_reaches_the_states_of_its_window(k1, k2, options):
    model, x = Net(**options), torch.randn(24, 5, 3, **DOUBLE)
    cut = ostinato.TruncatedBPTT(model, k1=k1, k2=k2)
    for n in range(24 // k1):
        end = (n + 1) * k1
        with lens.watch(model) as looking:
            cut(x[n * k1 : end]).square().sum().backward()
        report = looking.report()
        begin = max(0, min(end - k1, end - k2))
        assert all(layer.gradient is not None for layer in report.layers)
        assert sum(layer.steps for layer in report.layers) == end - begin
        spans = [(begin, end)] if k1 <= k2 else [(a, a + k2) for a in range(begin, end, k2)]
        expected = []
        for a, b in spans:
            with torch.no_grad():
                before = model.rnn(x[:a])[1] if a else (torch.zeros(1, 5, 6, **DOUBLE),) * 2
            expected.append(by_hand(model, x[a:b], [s[0].detach() for s in before], min(k1, b - a)))
        same(curves(report), torch.cat(expected, 1))


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_runs_again_is_not_another_call(reentrant):
    model, x = Net(), torch.randn(7, 5, 3, **DOUBLE).requires_grad_()
    with lens.watch(model) as looking:
        checkpoint(model, x, use_reentrant=reentrant).square().sum().backward()
    layers = [layer for layer in looking.report().layers if layer.gradient is not None]
    assert len(layers) == 1 and len(looking.report().layers) == 1 + reentrant
    expected = by_hand(model, x.detach(), [torch.zeros(5, 6, **DOUBLE)] * 2, 7)
    same(layers[0].gradient.norms, expected)


def test_of_several_backward_passes_the_last_one_is_reported():
    model, x = Net(), torch.randn(7, 5, 3, **DOUBLE)
    with lens.watch(model) as looking:
        output = model(x)
        output.square().sum().backward(retain_graph=True)
        output[-2:].square().sum().backward()
    (layer,) = looking.report().layers
    assert layer.gradient.backward_passes == 2
    same(layer.gradient.norms, by_hand(model, x, [torch.zeros(5, 6, **DOUBLE)] * 2, 2))


def test_a_layer_called_for_two_batches_has_two_reports():
    model, batches = Net(), (torch.randn(7, 5, 3, **DOUBLE), torch.randn(4, 2, 3, **DOUBLE))
    with lens.watch(model) as looking:
        sum(model(x).square().sum() for x in batches).backward()
    layers = looking.report().layers
    assert [(layer.call, layer.rows) for layer in layers] == [(0, 5), (1, 2)]
    for layer, x in zip(layers, batches):
        start = [torch.zeros(x.shape[1], 6, **DOUBLE)] * 2
        same(layer.gradient.norms, by_hand(model, x, start, len(x)))


def test_an_error_in_the_middle_leaves_what_was_seen_and_nothing_else():
    model, x = Net(), torch.randn(7, 5, 3, **DOUBLE)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="in between"), lens.watch(model) as looking:
        output = model(x)
        raise RuntimeError("in between")
    output.square().sum().backward()  # after the watch: nobody looks any more
    (layer,) = looking.report().layers
    assert layer.gradient is None and "while it was watched" in layer.gradient_absent
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


@pytest.mark.parametrize(("x", "given"), [(torch.randn(4, 0, 3), {}), (torch.randn(4, 3, 3), {"lengths": [0, 0, 0]})])
def test_a_call_without_steps_says_so(x, given):
    layer = ostinato.GRU(3, 5)
    with lens.watch(layer) as looking:
        layer(x, **given)[0].sum().backward()
    (found,) = looking.report().layers
    assert found.gradient is None and found.gradient_absent == "the call has no steps" and found.gates == ()
    assert looking.report().table() and looking.report().to_json() and looking.report().verdict == ()


@pytest.mark.parametrize("where", ["everywhere", "last"])
@pytest.mark.parametrize("given", [{}, {"lengths": [9, 2, 5, 9]}], ids=str)
def test_the_probe_is_the_gradient_of_last_steps_alone_whether_or_not_the_loss_is(where, given):
    """Where the loss reads last steps alone no second pass is made; both ways must agree."""
    torch.manual_seed(0)
    layer, x = ostinato.LSTM(3, 6, bidirectional=True, **DOUBLE), torch.randn(9, 4, 3, **DOUBLE)
    ends = torch.tensor(given.get("lengths", [9] * 4)) - 1
    last = torch.zeros(9, 4, 12, dtype=torch.bool)
    last[ends, torch.arange(4), :6] = True
    last[0, :, 6:] = True  # the second direction's last step
    weights = torch.randn(9, 4, 12, **DOUBLE)
    with lens.watch(layer) as looking:
        output = layer(x, **given)[0] * weights
        (output if where == "everywhere" else output.where(last, 0.0)).sum().backward()
    with lens.watch(layer) as alone:
        (layer(x, **given)[0] * weights).where(last, 0.0).sum().backward()
    for found, expected in zip(looking.report().layers, alone.report().layers):
        curve = expected.gradient.norms
        probe = found.probe.norms
        for run, row in enumerate(sorted(range(4), key=lambda r: -int(ends[r]))):
            n = int(ends[row]) + 1
            by_lag = curve[:, :n, row] if found.reverse else curve[:, :n, row].flip(1)
            same(probe[:, :n, run], by_lag)
