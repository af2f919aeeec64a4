"""The tolerance itself: a helper that cannot fail would make every other test worthless."""

import pytest
import torch

from tolerance import bound, check, error


def test_error_is_relative_to_the_largest_value():
    assert error(torch.tensor([100.0, 1.0]), torch.tensor([101.0, 1.0])) == pytest.approx(1 / 101, rel=1e-4)


def test_a_tensor_near_zero_is_held_to_its_siblings():
    found, expected = torch.tensor([2e-9]), torch.tensor([1e-9])
    assert error(found, expected) > 0.9
    assert error(found, expected, largest=1.0) < 1e-3


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_nan_and_infinity_never_pass(wrong):
    assert error(torch.tensor([1.0, wrong]), torch.tensor([1.0, 2.0])) == float("inf")
    assert error(torch.tensor([1.0, 2.0]), torch.tensor([1.0, float("nan")])) == float("inf")


def test_a_value_where_all_should_be_zero_fails():
    assert error(torch.tensor([1e-30]), torch.zeros(1)) == float("inf")
    assert error(torch.zeros(1), torch.zeros(1)) == 0


@pytest.mark.parametrize("dtype, good, bad", [(torch.float32, 5e-6, 5e-5), (torch.float64, 5e-11, 5e-10)])
def test_bounds(dtype, good, bad):
    one = torch.ones(3, dtype=dtype)
    check("outputs", {"y": one + good}, {"y": one})
    check("gradients", {"y": one + bad}, {"y": one})
    with pytest.raises(AssertionError, match="outputs y: error"):
        check("outputs", {"y": one + bad}, {"y": one})


def test_names_shapes_dtypes_and_missing_gradients_are_compared():
    one = torch.ones(3)
    for found in ({}, {"x": one}, {"y": None}, {"y": one.double()}, {"y": torch.ones(1)}):
        with pytest.raises(AssertionError):
            check("outputs", found, {"y": one})


def test_bounds_grow_with_the_input_features_beyond_two_thousand():
    assert bound("outputs", torch.float32, 2000) == bound("outputs", torch.float32) == 1e-5
    assert bound("gradients", torch.float64, 200_000) == pytest.approx(1e-7)
    one = torch.ones(3)
    check("outputs", {"y": one + 5e-4}, {"y": one}, features=200_000)
    with pytest.raises(AssertionError, match="outputs y: error 5.00e-04, at most 1e-04"):
        check("outputs", {"y": one + 5e-4}, {"y": one}, features=20_000)
