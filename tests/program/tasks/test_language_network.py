"""The network of a language model: steps equal the sequence, no score depends on what follows, conditions are read."""

import pytest
import torch

from ostinato.errors import InputError
from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.texts.language_network import LanguageNetwork

OPTIONS = NetworkOptions(cell="lstm", hidden=7, layers=2, embedding=5, both_directions=False)


def network(given=0, **changes):
    torch.manual_seed(3)
    return LanguageNetwork(11, NetworkOptions(**{**vars(OPTIONS), **changes}), given).eval()


@pytest.mark.parametrize("given", [0, 3])
def test_steps_with_a_carried_state_give_the_scores_of_the_sequence(given):
    made = network(given)
    units, condition = torch.randint(0, 11, (6, 4)), torch.randn(4, 3)
    x = {"units": units, "given": condition} if given else {"units": units}
    scores = made(x)
    assert scores.shape == (6, 4, 11)
    reader = made.reader(4).fork(condition if given else None)
    for t in range(6):
        torch.testing.assert_close(reader.step(units[t]), scores[t])


def test_no_score_depends_on_the_units_after_it():
    made, units = network(), torch.randint(0, 11, (6, 2))
    other = units.clone()
    other[4:] = (other[4:] + 1) % 11
    first, second = made({"units": units}), made({"units": other}, torch.tensor([4, 4]))
    assert torch.equal(first[:4], second[:4]) and not torch.equal(first[4:], second[4:])


def test_another_condition_gives_other_scores():
    made, units = network(2), torch.randint(0, 11, (3, 1))
    a, b = (made({"units": units, "given": torch.tensor([row])}) for row in ([1.0, 0.0], [0.0, 1.0]))
    assert not torch.allclose(a, b)


def test_a_network_that_reads_from_the_end_is_refused():
    with pytest.raises(InputError) as error:
        network(both_directions=True)
    assert str(error.value) == (
        "language model: both_directions must be False, got True. Leave --both-directions out: a unit is predicted "
        "from those before it alone."
    )
