"""What is measured before and early in training: noise by hand and by autograd, losses of answers known in advance."""

import math
from dataclasses import replace

import pytest
import torch

from ostinato.apps.lab import Case
from ostinato.apps.lab.early import ROWS, constant_loss, losses, mean_over_deviation, moments, noise
from ostinato.apps.lab.experiment import build, measured_rows, reach, watched
from ostinato.apps.lab.settings import Training
from ostinato.apps.problems import named

QUICK = Training(updates=200, batch=8, hidden=8)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_mean_and_deviation_worked_out_by_hand():
    cue, whole = (torch.tensor(values)[:, None, None] for values in ([1.0, 3.0], [0.0, 4.0]))
    found = mean_over_deviation(cue, whole)
    assert found.snr == pytest.approx(math.sqrt((4 - 1) / 2))
    assert found.signal == pytest.approx(math.sqrt((4 - 1) / 8))
    opposite = torch.tensor([1.0, -1.0])[:, None, None]
    assert mean_over_deviation(opposite, whole).snr == 0
    same = torch.ones(3, 1, 1)
    assert (mean_over_deviation(same, same).snr, mean_over_deviation(0 * same, 0 * same).signal) == (0, 0)


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_the_noise_is_what_autograd_gives_row_by_row(cell):
    case = Case("adding", 6, cell, "torch", 0, QUICK)
    network = build(case)
    rows = measured_rows(network, case, ROWS)
    weights = [getattr(rows.layer, name) for name in rows.layer._weight_names()[0]]
    start = torch.zeros(ROWS, rows.layer.hidden_size, dtype=torch.float64)
    states, every = (start,) * len(rows.layer.cell.states), []
    for x in rows.inputs:
        _, states = rows.layer.cell.step(weights, x, states)
        states = tuple(state * 1 for state in states)  # as they enter the next step
        every.append(states)
    flat = [state for states in every for state in states]
    grads = torch.autograd.grad(rows.loss(states[0]).sum(), flat, allow_unused=True, materialize_grads=True)
    count = len(states)
    by_step = [torch.cat(grads[t * count : (t + 1) * count], dim=1) for t in range(6)]
    parts = [torch.stack([torch.outer(d, v) for d, v in zip(*both)]) for both in zip(by_step, rows.inputs)]
    deviations = [(u - u.mean(0)).norm() / math.sqrt(ROWS - 1) for u in (parts[0], sum(parts))]
    size = (parts[0].mean(0).norm() ** 2 - deviations[0] ** 2 / ROWS).clamp(min=0).sqrt()
    found = noise(network, case)
    assert found.snr == pytest.approx((size / deviations[0]).item(), rel=1e-5) and found.snr > 0
    assert found.signal == pytest.approx((size / deviations[1]).item(), rel=1e-5)


def test_the_best_constant_answer():
    assert constant_loss(named("adding"), torch.tensor([[0.0], [2.0]])) == pytest.approx(1.0)
    assert constant_loss(named("reber"), torch.tensor([5, 3, 5, 3])) == pytest.approx(math.log(2))
    assert constant_loss(named("copy"), torch.tensor([1, 1])) == 0


def test_a_network_that_answers_the_same_everywhere_has_learned_nothing():
    case = Case("agreement", 6, "gru", "torch", 0, QUICK)
    network, examples = build(case), watched(case)
    with torch.no_grad():
        network.head.weight.zero_()
        shares = examples.targets[-1].bincount() / examples.targets.shape[1]
        network.head.bias.copy_(shares.log())
    tested, trained = losses(network, named("agreement"), examples)
    assert tested == pytest.approx(1.0, abs=1e-6)
    assert trained == pytest.approx(constant_loss(named("agreement"), examples.targets[-1]), abs=1e-6)


def test_a_case_is_measured_before_and_early_in_training():
    case = Case("agreement", 6, "lstm", "torch", 0, QUICK)
    found = moments(case)
    assert [moment.updates for moment in found] == [0, 2, 4]
    before = reach(build(case), case)
    assert (found[0].reach, found[0].ratio, found[0].share) == (before.steps, before.ratio, before.share)
    assert all(0 < moment.probe_ratio < 1 and 0 < moment.probe_share < 1 for moment in found)
    assert found[0].probe_ratio == pytest.approx(found[0].ratio, rel=0.5)  # of other sequences
    assert found[2].loss < found[0].loss and found[2].ratio != found[1].ratio != found[0].ratio
    assert moments(case) == found


def test_a_case_that_diverges_is_measured_as_long_as_it_is_finite():
    training = replace(QUICK, learning_rate=1e12, clip=1e12)
    found = moments(Case("adding", 30, "elman_relu", "identity", 0, training))
    assert 1 <= len(found) < 3 and found[0].updates == 0
