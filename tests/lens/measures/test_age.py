"""The gradient split by age: against autograd's whole, against loops written by hand, and where the answer is known."""

import json

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import ostinato
from lens.measures.ages import DOUBLE, added, layer_of, noise, parts_by_age, squares, whole
from ostinato.cells import catalogue
from ostinato.lens import by_age, truncation_bias
from ostinato.lens.measures import age_decomposition
from tolerance import check


@ostinato.cell
def decay(W, p, x, h):
    return W.h @ x + p.a * h


def test_steps_are_evaluated_once(monkeypatch):
    """As much memory as backpropagation keeps, and not twice."""
    made = []

    class Counted(age_decomposition.StepVJP):
        def __init__(self, replay):
            made.append(replay)
            super().__init__(replay)

    monkeypatch.setattr(age_decomposition, "StepVJP", Counted)
    model = layer_of("gru", num_layers=2)
    parts_by_age(model, squares(noise(5, 2, 3)))
    assert len(made) == 2


def horizon_by_hand(layer, x, weigh, k2):
    """The gradient in which the loss of each step sees the k2 steps up to its own, one loss after the other."""
    layer.zero_grad()
    states = [None]
    for x_t in x.split(1):
        with torch.no_grad():
            states.append(layer(x_t, states[-1])[1])
    for t in range(len(x)):
        start = max(0, t + 1 - k2)
        output, _ = layer(x[start : t + 1], states[start])
        weigh(output[-1], t).backward()
    found = {name: p.grad.clone() for name, p in layer.named_parameters()}
    layer.zero_grad()
    return found


@pytest.mark.parametrize("name", list(catalogue()))
def test_all_ages_together_are_autograds_gradient(name):
    layer = layer_of(name, num_layers=2)
    loss = squares(noise(6, 3, 3), lengths=[6, 3, 0])
    parts = parts_by_age(layer, loss)
    assert len(parts) == 6
    check("gradients", added(parts), whole(layer, loss, parts[0]))


@pytest.mark.parametrize(("name", "layers"), [("lstm", 1), ("gru", 2), ("lstm_projected", 2)])
def test_every_age_against_a_loop_over_losses(name, layers):
    """Ages below k are what is left where each loss sees k steps; in a stack the states of all layers are cut."""
    layer = layer_of(name, num_layers=layers, **({"proj_size": 2} if name == "lstm_projected" else {}))
    x, steps = noise(5, 2, 3), 5

    def weigh(output, t):
        return (t + 1) * output.square().sum()

    def loss(model):
        return torch.stack([weigh(output, t) for t, output in enumerate(model(x)[0])])

    parts = parts_by_age(layer, loss)
    assert len(parts) == steps
    for k2 in range(1, steps + 1):
        check("gradients", added(parts[:k2]), horizon_by_hand(layer, x, weigh, k2), f"k2 {k2}")


def test_truncation_bias_against_the_same_loop():
    layer = layer_of("lstm")
    x = noise(7, 2, 3)

    def weigh(output, t):
        return (output.sum(-1) - 0.3 * t).square().sum()

    def loss(model):
        return torch.stack([weigh(output, t) for t, output in enumerate(model(x)[0])])

    found = truncation_bias(layer, loss, k2=[1, 3, 6, 7, 20])
    full = whole(layer, loss, found.weights)
    assert found.k2_in_steps == (1, 3, 6, 7, 20) and found.weights == tuple(full)
    flat = torch.cat([g.flatten() for g in full.values()])
    for row, k2 in enumerate(found.k2_in_steps):
        cut = horizon_by_hand(layer, x, weigh, k2)
        together = torch.cat([cut[name].flatten() for name in found.weights])
        pairs = [*[(cut[n].flatten(), full[n].flatten()) for n in found.weights], (together, flat)]
        cosine = torch.stack([torch.cosine_similarity(a, b, 0) for a, b in pairs])
        error = torch.stack([(a - b).norm() / b.norm() for a, b in pairs])
        ratio = torch.stack([a.norm() / b.norm() for a, b in pairs])
        for each, all_, expected in (
            (found.cosine, found.whole_cosine, cosine),
            (found.relative_error, found.whole_relative_error, error),
            (found.norm_ratio, found.whole_norm_ratio, ratio),
        ):
            torch.testing.assert_close(torch.cat([each[row], all_[row : row + 1]]), expected, rtol=1e-9, atol=1e-12)
    assert found.whole_relative_error[2] > 1e-9 > found.whole_relative_error[3]
    assert found.smallest_k2(1e-9) == 7 and found.smallest_k2(10.0) == 1
    assert truncation_bias(layer, loss, k2=1).smallest_k2(1e-9) is None


def test_a_linear_recurrence_gives_powers():
    layer = ostinato.Recurrent(decay, 1, 1)
    nn.init.constant_(layer.p_a_l0, 0.75)
    x = torch.rand(40, 1, 1) + 0.5
    parts = parts_by_age(layer, lambda model: model(x)[0][-1])
    assert len(parts) == 40
    found = torch.stack([p["weight_ih_l0"][0, 0] for p in parts])
    torch.testing.assert_close(found, 0.75 ** torch.arange(40.0) * x.flatten().flip(0), rtol=1e-6, atol=0)
    record = by_age(layer, lambda model: model(x)[0][-1], ages=[0, 3])
    k = record.weights.index("weight_ih_l0")
    torch.testing.assert_close(record.norm_by_age[:, k], found[[0, 3]].double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(record.norm[k], found.double().sum(), rtol=1e-6, atol=0)
    torch.testing.assert_close(record.share_by_age[:, k], (found[[0, 3]] / found.sum()).double(), rtol=1e-6, atol=0)


class Tagger(nn.Module):
    """An embedding, two recurrent layers with something between them, and a head; called on whole sequences."""

    def __init__(self, bidirectional=False):
        super().__init__()
        torch.manual_seed(2)
        self.embedding = nn.Embedding(9, 3)
        self.below = ostinato.GRU(3, 4, batch_first=True, bidirectional=bidirectional)
        self.between = nn.Sequential(nn.Dropout(0.5), nn.LayerNorm(8 if bidirectional else 4))
        self.above = ostinato.LSTM(8 if bidirectional else 4, 5, num_layers=2, dropout=0.3, batch_first=True)
        self.head = nn.Linear(5, 9)
        self.double()

    def forward(self, ids, lengths=None):
        y, _ = self.below(self.embedding(ids), lengths=lengths)
        y, (h, _) = self.above(self.between(y), lengths=lengths)
        return self.head(y), h


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_model_of_several_layers(bidirectional):
    model = Tagger(bidirectional)
    ids = torch.randint(9, (3, 6), generator=torch.Generator().manual_seed(0))

    def loss(model):
        scores, h = model(ids, lengths=[6, 2, 4])
        return ostinato.sequence_loss(scores, ids, batch_first=True, lengths=[6, 2, 4]) + h.square().mean()

    parts = parts_by_age(model, loss)
    assert len(parts) == (11 if bidirectional else 6)  # a path may go back in one direction, and then in the other
    model.eval()
    check("gradients", added(parts), whole(model, loss, parts[0]))
    assert [n for n in dict(model.named_parameters()) if n not in parts[0]] == ["head.weight", "head.bias"]


def test_layers_apart_are_counted_as_layers_of_a_stack():
    stack = layer_of("gru", num_layers=2)
    below, above = layer_of("gru"), layer_of("gru", features=4)
    below.load_state_dict({k: v for k, v in stack.state_dict().items() if "l0" in k})
    above.load_state_dict({k.replace("l1", "l0"): v for k, v in stack.state_dict().items() if "l1" in k})
    apart = nn.ModuleList([below, above])
    x = noise(5, 2, 3)
    first = parts_by_age(stack, lambda m: m(x)[0].square().sum(-1))
    second = parts_by_age(apart, lambda m: m[1](m[0](x)[0])[0].square().sum(-1))
    assert len(first) == len(second) == 5
    for a, b in zip(first, second):
        names = {"0." + k if "l0" in k else "1." + k.replace("l1", "l0"): g for k, g in a.items()}
        check("gradients", {k: b[k] for k in names}, names)


def test_the_second_direction_counts_from_its_own_end():
    both, one = layer_of("lstm", bidirectional=True), layer_of("lstm")
    one.load_state_dict({k.removesuffix("_reverse"): v for k, v in both.state_dict().items() if "reverse" in k})
    x, steps = noise(5, 2, 3), torch.arange(1.0, 6)[:, None].double()
    first = parts_by_age(both, lambda m: steps * m(x)[0][..., 4:].square().sum(-1))
    second = parts_by_age(one, lambda m: steps * m(x.flip(0))[0].flip(0).square().sum(-1))
    for a, b in zip(first, second, strict=True):
        check("gradients", {k: a[k + "_reverse"] for k in b}, b)


def test_weights_made_from_others():
    layer = weight_norm(layer_of("gru"), "weight_hh_l0")
    loss = squares(noise(5, 2, 3))
    parts = parts_by_age(layer, loss)
    assert "parametrizations.weight_hh_l0.original0" in parts[0]
    check("gradients", added(parts), whole(layer, loss, parts[0]))


def test_the_record():
    model = Tagger()
    ids = torch.randint(9, (3, 6), generator=torch.Generator().manual_seed(0))

    def loss(model):
        return ostinato.sequence_loss(model(ids)[0], ids, batch_first=True, reduction="none")

    record = by_age(model, loss)
    weights = len(record.weights)
    assert record.ages_in_steps == tuple(range(6)) and record.weights[0] == "embedding.weight"
    ones = torch.ones(weights, dtype=DOUBLE)
    torch.testing.assert_close(record.share_by_age.sum(0), ones, rtol=1e-9, atol=0)
    torch.testing.assert_close(record.norm_share_by_age.sum(0), ones, rtol=1e-9, atol=0)
    assert record.share_of_other_ages.abs().max() < 1e-9 and (record.norm_of_other_ages < 1e-9 * record.norm).all()
    parts = parts_by_age(model, loss)
    flat = [torch.cat([p[name].flatten() for name in record.weights]) for p in parts]
    together = sum(flat)
    for age, part in enumerate(flat):
        share, cosine = part @ together / (together @ together), torch.cosine_similarity(part, together, 0)
        torch.testing.assert_close(record.whole.share_by_age[age, 0], share)
        torch.testing.assert_close(record.whole.cosine_by_age[age, 0], cosine)
        torch.testing.assert_close(record.whole.norm_by_age[age, 0], part.norm())
    some = by_age(model, loss, ages=[4, 1, 9])
    assert some.ages_in_steps == (1, 4, 9)
    torch.testing.assert_close(some.share_by_age[:2], record.share_by_age[[1, 4]])
    assert not some.share_by_age[2].any()
    rest = record.share_by_age[[0, 2, 3, 5]].sum(0)
    torch.testing.assert_close(some.share_of_other_ages, rest)
    torch.testing.assert_close(by_age(model, loss, ages=2).norm_by_age, record.norm_by_age[:2])

    lines = record.table().splitlines()
    assert lines[0].split("  ")[0] == "age (steps)" and "above.weight_hh_l1" in lines[0] and len(lines) == 9
    assert lines[1].split()[:2] == ["0", f"{record.whole.share_by_age[0, 0]:.3g}"] and str(record) == record.table()
    back = json.loads(record.to_json())
    assert back["share_by_age"] == record.share_by_age.tolist() and back["weights"] == list(record.weights)
    bias = truncation_bias(model, loss, k2=[2, 6])
    assert str(bias).splitlines()[1].split()[1] == f"{bias.whole_cosine[0]:.3g}"
    assert json.loads(bias.to_json())["whole_cosine"] == bias.whole_cosine.tolist()


def test_a_gradient_of_nothing_has_no_share():
    layer = layer_of("elman_relu")
    nn.init.constant_(layer.bias_ih_l0, -100.0)
    record = by_age(layer, squares(noise(4, 2, 3)))
    assert not record.norm.any() and record.share_by_age.isnan().all() and json.loads(record.to_json())["norm"]
    assert json.loads(record.to_json())["share_by_age"][0][0] is None
    assert record.table().splitlines()[1].split()[1] == "-"


def test_it_leaves_no_trace():
    model = Tagger().train()
    ids = torch.randint(9, (3, 6))
    model.head.weight.grad = torch.ones_like(model.head.weight)
    before, random = {k: v.clone() for k, v in model.state_dict().items()}, torch.random.get_rng_state()
    held = dict(vars(model.above))
    by_age(model, lambda m: m(ids)[0] + torch.rand(1))
    assert model.training and model.between[0].training and vars(model.above) == held
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert [n for n, p in model.named_parameters() if p.grad is not None] == ["head.weight"]
    assert (model.head.weight.grad == 1).all()
    losses = iter((lambda: model(ids)[0], lambda: 1 // 0))
    with pytest.raises(ZeroDivisionError):  # in the second call, which is recorded
        by_age(model, lambda _: next(losses)())
    assert model.training and vars(model.above) == held
