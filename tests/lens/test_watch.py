"""Looking on: what is seen is the truth, for every cell; and nothing that is looked at changes by a bit."""

import copy
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

import ostinato
from ostinato import lens
from ostinato.cells import catalogue
from ostinato.execution.interception import INTERCEPTION
from tolerance import check


class Net(nn.Module):
    def __init__(self, rnn, width):
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(width, 2)

    def forward(self, x, **given):
        return self.head(self.rnn(x, **given)[0])


def bits(t):
    return t.contiguous().view(torch.int64 if t.dtype == torch.float64 else torch.int32)


def train(model, x, given, watched, steps=2):
    """(losses, gradients, weights) of some steps of ordinary training, and the last report."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    torch.manual_seed(3)
    results, report = [], None
    for _ in range(steps):
        looking = lens.watch(model) if watched else None
        if looking is not None:
            looking.__enter__()
        optimiser.zero_grad()
        loss = model(x, **given).square().mean()
        loss.backward()
        clip_grad_norm_(model.parameters(), 0.05)
        results += [loss.detach(), *[p.grad.clone() for p in model.parameters() if p.grad is not None]]
        optimiser.step()
        if looking is not None:
            looking.__exit__(None, None, None)
            report = looking.report()
    return [*results, *[p.detach() for p in model.parameters()]], report


RESETS = torch.zeros(9, 4, dtype=torch.bool)
RESETS[3, 1] = RESETS[5, 1] = RESETS[0, 2] = True
KINDS = {
    "one layer": (lambda: Net(ostinato.LSTM(3, 8), 8), {}),
    "lengths, layers, directions, dropout": (
        lambda: Net(ostinato.GRU(3, 8, num_layers=2, bidirectional=True, dropout=0.3), 16),
        {"lengths": [9, 2, 5, 0]},
    ),
    "masks, norms and clamped gradients": (
        lambda: Net(
            ostinato.LSTM(3, 8, layer_norm=True, zoneout=0.2, recurrent_dropout=0.3, clip_gradient=0.1, clip_state=1.0),
            8,
        ),
        {"lengths": [9, 2, 5, 0]},
    ),
    "resets": (lambda: Net(ostinato.GRU(3, 8, bidirectional=True), 16), {"resets": RESETS}),
    "checkpointed, resets": (lambda: Net(ostinato.LSTM(3, 8, checkpoint=3), 8), {"resets": RESETS}),
    "eval, a projected cell": (lambda: Net(ostinato.LSTM(3, 8, proj_size=5, num_layers=2), 5).eval(), {}),
    "no gradients of the first layer": (lambda: frozen(Net(ostinato.LSTM(3, 8, num_layers=2), 8)), {}),
}


def frozen(model):
    for name, p in model.rnn.named_parameters():
        p.requires_grad_("l1" in name)
    return model


@pytest.mark.parametrize("kind", list(KINDS))
def test_looking_on_changes_no_bit(kind):
    torch.manual_seed(1)
    make, given = KINDS[kind]
    model, x = make(), torch.randn(9, 4, 3)
    alone, _ = train(copy.deepcopy(model), x, given, watched=False)
    seen, report = train(copy.deepcopy(model), x, given, watched=True)
    assert len(alone) == len(seen)
    for a, b in zip(alone, seen):
        assert torch.equal(bits(a), bits(b))
    assert report.clipping.steps == 1 and report.clipping.rate == 1
    assert report.clipping.norms_after[0] == pytest.approx(0.05, rel=1e-3)


def test_nothing_is_left_behind():
    model = Net(ostinato.LSTM(3, 8), 8)
    before = {name: dict(vars(m)) for name, m in model.named_modules()}
    hooks = sys.modules["torch.optim.optimizer"]
    earlier = dict(hooks._global_optimizer_pre_hooks), dict(hooks._global_optimizer_post_hooks)
    train(model, torch.randn(9, 4, 3), {}, watched=True, steps=1)
    assert INTERCEPTION.get() is None
    assert {name: dict(vars(m)) for name, m in model.named_modules()} == before
    assert all(not p._post_accumulate_grad_hooks for p in model.parameters())
    assert (hooks._global_optimizer_pre_hooks, hooks._global_optimizer_post_hooks) == earlier
    with pytest.raises(RuntimeError, match="in the step"), lens.watch(model):
        raise RuntimeError("in the step")
    assert INTERCEPTION.get() is None and hooks._global_optimizer_pre_hooks == earlier[0]


@pytest.mark.parametrize("name", list(catalogue()))
def test_curve_and_probe_are_what_retain_grad_holds_for_every_cell(name):
    torch.manual_seed(2)
    projected = {"proj_size": 5} if name == "lstm_projected" else {}
    layer = ostinato.Recurrent(name, 7, 11, dtype=torch.float64, **projected)
    x = torch.randn(40, 20, 7, dtype=torch.float64)
    with lens.watch(layer) as looking:
        output, state = layer(x)
        finals = state if isinstance(state, tuple) else (state,)
        seeds = torch.randn_like(output), [torch.randn_like(s[0]) for s in finals]
        ((output * seeds[0]).sum() + sum((s[0] * d).sum() for s, d in zip(finals, seeds[1]))).backward()
    (found,) = looking.report().layers
    start = [torch.zeros_like(s[0]) for s in finals]
    expected = record(layer, x, start, *seeds)
    check(
        "gradients",
        dict(zip(layer.cell.states, found.gradient.norms)),
        {s: e.norm(dim=2) for s, e in zip(layer.cell.states, expected)},
    )
    only_last = torch.zeros_like(seeds[0])
    only_last[-1] = seeds[0][-1]
    expected = record(layer, x, start, only_last, seeds[1])
    check(
        "gradients",
        dict(zip(layer.cell.states, found.probe.norms)),
        {s: e.norm(dim=2).flip(0) for s, e in zip(layer.cell.states, expected)},
    )


def record(layer, x, start, d_output, d_finals):
    """What retain_grad() on every state of a loop of single steps of the reference holds: [T, B, H] for each state."""
    weights = [getattr(layer, name).detach().requires_grad_() for name in layer._weight_names()[0]]
    now, every, loss = start, [], 0.0
    for x_t, d in zip(x, d_output):
        output, now = layer.cell.step(weights, x_t, now)
        for s in now:
            s.retain_grad()
        every.append(now)
        loss = loss + (output * d).sum()
    (loss + sum((s * d).sum() for s, d in zip(now, d_finals))).backward()
    return [torch.stack([step[k].grad for step in every]) for k in range(len(now))]
