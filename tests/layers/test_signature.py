"""What `inspect.signature` and an editor show of the layers, and what a wrong name or state is answered with."""

import inspect
from dataclasses import fields
from typing import get_type_hints

import pytest
import torch

import ostinato
from ostinato.errors import InputError
from ostinato.layers.options import LayerOptions, Options

LAYERS = [ostinato.RNN, ostinato.GRU, ostinato.LSTM, ostinato.Recurrent]


@pytest.mark.parametrize("layer", LAYERS)
def test_every_option_is_shown_with_its_type_and_default(layer: type):
    shown = inspect.signature(layer).parameters
    for option in fields(Options):
        parameter = shown[option.name]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert (parameter.annotation, parameter.default) == (option.type, option.default)


def test_type_checkers_know_the_same_options():
    assert get_type_hints(LayerOptions).keys() == {option.name for option in fields(Options)}
    assert {k: v.__forward_arg__ for k, v in LayerOptions.__annotations__.items()} == {
        option.name: option.type for option in fields(Options)
    }


def test_a_wrong_name_suggests_the_nearest_right_one():
    with pytest.raises(TypeError, match="got 'zonout'. Did you mean 'zoneout'"):
        ostinato.LSTM(3, 4, zonout=0.1)  # type: ignore[call-arg]
    with pytest.raises(InputError, match="got 'lsmt'. Did you mean 'lstm'"):
        ostinato.Recurrent("lsmt", 3, 4)
    with pytest.raises(InputError, match="got 'transformer'.$"):
        ostinato.Recurrent("transformer", 3, 4)


@pytest.mark.parametrize("layer", [ostinato.LSTM(3, 4), ostinato.Recurrent("lstm", 3, 4)])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_state_of_a_wrong_count_is_named(layer: torch.nn.Module, count: int):
    """torch.nn.LSTM fails with IndexError for 0 and 1 of them; 3 it checks, and its own words are kept there."""
    state = tuple(torch.zeros(1, 2, 4) for _ in range(count))
    ours = rf"state must be a tuple of tensors \(h, c\), got {count} of them"
    with pytest.raises(RuntimeError, match=f"{ours}|lstm expects two hidden states"):
        layer(torch.randn(5, 2, 3), state)
