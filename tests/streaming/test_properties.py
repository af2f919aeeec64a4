"""Whatever is done with a stream, every row has the bits of its own inputs pushed at once into a stream of one row."""

import random

import pytest
import torch

from ostinato import Recurrent
from ostinato.cells import catalogue
from ostinato.streaming.read import read
from streaming.drawn import drawn_network
from streaming.lives import Life, assert_same_bits
from streaming.test_read_drawn import Drawn

OPTIONS = {
    "layer_norm": lambda draw: True,
    "zoneout": lambda draw: draw.choice((0.1, {"h": 0.3})),
    "clip_state": lambda draw: draw.choice((0.2, {"h": 0.5})),
    "learn_initial_state": lambda draw: True,
}


@pytest.fixture(autouse=True)
def threads():
    """A life changes their number."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def drawn_type(draw):
    return draw.choice((torch.float32, torch.float64))


def drawn_layer(seed):
    """A recurrent layer with drawn options, all of its parameters drawn."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    cell = catalogue()[draw.choice([*catalogue(), "lstm", "gru", "lstm_projected"])]
    options = {name: value(draw) for name, value in OPTIONS.items() if draw.random() < 0.4}
    units = draw.choice((4, 16, 19, 33) if cell.projected else (1, 4, 16, 19, 33))
    sizes = (draw.choice((1, 3, 16, 17)), units, draw.choice((1, 1, 2, 3)))
    made = Recurrent(cell, *sizes, proj_size=draw.randrange(1, units) if cell.projected else 0, **options)
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.4)
    return made.to(drawn_type(draw)).eval()


def layer(seed):
    return read(drawn_layer(seed))


def model(seed):
    """A module of torch, read by torch.fx."""
    return read(Drawn(seed).to(drawn_type(random.Random(seed))))


def network(seed):
    """Nodes of every kind."""
    return drawn_network(seed, drawn_type(random.Random(seed)), tokens=seed % 4 == 0)


MADE = {"layer": layer, "model": model, "network": network}
QUICK = {"layer": 6, "model": 5, "network": 8}
"""How many of them run in every test run."""


@pytest.mark.parametrize(("made", "seed"), [(made, seed) for made, count in QUICK.items() for seed in range(count)])
def test_every_row_has_the_bits_of_its_inputs_pushed_at_once(made, seed):
    life = Life(seed, MADE[made](seed))
    life.run(40)
    assert life.compared


@pytest.mark.parametrize("seed", range(3))
def test_a_drawn_layer_has_the_bits_of_its_own_call(seed):
    own = drawn_layer(seed)
    life = Life(seed, read(own))
    one = life.fresh(3)
    life.alive = [one]
    for _ in range(6):
        life.step(one)
        life.push(one)
    for row in one.rows:
        with torch.no_grad():
            assert_same_bits(torch.cat(row.outputs), own(torch.cat(row.inputs))[0])


@pytest.mark.slow
@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("seed", range(100, 170))
def test_every_row_has_the_bits_of_its_inputs_in_long_lives(seed, made):
    life = Life(seed, MADE[made](seed))
    life.run(120)
    assert life.compared
