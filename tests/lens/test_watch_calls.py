"""How many calls of Python the lens makes in a watched step, counted and not timed."""

import sys
from collections import Counter
from pathlib import Path

import torch

import ostinato
from ostinato import lens

LENS = str(Path(lens.__file__).parent)


def step(model, x, every):
    with lens.watch(model):
        output = model(x)[0]
        (output if every else output[-1]).square().sum().backward()


def calls_in_the_lens(model, x, every):
    """Of a warmed step, by function."""
    found = Counter()

    def count(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(LENS):
            found[f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"] += 1

    for _ in range(3):
        step(model, x, every)
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        step(model, x, every)
    finally:
        sys.setprofile(before)
    return found


def test_a_watched_step_makes_few_calls():
    model, x = ostinato.LSTM(16, 32), torch.randn(20, 8, 16)
    for every, most in ((True, 110), (False, 105)):
        found = calls_in_the_lens(model, x, every)
        assert found["layer_observer.forward"] == found["layer_observer.backward"] == 1
        assert sum(found.values()) <= most, found


def test_calls_do_not_depend_on_the_number_of_steps():
    model = ostinato.LSTM(16, 32)
    few, many = (calls_in_the_lens(model, torch.randn(steps, 8, 16), True) for steps in (20, 60))
    assert few == many
