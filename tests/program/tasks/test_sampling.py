"""Drawing units: exact distributions by temperature, top-k and top-p, and frequencies of many draws."""

import numpy as np
import pytest
import torch

from ostinato.errors import InputError
from ostinato.program.tasks.texts.sampling import Sampling, drawn, probabilities

P = np.array([[0.4, 0.1, 0.3, 0.2]])
SCORES = np.log(P) + 7.0  # a constant on all scores changes nothing


def of(scores=SCORES, barred=(), **how):
    return probabilities(scores, Sampling(**how), barred)[0]


def test_at_temperature_1_the_probabilities_are_the_softmax_of_the_scores():
    np.testing.assert_allclose(of(), P[0], rtol=1e-14)


def test_a_temperature_of_one_half_squares_the_probabilities():
    squares = P[0] ** 2
    np.testing.assert_allclose(of(temperature=0.5), squares / squares.sum(), rtol=1e-13)


def test_temperature_0_takes_the_most_probable_unit_and_of_equal_ones_the_first():
    assert of(temperature=0).tolist() == [1, 0, 0, 0]
    assert of(np.array([[1.0, 3.0, 3.0]]), temperature=0).tolist() == [0, 1, 0]
    np.testing.assert_allclose(of(temperature=1e-3), [1, 0, 0, 0], atol=1e-100)


def test_a_large_temperature_makes_all_units_equally_probable():
    np.testing.assert_allclose(of(temperature=1e9), [0.25] * 4, rtol=1e-8)


def test_top_k_leaves_the_most_probable_units_in_their_proportion():
    np.testing.assert_allclose(of(top_k=2), [4 / 7, 0, 3 / 7, 0], rtol=1e-14)
    np.testing.assert_allclose(of(top_k=1), [1, 0, 0, 0])
    np.testing.assert_allclose(of(top_k=9), P[0], rtol=1e-14)
    assert of(np.array([[0.0, 0.0, 0.0]]), top_k=2).tolist() == [0.5, 0.5, 0]


@pytest.mark.parametrize(
    "share, expected",
    [
        (0.3, [1, 0, 0, 0]),
        (0.6, [4 / 7, 0, 3 / 7, 0]),
        (0.85, [4 / 9, 0, 3 / 9, 2 / 9]),
        (1.0, [0.4, 0.1, 0.3, 0.2]),
    ],
)
def test_top_p_leaves_the_fewest_units_that_add_up_to_the_share(share, expected):
    np.testing.assert_allclose(of(top_p=share), expected, rtol=1e-14)


def test_top_p_counts_what_top_k_has_left():
    # 4/7 alone are more than one half of what two units are.
    np.testing.assert_allclose(of(top_k=2, top_p=0.5), [1, 0, 0, 0])


def test_a_barred_unit_has_probability_0_and_the_others_their_proportion():
    np.testing.assert_allclose(of(barred=(0,)), [0, 1 / 6, 3 / 6, 2 / 6], rtol=1e-14)
    assert of(barred=(0,), temperature=0).tolist() == [0, 0, 1, 0]


def test_rows_are_independent():
    both = probabilities(np.concatenate([SCORES, SCORES[:, ::-1]]), Sampling(top_k=2))
    np.testing.assert_allclose(both, [[4 / 7, 0, 3 / 7, 0], [0, 3 / 7, 0, 4 / 7]], rtol=1e-14)


def test_frequencies_of_many_draws_are_the_probabilities():
    n = 200_000
    found = np.bincount(drawn(np.repeat(P, n, 0), torch.Generator().manual_seed(1)), minlength=4)
    # Five standard deviations of a binomial count.
    assert (np.abs(found - n * P[0]) < 5 * np.sqrt(n * P[0] * (1 - P[0]))).all()


def test_a_unit_of_probability_0_is_never_drawn_and_one_of_probability_1_always():
    p = np.array([[0.0, 0.5, 0.0, 0.5, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]])
    generator = torch.Generator().manual_seed(2)
    found = np.array([drawn(p, generator) for _ in range(2000)])
    assert set(found[:, 0]) == {1, 3} and set(found[:, 1]) == {2}


def test_the_seed_decides_the_draws():
    p = np.repeat(P, 50, 0)
    first, again, other = (drawn(p, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize(
    "how, message",
    [
        (
            {"temperature": -1.0},
            "ostinato generate: --temperature must be a number of 0 or more, got -1.0. 0 takes the most probable unit "
            "each time, 1 follows the model's probabilities.",
        ),
        (
            {"top_k": 0},
            "ostinato generate: --top-k must be a whole number of 1 or more, got 0. Leave it out to draw from all "
            "units.",
        ),
        (
            {"top_p": 1.5},
            "ostinato generate: --top-p must be a share above 0 and up to 1, got 1.5. Leave it out to draw from all "
            "units.",
        ),
    ],
)
def test_values_by_which_nothing_can_be_drawn_are_refused(how, message):
    with pytest.raises(InputError) as refused:
        Sampling(**how).checked("ostinato generate")
    assert str(refused.value) == message
