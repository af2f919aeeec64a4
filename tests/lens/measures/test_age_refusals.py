"""What lens.by_age and lens.truncation_bias refuse, and what they say."""

import pytest
import torch
from torch import nn

import ostinato
from lens.measures.ages import squares
from ostinato.errors import InputError
from ostinato.lens import by_age, truncation_bias


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": nn.LSTM(3, 4)}, "model must be a model with a recurrent layer of ostinato, got none"),
        (
            {"model": ostinato.GRU(3, 4).requires_grad_(False)},
            "model must be one with weights that learn, got only fro",
        ),
        ({"loss": lambda m: 3.0}, "loss_per_step must be a function from the model to a tensor of losses, got float"),
        ({"loss": lambda m: torch.ones(3)}, "to a tensor of losses, got one without a gradient"),
        (
            {"loss": lambda m: m(torch.ones(2, 1, 3))[0] + torch.tensor(next(m.count))},
            r"loss_per_step must be the same at each call, got .* and .*\. It is called twice",
        ),
        ({"loss": lambda m: m.weight_hh_l0}, "a loss of a recurrent layer's outputs, got one that calls none"),
        (
            {"loss": lambda m: (m(torch.ones(2, 1, 3)), m.weight_hh_l0)[1]},
            "a loss of a recurrent layer's outputs, got one that reads none",
        ),
    ],
)
def test_refusals(arguments, message):
    model = arguments.get("model") or ostinato.GRU(3, 4)
    model.count = iter(range(1, 9))
    loss = arguments.get("loss", squares(torch.ones(2, 1, 3)))
    with pytest.raises(InputError, match=f"lens.by_age: .*{message}"):
        by_age(model, loss)


def test_bounded_gradients_have_no_ages():
    with pytest.raises(InputError, match="lens.by_age: model must be one whose gradients are not bounded, got clip"):
        by_age(ostinato.GRU(3, 4, clip_gradient=1.0), squares(torch.ones(2, 1, 3)))


@pytest.mark.parametrize("ages", [0, -1, [], [1, -2], True, 1.5, ["a"], b"x", torch.tensor(1.0)])
def test_ages_that_are_none(ages):
    with pytest.raises(InputError, match="lens.by_age: ages must be a number of ages, or ages from 0 up, got"):
        by_age(ostinato.GRU(3, 4), squares(torch.ones(2, 1, 3)), ages)


@pytest.mark.parametrize("k2", [0, [], [3, 0], True, 1.5])
def test_horizons_that_are_none(k2):
    with pytest.raises(InputError, match="lens.truncation_bias: k2 must be horizons of 1 step or more, got"):
        truncation_bias(ostinato.GRU(3, 4), squares(torch.ones(2, 1, 3)), k2)
