"""One case: what it measures before training, that it learns, that it is the same each time and after a pause."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from ostinato.apps.lab import Case, experiment
from ostinato.apps.lab.experiment import EVERY, TrainingRun, build, generator, reach
from ostinato.apps.lab.settings import Training
from ostinato.apps.problems import named

QUICK = Training(updates=2 * EVERY, batch=8, hidden=8, to_the_end=True)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def finished(case):
    run = TrainingRun(case)
    while run.result is None:
        run.advance()
    return run


def told(run):
    """The result without its seconds."""
    return replace(run.result, seconds=0.0)


@pytest.mark.parametrize("cell", ["elman", "lstm"])
@pytest.mark.parametrize("task", ["adding", "reber"])
def test_the_reach_is_what_autograd_says_step_by_step(task, cell):
    """The equations run by hand in float64, every state kept, one backward pass per row."""
    case = Case(task, 12, cell, "torch", 0, QUICK)
    network, problem = build(case), named(task)
    found = reach(network, case)
    double = copy.deepcopy(network).double()
    drawn = problem.draw(12, 512, generator(0, 5))
    end = int(drawn.eval_mask[:, 0].nonzero().max())
    weights = [getattr(double.layer, name) for name in double.layer._weight_names()[0]]
    ratios = []
    for row in range(32):
        start = torch.zeros(1, double.layer.hidden_size, dtype=torch.float64)
        states = (start,) * len(double.layer.cell.states)
        every = []
        for step in range(end + 1):
            x = drawn.inputs[step, row : row + 1].double()
            _, states = double.layer.cell.step(weights, x, states)
            # As they enter the next step: what c gives to h within its own step is not c's to carry.
            states = tuple(state * 1 for state in states)
            every.append(states)
        target = drawn.targets[end, row : row + 1]
        target = target.double() if target.is_floating_point() else target
        loss = problem.loss_of(double.head(states[0]), target).sum()
        flat = [state for states in every for state in states]
        grads = torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True)
        count = len(states)
        squares = [float(gradient.square().sum()) for gradient in grads]
        norms = [math.sqrt(sum(squares[k : k + count])) for k in range(0, len(grads), count)]
        ratios.append([norm / norms[-1] for norm in reversed(norms)])
    expected = torch.tensor(ratios).double().quantile(0.5, dim=0)
    assert found.ratio == pytest.approx(expected[11].item(), rel=1e-5)
    assert found.measured == end
    assert found.steps == int((expected >= 0.01).nonzero().max())


def test_a_lag_of_many_lengths_is_measured_where_all_rows_end_together():
    case = Case("distractors", 6, "gru", "torch", 0, QUICK)
    found = reach(build(case), case)
    assert found.measured == 6 and 0 < found.ratio


def test_units_that_are_dead_reach_nothing():
    case = Case("adding", 6, "elman_relu", "torch", 0, QUICK)
    network = build(case)
    with torch.no_grad():
        for bias in (network.layer.bias_ih_l0, network.layer.bias_hh_l0):
            bias.fill_(-100.0)
        network.head.weight.zero_()
    found = reach(network, case)
    assert (found.steps, found.ratio) == (0, 0.0)


def test_a_short_lag_is_learned_and_ends_the_training():
    run = finished(Case("temporal-order", 10, "gru", "torch", 0, Training(updates=2000, hidden=16)))
    assert run.result.bridged and run.result.error <= 0.01
    assert run.result.updates < 2000 and run.result.updates % EVERY == 0


def test_a_lag_out_of_reach_is_not_learned_and_stays_at_chance():
    run = finished(Case("temporal-order", 60, "elman", "torch", 0, replace(QUICK, to_the_end=False)))
    assert not run.result.bridged and run.result.updates == QUICK.updates
    assert run.result.error == pytest.approx(0.75, abs=0.06)
    assert run.result.reach.steps < 20 and run.result.reach.ratio < 1e-8


@pytest.mark.parametrize("training", [QUICK, replace(QUICK, sequences=60, decay=True)], ids=["new", "pool"])
def test_a_resumed_run_ends_in_the_same_bits(training):
    case = Case("agreement", 8, "lstm", "forget-1", 3, training)
    state = torch.random.get_rng_state()
    whole = finished(case)
    first = TrainingRun(case)
    first.advance()
    stops = iter([False] * 37 + [True])
    first.advance(lambda: next(stops))  # saved between two measurements of the error
    assert first.updates == EVERY + 37 and first.result is None
    kept = first.state_dict()
    first.advance()
    second = TrainingRun(case)
    second.load_state_dict(kept)
    second.advance()
    assert told(second) == told(whole) == told(first)
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, second.network.state_dict()[name]), name
    assert torch.equal(state, torch.random.get_rng_state())
    assert told(finished(replace(case, seed=4))) != told(whole)


def test_rows_are_told_apart_by_their_group():
    result = finished(Case("agreement", 12, "gru", "torch", 0, QUICK)).result
    assert sum(rows for _, rows, _ in result.groups) == 2000
    assert sum(rows * error for _, rows, error in result.groups) == pytest.approx(2000 * result.error)
    assert [group for group, _, _ in result.groups] == sorted({group for group, _, _ in result.groups})


def test_a_pool_is_read_in_another_order_each_time_and_never_beyond():
    case = Case("adding", 4, "elman", "torch", 0, replace(QUICK, sequences=20))
    run, read = TrainingRun(case), []
    for run.updates in range(4):
        read.append(run._batch().inputs)
    whole = named("adding").draw(4, 20, generator(0, 1, 0)).inputs
    rows = [{tuple(row.flatten().tolist()) for row in batch.unbind(1)} for batch in read]
    assert all(batch <= {tuple(row.flatten().tolist()) for row in whole.unbind(1)} for batch in rows)
    assert len(rows[0] | rows[1]) == len(rows[2] | rows[3]) == 16
    assert rows[0] != rows[2]


def test_divergence_is_a_result():
    case = Case("adding", 30, "elman_relu", "identity", 0, replace(QUICK, learning_rate=1e12, clip=1e12))
    result = finished(case).result
    assert not result.bridged and result.error is None and result.updates < 10


def test_a_test_in_parts_finds_what_one_in_a_single_call_finds(monkeypatch):
    run = TrainingRun(Case("agreement", 8, "gru", "torch", 0, QUICK))
    examples = run.task.draw(8, 50, generator(1, 2))
    whole = run._judge(examples)
    monkeypatch.setattr(experiment, "AT_ONCE", 7 * 9)  # seven sequences of nine steps at a time
    sizes = []
    run.network.register_forward_pre_hook(lambda module, given: sizes.append(given[0].shape[1]))
    assert run._judge(examples) == whole
    assert sizes == [7] * 7 + [1]
