"""Many input features: one chain of additions over C, held to a bound that grows with C."""

import pytest
import torch
from torch import nn

import ostinato
from layers.pairs import named
from tolerance import bound, check, error


@pytest.mark.parametrize("features", [1_000, 20_000, 200_000])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_wide_inputs_against_float64(kind, features):
    torch.manual_seed(features)
    ours, truth = getattr(ostinato, kind)(features, 8), getattr(nn, kind)(features, 8).double()
    truth.load_state_dict({name: t.double() for name, t in ours.state_dict().items()})
    for x in (torch.rand(2, 3, features), torch.randn(2, 3, features)):
        with torch.no_grad():
            found, expected = named(*ours(x)), named(*truth(x.double()))
        check("outputs", found, {k: t.float() for k, t in expected.items()}, features=features)


def test_the_bound_is_needed():
    """The chain errs more than the bound of narrow layers at 200,000 features, so the test above is not idle."""
    torch.manual_seed(0)
    ours, truth = ostinato.GRU(200_000, 8), nn.GRU(200_000, 8).double()
    truth.load_state_dict({name: t.double() for name, t in ours.state_dict().items()})
    x = torch.rand(3, 4, 200_000)
    with torch.no_grad():
        e = error(ours(x)[0], truth(x.double())[0])
    assert bound("outputs", torch.float32) < e < bound("outputs", torch.float32, 200_000)
