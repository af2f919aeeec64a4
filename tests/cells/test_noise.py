"""Random numbers by place: known answers of the generator, one number for one place, uniform."""

import pytest
import torch
from torch import where

from ostinato.cells import Cell, cell
from ostinato.cells.noise import draw, later, philox
from ostinato.cells.reference import sequence

KNOWN_ANSWERS = [  # the authors' own, kat_vectors of Random123
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text):
    return [torch.tensor(int(w, 16)) for w in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(counter, key, expected):
    assert [f"{int(w):08x}" for w in philox(words(counter), words(key))] == expected.split()


def noise(rows, seed=-3, step=0, stream=0):
    return torch.tensor([seed, step, stream, *rows])


@cell
def drawn(R, S, x, h, c):
    """States that are the random numbers themselves."""
    return R.a, S.b


def numbers(n, steps=4, width=5, dtype=torch.float64, reverse=False):
    rows = len(n) - 3
    states = [torch.zeros(rows, width, dtype=dtype)] * 2
    _, _, (each, once) = sequence(drawn, torch.zeros(steps, rows, 1, dtype=dtype), states, [], reverse=reverse, noise=n)
    return each, once


def test_a_number_belongs_to_its_place():
    each, once = numbers(noise([0, 1, 2]))
    assert len(each.unique()) == each.numel() and len(once[0].unique()) == once[0].numel()
    assert torch.equal(once, once[:1].expand_as(once))
    assert not set(each.flatten().tolist()) & set(once.flatten().tolist())
    # whichever way the steps run, in whatever company, from wherever a call begins, in every number type
    assert torch.equal(numbers(noise([0, 1, 2]), reverse=True)[0], each)
    assert torch.equal(numbers(noise([2, 0]))[0], each[:, [2, 0]])
    assert torch.equal(numbers(noise([0, 1, 2], step=1), steps=3)[0], each[1:])
    assert torch.equal(numbers(later(noise([0, 1, 2]), 1), steps=3)[1], once[1:])
    assert torch.equal(numbers(noise([0, 1, 2]), dtype=torch.float32)[0].double(), each)
    for other in (noise([0, 1, 2], seed=4), noise([0, 1, 2], stream=1), noise([3, 4, 5])):
        a, b = numbers(other)
        assert not (a == each).any() and not (b == once).any()


def test_numbers_are_uniform():
    each, _ = numbers(noise(range(20)), steps=100, width=50)
    flat = each.flatten()
    assert 0 <= flat.min() and flat.max() < 1
    counts = torch.histc(flat, 10, 0, 1)
    # 100,000 numbers: a tenth of them in each tenth, within five standard deviations
    assert (counts - len(flat) / 10).abs().max() < 5 * (len(flat) * 0.09) ** 0.5
    assert abs(torch.corrcoef(torch.stack([flat[:-1], flat[1:]]))[0, 1]) < 5 / len(flat) ** 0.5


def test_letters_of_random_numbers_are_no_parameters():
    @cell
    def kept(W, R, S, x, h):
        return where(R.old < 0.5, h, where(S.out < 0.1, 0.0, W.h @ x))

    assert kept.letters == ("W",) and list(kept.parameters(3, 4)) == ["weight_ih"]
    assert kept.random == (("R", "old"), ("S", "out")) and kept.random_widths == ("H", "H")
    assert kept.text.splitlines()[1] == "def kept(W, R, S, x, h):"
    assert Cell.from_text(kept.text) == kept and Cell.from_text(kept.text).random == kept.random


def test_more_than_four_numbers_of_a_kind():
    six = cell(lambda R, x, s1, s2, s3, s4, s5, s6: (R.a, R.b, R.c, R.d, R.e, R.f), name="six")
    places = [(False, k, 3) for k in range(6)]
    n = noise([0, 1])
    found = draw(n, 2, 2, places, torch.zeros((), dtype=torch.float64))
    assert len(torch.stack(found).unique()) == 36
    _, new = six.step([], torch.zeros(2, 1, dtype=torch.float64), [found[0]] * 6, drawn=found)
    assert all(torch.equal(a, b) for a, b in zip(new, found, strict=True))
