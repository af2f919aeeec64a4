"""A linear map with the same bits at any number of threads."""

import pytest
import torch
from torch.nn import functional as F

from ostinato.program.tasks.steady_linear import SteadyLinear, one_thread


@pytest.mark.parametrize("rows", [1, 7, 3000])
def test_values_and_gradients_have_the_same_bits_at_one_and_two_threads(rows):
    threads, found = torch.get_num_threads(), []
    linear = SteadyLinear(256, 17)
    x, dy = torch.randn(rows, 256), torch.randn(rows, 17)
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            linear.zero_grad()
            x.grad = None
            y = linear(x.requires_grad_())
            y.backward(dy)
            found.append([y.detach(), x.grad, linear.weight.grad.clone(), linear.bias.grad.clone()])
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_it_is_torchs_linear_map_with_its_gradients():
    linear = SteadyLinear(5, 3, dtype=torch.float64)
    x = torch.randn(4, 2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(linear(x), F.linear(x, linear.weight, linear.bias))
    assert torch.autograd.gradcheck(linear, (x,))


def test_a_traced_network_holds_the_plain_operation():
    linear = SteadyLinear(5, 3)
    exported = torch.export.export(linear, (torch.randn(2, 5),))
    assert "linear" in exported.graph_module.code


def test_the_number_of_threads_comes_back_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before
