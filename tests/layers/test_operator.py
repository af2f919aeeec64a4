"""`run` by values: every way against the reference and torch.nn, gradients of every order, what a call leaves."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils.rnn import pack_padded_sequence

from layers.small import CELLS, agree, draw, flat, loss, run
from ostinato.cells import cell as make_cell
from ostinato.cells.reference import sequence
from ostinato.execution import backends, dispatch, routing

SIZES = torch.tensor([3, 3, 2, 1, 1])
WAYS = (routing.KERNELS, routing.OPERATOR)


@pytest.fixture(params=WAYS)
def each_way(request, monkeypatch):
    monkeypatch.setattr(dispatch, "choose_backend", lambda *_: request.param)
    return request.param


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(backends, "compiled", lambda x: False)
    backends._warn.cache_clear()
    yield
    backends._warn.cache_clear()


def reference(cell, x, states, weights, sizes=None, reverse=False):
    output, finals, every = sequence(cell, x, states, weights, None if sizes is None else sizes.tolist(), reverse)
    return [output, *finals, *(h for k, h in enumerate(every) if k != cell.output_state)]


def packed(x, sizes):
    """The rows of x [T, B, C] that `sizes` names, one below the other: [R, C]."""
    return torch.cat([x_t[:n] for x_t, n in zip(x, sizes.tolist())]).detach().requires_grad_(x.requires_grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [None, SIZES], ids=["padded", "packed"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients_are_the_references(each_way, name, reverse, sizes, dtype):
    cell, x, states, weights = draw(name, dtype=dtype, gradients=True)
    if sizes is not None:
        x = packed(x, sizes)
    inputs = [x, *states, *weights]
    found = flat(run(cell, x, states, weights, sizes, reverse, histories=True))
    expected = reference(cell, x, states, weights, sizes, reverse)
    agree(found, expected)
    agree(torch.autograd.grad(loss(found), inputs), torch.autograd.grad(loss(expected), inputs), gradients=True)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "name, layer",
    [
        ("elman", nn.RNN(4, 6)),
        ("gru", nn.GRU(4, 6)),
        ("lstm", nn.LSTM(4, 6)),
        ("lstm_projected", nn.LSTM(4, 6, proj_size=2)),
    ],
)
def test_torch_nn_says_the_same(name, layer, reverse):
    cell, x, states, weights = draw(name, dtype=torch.float64, gradients=True)
    layer = layer.double()
    ours = run(cell, x, states, weights, reverse=reverse)
    own = dict(zip(cell.parameters(4, 6, 2), weights))
    parameters = {f"{k}_l0": w for k, w in own.items()}
    start = tuple(s[None] for s in states)
    x_ = x.flip(0) if reverse else x
    output, last = torch.func.functional_call(layer, parameters, (x_, start if len(start) > 1 else start[0]))
    theirs = [output.flip(0) if reverse else output, *(s[0] for s in (last if isinstance(last, tuple) else (last,)))]
    agree(flat(ours), theirs)
    inputs = [x, *states, *weights]
    agree(torch.autograd.grad(loss(flat(ours)), inputs), torch.autograd.grad(loss(theirs), inputs), gradients=True)


def test_packed_is_each_row_alone():
    lengths = [5, 3, 2]
    cell, x, states, weights = draw("lstm", dtype=torch.float64)
    sizes = pack_padded_sequence(x, lengths).batch_sizes
    for reverse in (False, True):
        output, finals, _ = run(cell, packed(x, sizes), states, weights, sizes, reverse)
        for row, length in enumerate(lengths):
            own = [s[row : row + 1] for s in states]
            alone, last, _ = run(cell, x[:length, row : row + 1], own, weights, None, reverse)
            places = [sum(sizes[:t].tolist()) + row for t in range(length)]
            agree([output[places], *(s[row] for s in finals)], [alone[:, 0], *(s[0] for s in last)])


@pytest.mark.parametrize("name", CELLS)
def test_histories_are_the_states_that_are_not_the_output(each_way, name):
    cell, x, states, weights = draw(name)
    output, finals, histories = run(cell, x, states, weights, histories=True)
    assert len(histories) == len(cell.states) - 1
    assert torch.equal(output[-1], finals[0])
    for last, history in zip(finals[1:], histories):
        assert torch.equal(history[-1], last)
    assert run(cell, x, states, weights)[2] == []


@pytest.mark.parametrize("name", CELLS)
def test_gradcheck(each_way, name):
    cell, x, states, weights = draw(name, 3, 2, 2, 3, dtype=torch.float64, gradients=True)
    n = len(states)

    def call(x, *rest):
        return tuple(flat(run(cell, x, rest[:n], rest[n:], histories=True)))

    assert gradcheck(call, (x, *states, *weights))


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_gradgradcheck(each_way, name):
    cell, x, states, weights = draw(name, 3, 2, 2, 2, projected=1, dtype=torch.float64, gradients=True)
    n = len(states)

    def call(x, *rest):
        return tuple(flat(run(cell, x, rest[:n], rest[n:], histories=True)))

    assert gradgradcheck(call, (x, *states, *weights), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("sizes", [None, SIZES], ids=["padded", "packed"])
def test_double_backward_is_the_references(each_way, sizes):
    """Also where one tensor stands in two places (h0 and c0), and where only part of what comes out is used."""
    cell, x, (h, _), weights = draw("lstm", dtype=torch.float64, gradients=True)
    x = x if sizes is None else packed(x, sizes)

    def second(tensors):
        first = torch.autograd.grad(loss(tensors).tanh(), [x, h, *weights], create_graph=True)
        return torch.autograd.grad(loss(first), [x, h, *weights])

    found = run(cell, x, [h, h], weights, sizes, histories=True)
    expected = reference(cell, x, [h, h], weights, sizes)
    agree(second([found[0], found[2][0]]), second([expected[0], expected[3]]), gradients=True)


@pytest.mark.parametrize("name", CELLS)
def test_two_backward_passes_over_one_graph_give_the_same_bits(each_way, name):
    cell, x, states, weights = draw(name, gradients=True)
    inputs = [x, *states, *weights]
    total = loss(flat(run(cell, x, states, weights, histories=True)))
    first = torch.autograd.grad(total, inputs, retain_graph=True)
    second = torch.autograd.grad(total, inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(total, inputs)


@pytest.mark.parametrize("used", range(4), ids=["output", "last h", "last c", "history of c"])
def test_any_part_of_the_result_may_be_unused(each_way, used):
    cell, x, states, weights = draw("lstm", gradients=True)
    inputs = [x, *states, *weights]
    found = flat(run(cell, x, states, weights, histories=True))[used]
    expected = reference(cell, x, states, weights)[used]
    agree(torch.autograd.grad(loss([found]), inputs), torch.autograd.grad(loss([expected]), inputs), gradients=True)


def test_a_gradient_that_is_not_there_arrives_as_none(monkeypatch):
    arrived = []

    def spy(call, result, upstream, needs, accumulate_into=()):
        arrived.extend([upstream.output, *upstream.final_states])
        return original(call, result, upstream, needs, accumulate_into)

    kernels = backends.kernels()
    original = kernels.backward
    monkeypatch.setattr(kernels, "backward", spy)
    monkeypatch.setattr(dispatch, "choose_backend", lambda *_: routing.KERNELS)
    cell, x, states, weights = draw("lstm", gradients=True)
    run(cell, x, states, weights)[1][1].sum().backward()
    assert arrived[0] is None and arrived[1] is None and arrived[2] is not None


@pytest.mark.parametrize("wanted", [[0], [1], [2], [3], [0, 3, 5], [6]])
def test_only_what_is_needed_gets_a_gradient(each_way, wanted):
    cell, x, states, weights = draw("lstm")
    inputs = [x, *states, *weights]
    for k in wanted:
        inputs[k].requires_grad_()
    expected = torch.autograd.grad(loss(reference(cell, x, states, weights)), [inputs[k] for k in wanted])
    loss(flat(run(cell, x, states, weights, histories=True))).backward()
    agree([inputs[k].grad for k in wanted], expected, gradients=True)
    assert all(t.grad is None for k, t in enumerate(inputs) if k not in wanted)


@pytest.mark.parametrize("quiet", [torch.no_grad, torch.inference_mode])
def test_without_gradients_nothing_is_kept(each_way, quiet, monkeypatch):
    kept, packed_for_backward = [], []
    kernels = backends.kernels()
    original = kernels.forward

    def spy(call, save, histories):
        result = original(call, save, histories)
        kept.append((save, result.saved))
        return result

    monkeypatch.setattr(kernels, "forward", spy)
    cell, x, states, weights = draw("lstm", gradients=True)
    with torch.autograd.graph.saved_tensors_hooks(packed_for_backward.append, lambda t: t):
        with quiet():
            found = run(cell, x, states, weights)
        assert kept == [(False, [])] and packed_for_backward == []
        assert found[0].grad_fn is None and found[0].is_inference() == (quiet is torch.inference_mode)
        run(cell, x, states, weights)
    assert len(packed_for_backward) >= len([x, *states, *weights])
    agree(flat(found), reference(cell, x, states, weights)[:3])


@pytest.mark.parametrize("changed", ["x", "state", "weight"])
def test_a_change_in_place_before_backward_is_noticed(each_way, changed):
    cell, x, states, weights = draw("gru")
    weights[0].requires_grad_()
    total = run(cell, x, states, weights)[0].sum()
    with torch.no_grad():
        {"x": x, "state": states[0], "weight": weights[1]}[changed].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


@make_cell
def carries(W, U, x, h, k):
    """A cell that hands a state on as it is."""
    return torch.tanh(W.h @ x + U.h @ h) * k, k


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("way", [*WAYS, routing.REFERENCE])
def test_nothing_that_comes_out_shares_memory(way, steps, gradients, monkeypatch):
    monkeypatch.setattr(dispatch, "choose_backend", lambda *_: way)
    states = [torch.randn(2, 3), torch.randn(2, 3)]
    weights = [torch.randn(3, 4, requires_grad=gradients), torch.randn(3, 3)]
    x = torch.randn(steps, 2, 4)
    output, finals, histories = run(carries, x, states, weights, histories=True)
    assert torch.equal(finals[1], states[1]) and output.shape == (steps, 2, 3) and histories[0].shape == (steps, 2, 3)
    alive = [t for t in (x, *states, *weights, output, *finals, *histories) if t.numel()]
    assert len({t.untyped_storage().data_ptr() for t in alive}) == len(alive)


@pytest.mark.parametrize("name", CELLS)
def test_no_steps_and_no_rows(each_way, name):
    cell, x, states, weights = draw(name, steps=0, gradients=True)
    output, finals, histories = run(cell, x, states, weights, histories=True)
    assert output.shape == (0, 3, finals[0].shape[1]) and [len(h) for h in histories] == [0] * (len(states) - 1)
    assert all(torch.equal(a, b) for a, b in zip(finals, states))
    (loss(finals) + output.sum()).backward()
    agree([s.grad for s in states], torch.autograd.grad(loss(states), states), gradients=True)
    cell, x, states, weights = draw(name, rows=0, gradients=True)
    output, finals, _ = run(cell, x, states, weights)
    assert output.shape == (5, 0, finals[0].shape[1])
    output.sum().backward()
    assert all(not w.grad.any() for w in weights)


def test_the_output_of_a_cell_without_such_a_state_has_its_width_at_no_steps(each_way):
    @make_cell
    def wide(W, U, V, x, h):
        a = torch.tanh(W.h @ x + U.h @ h)
        return a, V.h @ a

    output, finals, _ = run(
        wide, torch.randn(0, 2, 4), [torch.randn(2, 3)], [torch.randn(5, 4), torch.randn(5, 3), torch.randn(3, 5)]
    )
    assert output.shape == (0, 2, 5) and finals[0].shape == (2, 3)


def test_strides_do_not_matter(each_way):
    cell, x, states, weights = draw("gru", dtype=torch.float64)
    turned = [t.mT.contiguous().mT if t.dim() > 1 else t for t in (x, *states, *weights)]
    turned = [t.requires_grad_() for t in turned]
    straight = [t.detach().contiguous().requires_grad_() for t in turned]
    results = []
    for x, s, *w in (turned, straight):
        output, finals, _ = run(cell, x, [s], w)
        results.append([output, *finals, *torch.autograd.grad(output.sum() + finals[0].mT.mul(2).sum(), [x, s, *w])])
    assert not turned[0].is_contiguous()
    agree(*results)


def test_new_weights_are_used_at_once(each_way):
    cell, x, states, weights = draw("lstm", gradients=True)
    for change in ("fused Adam", "data"):
        if change == "data":
            weights[1].data.mul_(0.5)
        else:
            optimiser = torch.optim.Adam(weights, lr=0.1, fused=True)
            run(cell, x, states, weights)[0].sum().backward()
            optimiser.step()
        agree(flat(run(cell, x, states, weights)), reference(cell, x, states, weights)[:3])


@pytest.mark.parametrize("sizes", [None, SIZES], ids=["padded", "packed"])
@pytest.mark.parametrize("name", CELLS)
def test_every_way_in_training_and_in_inference_gives_the_same_bits(name, sizes, monkeypatch):
    cell, x, states, weights = draw(name, gradients=True)
    if sizes is not None:
        x = packed(x, sizes)
    results = []
    for chosen in WAYS:
        monkeypatch.setattr(dispatch, "choose_backend", lambda *_, chosen=chosen: chosen)
        found = flat(run(cell, x, states, weights, sizes, histories=True))
        results.append([*found, *torch.autograd.grad(loss(found), [x, *states, *weights])])
        with torch.no_grad():
            quiet = flat(run(cell, x, states, weights, sizes, histories=True))
        assert all(torch.equal(a, b) for a, b in zip(found, quiet))
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_large_results_live_as_long_as_they_are_held(each_way):
    """Memory from a pool is used again, but not while a view, a graph or a caller still reads it."""
    cell, x, states, weights = draw("lstm", 80, 40, 8, 96, gradients=True)
    inputs = [x, *states, *weights]
    output, finals, _ = run(cell, x, states, weights)
    total, view, copy = loss([output, *finals]), output[-1].detach(), output[-1].detach().clone()
    expected = torch.autograd.grad(total, inputs, retain_graph=True)
    del output, finals
    for _ in range(3):
        run(cell, -x, states, weights)[0].sum().backward()
    assert torch.equal(view, copy)
    assert all(torch.equal(a, b) for a, b in zip(torch.autograd.grad(total, inputs), expected))


@pytest.mark.parametrize("operator", [False, True])
@pytest.mark.parametrize("sizes", [None, SIZES], ids=["padded", "packed"])
@pytest.mark.parametrize("name", CELLS)
def test_without_kernels_the_reference_runs_inside_the_operator_too(no_kernels, operator, name, sizes, monkeypatch):
    if operator:
        monkeypatch.setattr(dispatch, "choose_backend", lambda *_: routing.OPERATOR)
    cell, x, states, weights = draw(name, dtype=torch.float64, gradients=True)
    if sizes is not None:
        x = packed(x, sizes)
    inputs = [x, *states, *weights]
    with pytest.warns(UserWarning, match="ostinato: no compiled kernels for cpu here; the equations run step by step"):
        found = flat(run(cell, x, states, weights, sizes, True, histories=True))
    expected = reference(cell, x, states, weights, sizes, True)
    agree(found, expected)
    agree(
        torch.autograd.grad(loss(found), inputs, retain_graph=True),
        torch.autograd.grad(loss(expected), inputs, retain_graph=True),
        gradients=True,
    )
    agree(
        torch.autograd.grad(found[1].sum(), [x, weights[0]]),
        torch.autograd.grad(expected[1].sum(), [x, weights[0]]),
        gradients=True,
    )


def test_the_warning_comes_once(no_kernels):
    cell, x, states, weights = draw("gru")
    with pytest.warns(UserWarning) as caught:
        for _ in range(3):
            run(cell, x, states, weights)
        torch.ops.ostinato.sequence(x, states, weights, None, cell.text, False, False, False)
        run(cell, x.to("meta"), [s.to("meta") for s in states], [w.to("meta") for w in weights])
    assert len(caught) == 1


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("name, reverse", [("gru", False), ("lstm", True), ("slstm", False)])
def test_spare_lines_steps_and_rows_are_left_alone(name, reverse, reference, monkeypatch):
    """NaN in them changes nothing; lines come out as 0, with gradients of 0, and rows end where they start."""
    if reference:
        monkeypatch.setattr(dispatch, "choose_backend", lambda *_: routing.REFERENCE)
    cell, x, states, weights = draw(name, dtype=torch.float64)
    sizes, rows = torch.tensor([3, 2, 1]), x.flatten(0, 1)
    larger = [torch.cat([s, s[:2] + 1]) for s in states]

    def results(x, states, sizes):
        leaves = [t.clone().requires_grad_() for t in (x, *states, *weights)]
        n = 1 + len(states)
        outputs = flat(run(cell, leaves[0], leaves[1:n], leaves[n:], sizes, reverse, True))
        own = [t[: 3 if 1 <= k < n else 6] for k, t in enumerate(outputs)]
        return outputs, torch.autograd.grad(loss(own), leaves)

    expected, slopes = results(rows[:6], states, sizes)
    rows[6:] = float("nan")
    found, gradients = results(rows, larger, torch.tensor([3, 2, 1, 0, 0]))
    for a, b, start in zip(found, expected, [None, *larger, *[None] * len(found)]):
        agree([a[: len(b)]], [b])
        assert torch.equal(a[len(b) :], torch.zeros_like(a[len(b) :]) if start is None else start[len(b) :])
    for a, b in zip(gradients, slopes):
        agree([a[: len(b)]], [b], gradients=True)
        assert not a[len(b) :].any()
    nothing, finals, _ = run(cell, rows, larger, weights, torch.tensor([0, 0]), reverse)
    assert nothing.shape[0] == len(rows) and not nothing.any()
    assert all(torch.equal(a, b) for a, b in zip(finals, larger))
