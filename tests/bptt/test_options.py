"""Layers that draw masks, under truncated backpropagation: steps that run again have the masks of their first run.

The loop by hand knows which steps are run in one call, draws a seed for each layer and call as the layers do, and pins
each single step to the seed of its call and its place in it.
"""

import io
from contextlib import ExitStack
from itertools import islice

import pytest
import torch

import ostinato
from bptt.by_hand import by_hand
from bptt.models import Model, cross_entropy, detach, gradients, in_chunks, stream
from ostinato.layers.dropout import pinned
from tolerance import check

pytestmark = pytest.mark.slow

T, B = 24, 3
OPTIONS = {
    "recurrent_dropout": {"recurrent_dropout": 0.3},
    "zoneout": {"zoneout": 0.3},
    "input_dropout": {"input_dropout": 0.3},
    "weight_dropout": {"weight_dropout": 0.3},
    "all": {"recurrent_dropout": 0.2, "zoneout": 0.2, "input_dropout": 0.2, "weight_dropout": 0.2},
}
PAIRS = [(4, 4), (3, 8), (8, 3)]
"""k1 equal to, below and above k2; with all options at once also MORE of them."""
MORE = [(4, 8), (4, 7), (2, 9), (5, 1000), (6, 2), (7, 4)]


class Masked(Model):
    """`Model`, whose two layers draw."""

    def __init__(self, options, seed=0):
        super().__init__(seed=seed)
        self.low = ostinato.GRU(4, 5, **options).double()
        self.high = ostinato.LSTM(5, 6, num_layers=2, **options).double()


def calls(steps, k1, k2):
    """The first steps of the calls that a stream is run in, and its end."""
    found = {steps}
    for begin in range(0, steps, k1):
        end = begin + k1
        found |= {begin, *range(end - (k2 % k1 if k1 < k2 else k2), begin, -(k1 if k1 < k2 else k2))}
    return sorted(found)


def run_by_hand(model, x, y, k1, k2, update):
    edges, layers = calls(len(x), k1, k2), (model.low, model.high)
    pins = []  # for each step: the seed of each layer, and the step's number in its call
    for first, last in zip(edges, edges[1:]):
        seeds = [torch.randint(-(2**63), 2**63 - 1, ()) for _ in layers]
        pins += [(seeds, number) for number in range(last - first)]

    def step(x_t, state):
        ids, (seeds, number) = x_t
        with ExitStack() as stack:
            for layer, seed in zip(layers, seeds):
                stack.enter_context(pinned(layer, seed, number))
            return model.step((ids, None, model.between), state)

    by_hand(step, cross_entropy, list(zip(x, pins)), y, k1, k2, update, detach)


def run(model, x, y, k1, k2, update):
    tbptt = ostinato.TruncatedBPTT(model, k1, k2)
    for a, b in tbptt.windows(in_chunks((x, y), (5,))):
        update(cross_entropy(tbptt(a), b))


def both(options, k1, k2, learning_rate=0.0):
    """For the loop by hand and for TruncatedBPTT: the losses, the gradients added up, and the weights at the end."""
    x, y = stream(T // k1 * k1, B)
    found = []
    for way in (run_by_hand, run):
        model, losses = Masked(options), []

        def update(loss, model=model, losses=losses):
            before = gradients(model)
            loss.backward()
            losses.append(loss.detach())
            with torch.no_grad():
                for name, p in model.named_parameters() if learning_rate else ():
                    p -= learning_rate * (p.grad if before[name] is None else p.grad - before[name])

        torch.manual_seed(5)
        way(model, x, y, k1, k2, update)
        found.append(({"losses": torch.stack(losses)}, gradients(model), dict(model.named_parameters())))
    return found


@pytest.mark.parametrize(
    ("name", "k1", "k2"), [*((name, *pair) for name in OPTIONS for pair in PAIRS), *(("all", *pair) for pair in MORE)]
)
def test_weights_held_still(name, k1, k2):
    options = OPTIONS[name]
    (losses, expected, _), (found_losses, found, _) = both(options, k1, k2)
    check("outputs", found_losses, losses, (options, k1, k2))
    check("gradients", found, expected, (options, k1, k2))


@pytest.mark.parametrize(("k1", "k2"), PAIRS)
def test_weights_that_change_at_every_update(k1, k2):
    (losses, _, expected), (found_losses, _, found) = both(OPTIONS["all"], k1, k2, learning_rate=0.01)
    check("gradients", found_losses, losses, (k1, k2))
    check("gradients", found, expected, (k1, k2))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_option_changes_the_loss_and_draws_anew_in_a_new_stream(options):
    """Else the comparisons above would hold without a mask."""
    x, _ = stream(12, B)
    model = Masked(options)
    tbptt = ostinato.TruncatedBPTT(model, 3, 8)
    with torch.no_grad():
        first, second = (torch.cat([tbptt(a) for a in tbptt.windows([x])]) for _ in range(2))
        assert not torch.equal(first, second) and not torch.equal(first, model.eval()(x))


@pytest.mark.parametrize(("k1", "k2"), PAIRS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_stopping_and_resuming_changes_no_bit(options, k1, k2):
    x, y = stream(T, B)
    resets = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.1

    def started(seed):
        model = Masked(options, seed)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
        return {"model": model, "optimiser": optimiser, "tbptt": ostinato.TruncatedBPTT(model, k1, k2)}

    def train(parts, chunks, updates=None):
        for a, b, r in islice(parts["tbptt"].windows(chunks), updates):
            parts["optimiser"].zero_grad()
            cross_entropy(parts["tbptt"](a, resets=r), b).backward()
            parts["optimiser"].step()

    def chunks():
        return in_chunks((x, y, resets), (5, 11))

    torch.manual_seed(4)
    train(whole := started(0), chunks())
    torch.manual_seed(4)
    train(first := started(0), chunks(), 2)
    file = io.BytesIO()
    torch.save({name: part.state_dict() for name, part in first.items()}, file)
    torch.manual_seed(99)  # another process, other weights, other random numbers
    second = started(7)
    file.seek(0)
    for name, saved in torch.load(file, weights_only=True).items():
        second[name].load_state_dict(saved)
    train(second, islice(chunks(), second["tbptt"].chunks_consumed, None))
    expected = whole["model"].state_dict()
    assert all(torch.equal(p, expected[name]) for name, p in second["model"].state_dict().items())
    assert not all(torch.equal(p, expected[name]) for name, p in first["model"].state_dict().items())
