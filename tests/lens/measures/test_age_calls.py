"""The gradient split by age over every way of calling a layer: states handed on, packed and ragged rows, resets."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from lens.measures.ages import added, layer_of, noise, parts_by_age, squares, whole
from tolerance import check


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_state_handed_from_call_to_call_is_crossed_like_any_other(batch_first):
    layer = layer_of("lstm", num_layers=2, batch_first=batch_first)
    x = noise(6, 2, 3)
    time = 1 if batch_first else 0
    x = x.transpose(0, 1) if batch_first else x

    def in_one(model):
        return model(x)[0].square().sum(-1)

    def in_two(model):
        first, state = model(x.narrow(time, 0, 4))
        return torch.cat([first, model(x.narrow(time, 4, 2), state)[0]], time).square().sum(-1)

    def step_by_step(model):
        outputs, state = [], None
        for x_t in x.unbind(time):
            output, state = model.step(x_t, state)
            outputs.append(output)
        return torch.stack(outputs, time).square().sum(-1)

    expected = parts_by_age(layer, in_one)
    for loss in (in_two, step_by_step):
        for a, b in zip(parts_by_age(layer, loss), expected, strict=True):
            check("gradients", a, b)


def test_every_way_of_calling_a_layer():
    layer, lengths = layer_of("lstm", learn_initial_state=True), [2, 5, 4]
    nn.init.normal_(layer.initial_h_l0)
    x = noise(5, 3, 3)
    expected = parts_by_age(layer, squares(x, lengths=lengths))
    assert "initial_h_l0" in expected[0] and not expected[0]["initial_h_l0"].any()
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)

    def alone(model):
        return torch.stack([squares(x[:n, row])(model).sum() for row, n in enumerate(lengths)])

    def as_packed(model):
        return squares(packed)(lambda p: (model(p)[0].data, None))

    def as_states(model):
        _, state, states = model(x, lengths=lengths, return_states=True)
        assert torch.equal(state[0][0, 0], states[0][0, 1, 0])
        return squares(x)(lambda _: (states[0][0], None))

    for loss in (alone, as_packed, as_states):
        for a, b in zip(parts_by_age(layer, loss), expected, strict=True):
            check("gradients", a, b)


def test_final_states_of_ragged_rows():
    layer = layer_of("lstm", bidirectional=True, learn_initial_state=True)
    x = noise(5, 3, 3)

    def loss(model):
        return sum((s * torch.arange(1.0, 5).double()).square().sum() for s in model(x, lengths=[5, 0, 3])[1])

    parts = parts_by_age(layer, loss)
    expected = whole(layer, loss, parts[0])
    check("gradients", added(parts), expected)
    assert len(parts) == 6  # a loss on the last state reaches the learned start after as many steps as the row has


@pytest.mark.parametrize("batch_first", [False, True])
def test_rows_that_are_cut_by_resets(batch_first):
    """As each piece by itself: the first from the state given, the others from the learned one."""
    layer = layer_of("lstm", bidirectional=True, learn_initial_state=True, batch_first=batch_first)
    for name, p in layer.named_parameters():
        if name.startswith("initial"):
            nn.init.normal_(p)
    x, state = noise(7, 3, 3), (noise(2, 3, 4, seed=2), noise(2, 3, 4, seed=3))
    resets = torch.zeros(7, 3, dtype=torch.bool)
    resets[[2, 3, 0, 6, 6], [0, 0, 1, 1, 2]] = True  # the last one past the row's end
    lengths = [7, 7, 5]
    pieces = [(0, 0, 2, True), (0, 2, 3, False), (0, 3, 7, False), (1, 0, 6, False), (1, 6, 7, False), (2, 0, 5, True)]

    def value(output, final):
        weighs = torch.arange(1.0, 9).double()
        return (output * weighs).square().sum() + sum((s * weighs[:4]).sum() for s in final)

    def at_once(model):
        turned = [t.transpose(0, 1) if batch_first else t for t in (x, resets)]
        output, final = model(turned[0], state, lengths=lengths, resets=turned[1])
        return value(output, final)

    def one_by_one(model):
        total, ends = 0, {row: end for row, _, end, _ in pieces}
        for row, start, end, given in pieces:
            own = tuple(s[:, row] for s in state) if given else None
            output, final = model(x[start:end, row], own)
            total = total + value(output, final if ends[row] == end else ())
        return total

    parts = parts_by_age(layer, at_once)
    expected = whole(layer, at_once, parts[0])
    check("gradients", added(parts), expected)
    for a, b in zip(parts, parts_by_age(layer, one_by_one), strict=True):
        check("gradients", a, b)


def test_calls_without_gradients_are_no_part_of_it():
    layer = layer_of("gru")
    x = noise(4, 2, 3)

    def loss(model):
        with torch.no_grad():
            _, state = model(x)
            _, state = model.step(x[0], state)
        return model(x, state)[0].square().sum(-1)

    parts = parts_by_age(layer, loss)
    assert len(parts) == 4
    check("gradients", added(parts), whole(layer, loss, parts[0]))
