"""Gradients of truncated backpropagation against the loop that a person would write, and against no truncation."""

import inspect
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ostinato
from bptt.by_hand import by_hand
from bptt.models import Model, cross_entropy, detach, gradients, in_chunks, stream
from tolerance import check

T, B = 24, 3
PAIRS = [(1, 1), (1, 5), (5, 1), (4, 4), (4, 6), (4, 8), (4, 11), (3, 7), (6, 4), (6, 3), (12, 5), (24, 7), (24, 24)]


def run_by_hand(model, x, y, k1, k2, resets=None, between=None, update=None):
    between = between or [model.between] * len(x)
    steps = list(zip(x, [None] * len(x) if resets is None else resets, between))
    by_hand(model.step, cross_entropy, steps, y, k1, k2, update or torch.Tensor.backward, detach)


def run(model, x, y, k1, k2, resets=None, sizes=(5,), update=None):
    tbptt = ostinato.TruncatedBPTT(model, k1, k2)
    given = (x, y) if resets is None else (x, y, resets)
    for a, b, *r in tbptt.windows(in_chunks(given, sizes)):
        loss = cross_entropy(tbptt(a, resets=r[0] if r else None), b)
        (update or torch.Tensor.backward)(loss)


@pytest.mark.parametrize(("k1", "k2"), PAIRS)
def test_gradients_are_those_of_the_loop_by_hand(k1, k2):
    model, (x, y) = Model(), stream(T // k1 * k1, B)
    run_by_hand(model, x, y, k1, k2)
    expected = gradients(model)
    model.zero_grad()
    run(model, x, y, k1, k2)
    check("gradients", gradients(model), expected, (k1, k2))


@settings(max_examples=15, deadline=None)
@given(
    k1=st.integers(1, 9),
    k2=st.integers(1, 20),
    rows=st.integers(1, 3),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    learned=st.booleans(),
    often=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 999),
)
def test_with_resets_learned_starts_and_chunks_of_any_size(k1, k2, rows, sizes, learned, often, seed):
    model, (x, y) = Model(learned=learned), stream(T // k1 * k1, rows, seed)
    resets = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < often
    resets_by_hand = resets.clone()
    resets_by_hand[0] = True  # the stream's first step is a start anyhow
    run_by_hand(model, x, y, k1, k2, resets_by_hand)
    expected = gradients(model)
    model.zero_grad()
    run(model, x, y, k1, k2, resets, sizes)
    check("gradients", gradients(model), expected, (k1, k2))


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (3, 8), (8, 3)])
def test_weights_that_change_at_every_update(k1, k2):
    """The overlapping steps run again with the weights of now, from a state that older weights made."""
    x, y = stream(T, B)
    found = []
    for way in (run_by_hand, run):
        model = Model()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

        def update(loss, optimiser=optimiser):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

        way(model, x, y, k1, k2, update=update)
        found.append(dict(model.named_parameters()))
    check("gradients", found[1], found[0])


def test_a_horizon_beyond_the_stream_is_full_backpropagation():
    model, (x, y) = Model(learned=True), stream(T, B)
    cross_entropy(model(x), y).backward()
    expected = gradients(model)
    for k1, k2 in [(24, 24), (24, 100), (5, 24), (7, 24), (5, 1000), (1, 24), (30, 24), (100, 30)]:
        model.zero_grad()
        run(model, x, y, k1, k2)
        check("gradients", gradients(model), expected, (k1, k2))


def test_equal_horizons_are_the_plain_loop_bit_for_bit():
    model, (x, y) = Model(nn.Dropout(0.4)), stream(T, B)
    torch.manual_seed(3)
    low = high = None
    for t in range(0, T, 6):
        h, low = model.low(model.embedding(x[t : t + 6]), low)
        h, high = model.high(model.between(h), high)
        cross_entropy(model.head(h), y[t : t + 6]).backward()
        low, high = detach(low), detach(high)
    expected = gradients(model)
    model.zero_grad()
    torch.manual_seed(3)
    run(model, x, y, 6, 6)
    assert all(torch.equal(a, expected[name]) for name, a in gradients(model).items())


class Marked(nn.Module):
    """Dropout that looks at which steps it is given and remembers the mask of each."""

    def __init__(self):
        super().__init__()
        self.masks, self.looks, self.at = {}, 0, []

    def forward(self, y):
        mask = (torch.rand(y.shape, dtype=y.dtype) < 0.6) / 0.6
        if torch.is_grad_enabled():
            for t, m in zip(self.at, mask):
                self.looks += 1
                assert torch.equal(self.masks.setdefault(t, m), m), f"step {t} has another mask"
        return y * mask


class WithMarks(Model):
    """Told by a second input which steps it runs."""

    def forward(self, ids, number):
        self.between.at = number[:, 0].tolist()
        return super().forward(ids)


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (4, 8), (4, 12), (1, 6), (8, 3)])
def test_overlapping_steps_have_the_masks_of_their_first_run(k1, k2):
    model, (x, y) = WithMarks(Marked()), stream(T, B)
    number = torch.arange(T)[:, None].expand(T, B)
    torch.manual_seed(5)
    tbptt = ostinato.TruncatedBPTT(model, k1, k2)
    for a, n, b in tbptt.windows(in_chunks((x, number, y), (7,))):
        cross_entropy(tbptt(a, n), b).backward()
    masks = model.between.masks
    assert sorted(masks) == list(range(T)) and model.between.looks >= T + (T - k1) * (k1 < k2)
    found = gradients(model)
    model.zero_grad()
    run_by_hand(model, x, y, k1, k2, between=[lambda h, t=t: h * masks[t] for t in range(T)])
    check("gradients", found, gradients(model))


def test_a_model_that_stops_and_starts_drawing_in_mid_stream():
    """In eval mode for a while: steps that drew nothing then draw masks when they run again, once and for all."""
    model, (x, _) = Model(nn.Dropout(0.5)), stream(T, B)
    tbptt = ostinato.TruncatedBPTT(model, 3, 9)
    for k, start in enumerate(range(0, T, 3)):
        model.train(k in (0, 4, 5, 7))
        before = torch.get_rng_state()
        assert tbptt(x[start : start + 3]).shape == (3, B, 7)
        assert torch.equal(before, torch.get_rng_state()) == (not model.training)


def test_batch_first_and_unbatched_streams():
    x, y = stream(T, B)
    model, turned = Model(), Model(batch_first=True)
    turned.load_state_dict(model.state_dict())
    resets = torch.rand(T, B) < 0.2
    run(model, x, y, 3, 7, resets)
    tbptt = ostinato.TruncatedBPTT(turned, 3, 7)
    assert tbptt.batch_first
    whole = [t.t() for t in (x, y, resets)]
    for a, b, r in tbptt.windows([tuple(t[:, :10] for t in whole), tuple(t[:, 10:] for t in whole)]):
        out = tbptt(a, resets=r)
        assert out.shape == (B, b.shape[1], 7)
        cross_entropy(out, b).backward()
    check("gradients", gradients(turned), gradients(model))
    other = Model()
    model.zero_grad()
    run(model, x[:, :1], y[:, :1], 3, 7, resets[:, :1])
    run(other, x[:, 0], y[:, 0], 3, 7, resets[:, 0])
    check("gradients", gradients(other), gradients(model))


def test_a_layer_of_another_layout_than_the_model():
    class Turned(Model):
        def forward(self, ids):
            return super().forward(ids.t()).transpose(0, 1)

    model, turned, (x, y) = Model(), Turned(batch_first=True), stream(T, B)
    turned.load_state_dict(model.state_dict())
    resets = torch.rand(T, B) < 0.2
    run(model, x, y, 4, 6, resets)
    tbptt = ostinato.TruncatedBPTT(turned, 4, 6, batch_first=False)
    for a, b, r in tbptt.windows([(x, y, resets)]):
        cross_entropy(tbptt(a, resets=r), b).backward()
    check("gradients", gradients(turned), gradients(model))


def test_several_outputs_states_and_things_without_time():
    class Several(Model):
        def forward(self, ids, *, scale):
            y, low = self.low(self.embedding(ids))
            y, high = self.high(self.between(y))
            return {"scores": self.head(y) * scale, "states": (low, high), "hidden": [y]}

    model, (x, _) = Several(), stream(T, 2)  # two rows and two layers: a state looks like two steps
    tbptt = ostinato.TruncatedBPTT(model, 2, 3)
    scale = torch.tensor(2.0, dtype=torch.float64)
    for a in tbptt.windows([x]):
        out = tbptt(a, scale=scale)
        assert out["scores"].shape == (2, 2, 7) and out["hidden"][0].shape == (2, 2, 6)
    whole = model(x, scale=scale)
    torch.testing.assert_close(out["states"], whole["states"])
    torch.testing.assert_close(out["scores"], whole["scores"][-2:])


def test_zeros_made_by_the_model_are_a_layers_own_start():
    class Zeros(Model):
        def forward(self, ids):
            y, _ = self.low(self.embedding(ids), torch.zeros(1, ids.shape[1], 5, dtype=torch.float64))
            y, _ = self.high(self.between(y), None)
            return self.head(y)

    x, y = stream(T, B)
    found = []
    for model in (Model(), Zeros()):
        run(model, x, y, 4, 6)
        found.append(gradients(model))
    check("gradients", found[1], found[0])


def test_resets_that_the_model_finds_by_itself():
    class Own(Model):
        def forward(self, ids):
            resets = ids == 0
            y, _ = self.low(self.embedding(ids), resets=resets)
            y, _ = self.high(self.between(y), resets=resets)
            return self.head(y)

    x, y = stream(T, B)
    run(model := Model(), x, y, 4, 6, x == 0)
    run(own := Own(), x, y, 4, 6)
    check("gradients", gradients(own), gradients(model))


def test_resets_only_now_and_then():
    x, y = stream(12, B)
    resets = torch.zeros(12, B, dtype=torch.bool)
    resets[6, 1] = True
    run(model := Model(), x, y, 4, 8, resets)
    other = Model()
    tbptt = ostinato.TruncatedBPTT(other, 4, 8)
    for k in range(0, 12, 4):
        out = tbptt(x[k : k + 4], resets=resets[4:8] if k == 4 else None)
        cross_entropy(out, y[k : k + 4]).backward()
    check("gradients", gradients(other), gradients(model))


def test_layers_that_are_checkpointed_and_cells_of_ones_own():
    @ostinato.cell
    def leaky(W, U, b, p, x, h):
        return p.a * h + (1 - p.a) * torch.tanh(W.h @ x + U.h @ h + b.h)

    class Plain(nn.Module):
        def __init__(self, **options):
            super().__init__()
            torch.manual_seed(2)
            self.layer = ostinato.Recurrent(leaky, 3, 5, **options).double()

        def forward(self, x):
            return self.layer(x)[0]

    x = torch.randn(12, 2, 3, dtype=torch.float64)
    found = []
    for options in ({}, {"checkpoint": 2}):
        model = Plain(**options)
        tbptt = ostinato.TruncatedBPTT(model, 3, 6)
        for a in tbptt.windows([x]):
            tbptt(a).square().sum().backward()
        found.append(gradients(model))
    check("gradients", found[1], found[0])


def test_the_document_prints_the_loop_that_is_tested():
    page = Path(__file__).parents[2] / "docs" / "truncated-bptt.md"
    assert inspect.getsource(by_hand) in page.read_text("utf-8")
