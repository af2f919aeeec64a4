"""Values inside a step, for all steps at once, against the loop over time that they replace."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato
from cells.compose import random_call, random_cell
from layers.small import draw
from ostinato.cells import catalogue
from ostinato.cells.reference import sequence
from ostinato.lens import evaluate, named_values, replay
from tolerance import check


def before_each_step(history, start):
    return torch.cat([start[None], history[:-1]])


@pytest.mark.parametrize("name", list(catalogue()))
def test_new_states_so_computed_are_those_of_the_run(name):
    cell, x, states, weights = draw(name, dtype=torch.float64)
    output, _, histories = sequence(cell, x, states, weights)
    previous = [before_each_step(h, s) for h, s in zip(histories, states)]
    found = evaluate(cell, weights, x, previous, [cell.trace.output, *cell.trace.next_states])
    expected = [output, *histories]
    check("outputs", dict(enumerate(found)), dict(enumerate(expected)), name)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_any_cell(seed):
    cell = random_cell(seed)
    x, states, weights = random_call(cell, projected=2 if cell.projected else 0, seed=seed)
    output, _, histories = sequence(cell, x, states, weights)
    previous = [before_each_step(h, s) for h, s in zip(histories, states)]
    found = evaluate(cell, weights, x, previous, [cell.trace.output, *cell.trace.next_states])
    expected = [output, *histories]
    found = [f.expand(e.shape) for f, e in zip(found, expected)]
    check("outputs", dict(enumerate(found)), dict(enumerate(expected)), cell.text)


def test_gates_and_pre_activations_of_an_lstm_by_hand():
    cell, x, (h, c), weights = draw("lstm", dtype=torch.float64)
    w, u, b, d = weights
    previous = [torch.randn(5, 3, 6, dtype=torch.float64) for _ in range(2)]
    nodes = named_values(cell)
    assert list(nodes.gates) == list(nodes.pre_activations) == ["i", "f", "g", "o"]
    sums = dict(zip("ifgo", (x @ w.t() + b + previous[0] @ u.t() + d).chunk(4, -1)))
    found = evaluate(cell, weights, x, previous, [*nodes.pre_activations.values(), *nodes.gates.values()])
    for gate, before, after in zip("ifgo", found[:4], found[4:]):
        torch.testing.assert_close(before, sums[gate])
        torch.testing.assert_close(after, sums[gate].tanh() if gate == "g" else sums[gate].sigmoid())


@pytest.mark.parametrize("name", list(catalogue()))
def test_every_gate_of_the_catalogue_is_found(name):
    """All that a gate's weights do goes through its pre-activation: the cell runs on without them from there."""
    cell = catalogue()[name]
    nodes = named_values(cell)
    gates = [gate for gate in cell.trace.order if gate not in cell.gates.get("V", ())]
    assert list(nodes.pre_activations) == gates
    behind = {"slstm": {"i", "f"}, "minlstm": {"i", "f"}}.get(name, set())
    assert set(nodes.gates) == set(gates) - behind


def test_a_bias_that_the_layer_does_not_have():
    cell = catalogue()["gru"].without_bias()
    x, h = torch.randn(4, 2, 3), torch.randn(4, 2, 5)
    weights = [torch.randn(15, 3), torch.randn(15, 5)]
    nodes = named_values(cell)
    reset = evaluate(cell, weights, x, [h], [nodes.gates["r"]])[0]
    torch.testing.assert_close(reset, (x @ weights[0][:5].t() + h @ weights[1][:5].t()).sigmoid())


def test_gradients_flow_through():
    cell, x, states, weights = draw("gru_reset_before", dtype=torch.float64, gradients=True)
    found = evaluate(cell, weights, x, [s.expand(5, 3, 6) for s in states], [cell.trace.next_states[0]])[0]
    expected = torch.stack([cell.step(weights, x_t, states)[0] for x_t in x])
    for a, b in zip(torch.autograd.grad(found.sum(), weights), torch.autograd.grad(expected.sum(), weights)):
        torch.testing.assert_close(a, b)


def test_numbers_and_vectors_are_spread_over_steps_and_rows():
    @ostinato.cell
    def fixed(W, p, x, h, c):
        return W.h @ x + p.a * h, 1.5 * c

    x, h = torch.randn(4, 2, 3), torch.randn(4, 2, 5)
    weights = [torch.randn(5, 3), torch.randn(5)]
    found = evaluate(fixed, weights, x, [h, h], list(named_values(fixed).carries.values()))
    assert [f.shape for f in found] == [(4, 2, 5), (4, 2, 1)]
    assert torch.equal(found[0], weights[1].expand(4, 2, 5)) and (found[1] == 1.5).all()


LAYERS = {
    "two layers": {"num_layers": 2},
    "two directions": {"bidirectional": True},
    "two of both": {"num_layers": 2, "bidirectional": True},
    "batch first": {"num_layers": 2, "batch_first": True},
    "dropout in training": {"num_layers": 2, "dropout": 0.5},
}


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("lengths", [None, [4, 0, 6, 1]])
def test_runs_of_a_layer_lead_from_step_to_step(options, lengths):
    torch.manual_seed(1)
    layer = ostinato.Recurrent("lstm", 3, 5, **options).double()
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    if lengths is not None:
        x[torch.arange(6)[:, None] >= torch.tensor(lengths)] = torch.nan
    given = x.transpose(0, 1) if layer.batch_first else x
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    state = tuple(torch.randn(count, 4, 5, dtype=torch.float64) for _ in range(2))
    found = replay(layer, given, state, lengths=lengths)
    assert layer.training and [(r.depth, r.reverse) for r in found] == [
        (l, d) for l in range(layer.num_layers) for d in ((False, True) if layer.bidirectional else (False,))
    ]
    output, ends = layer.eval()(given, state, lengths=lengths)
    last = torch.cat([r.output for r in found if r.depth == layer.num_layers - 1], -1)
    torch.testing.assert_close(last, output.transpose(0, 1) if layer.batch_first else output)
    for k, run in enumerate(found):
        new = evaluate(run.cell, run.weights, run.x, run.previous_states, run.cell.trace.next_states)
        for s in range(2):
            torch.testing.assert_close(new[s][run.valid], run.states[s][run.valid])
            assert not run.states[s][~run.valid].any() and not run.previous_states[s][~run.valid].any()
            for row, n in enumerate(run.lengths.tolist()):
                at_end = run.states[s][0 if run.reverse else n - 1, row] if n else run.initial_states[s][row]
                torch.testing.assert_close(at_end, ends[s][k, row])
                if n:
                    first = run.previous_states[s][n - 1 if run.reverse else 0, row]
                    assert torch.equal(first, state[s][k, row])


def test_one_sequence_and_packed_rows():
    torch.manual_seed(2)
    layer = ostinato.GRU(3, 5)
    x = torch.randn(6, 3)
    alone = replay(layer, x, torch.ones(1, 5), lengths=4)[0]
    assert alone.lengths.tolist() == [4] and alone.initial_states[0].tolist() == [[1.0] * 5]
    both = torch.stack([x, -x], 1)
    packed = torch.nn.utils.rnn.pack_padded_sequence(both, [2, 5], enforce_sorted=False)
    found, expected = replay(layer, packed)[0], replay(layer, both[:5], lengths=[2, 5])[0]
    torch.testing.assert_close(found.states, expected.states)
    assert torch.equal(found.valid, expected.valid)


def test_an_output_that_is_no_state_reaches_the_layer_above():
    @ostinato.cell
    def apart(W, U, b, x, h):
        h = torch.tanh(W.h @ x + U.h @ h + b.h)
        return torch.sigmoid(U.y @ h + b.y), h

    torch.manual_seed(3)
    layer = ostinato.Recurrent(apart, 3, 3, num_layers=2).double()
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    found = replay(layer, x, lengths=[6, 2])
    torch.testing.assert_close(found[1].output, layer(x, lengths=[6, 2])[0])
    torch.testing.assert_close(found[1].x, found[0].output)


def test_run_in_another_number_type_and_refusal():
    layer = ostinato.RNN(3, 5)
    run = replay(layer, torch.randn(4, 2, 3))[0].to(torch.float64)
    assert {t.dtype for t in (run.x, *run.weights, *run.initial_states, *run.states, *run.previous_states)} == {
        torch.float64
    }
    with pytest.raises(ostinato.errors.InputError, match="layer must be a recurrent layer of ostinato, got RNN"):
        replay(torch.nn.RNN(3, 5), torch.randn(4, 2, 3))
