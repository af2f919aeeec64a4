"""Operations, control flow and operands that the notation refuses: the message, the line, what it says to write."""

import math

import numpy as np
import pytest
import torch
from torch import clamp, maximum, minimum, sigmoid, tanh, where
from torch.nn import functional
from torch.nn.functional import leaky_relu, softplus

from cells.refusing import Refused, check_refusal
from ostinato.cells import clip_gradient, mean, norm
from ostinato.cells.operations import known
from ostinato.errors import CellError

OUTSIDE = torch.ones(6)
refused = Refused()


# operations that do not exist


@refused(f"torch.cos is not an operation of a cell. Known: {known()}.", "torch.cos(")
def unknown_function(W, U, x, h):
    a = W.h @ x
    return torch.cos(a + U.h @ h)


def helper(a):
    return torch.sin(a)


@refused("torch.sin is not an operation of a cell", "return helper(a)")
def unknown_function_in_a_helper(W, U, x, h):
    a = W.h @ x
    return helper(a)


@refused("torch.abs is not an operation of a cell. Write maximum(a, -a).", "torch.abs(h)")
def function_with_an_equivalent(W, x, h):
    return torch.abs(h)


@refused("torch.hardtanh is not an operation of a cell. Write clamp(a, -1, 1).", "hardtanh(h)")
def function_of_torch_nn(W, x, h):
    return functional.hardtanh(h)


@refused("torch.cat is not an operation of a cell. Write a weight for each part, W.name @ x + U.name @ h.", "torch.cat")
def concatenation(W, x, h):
    return torch.cat([W.h @ x, h])


@refused("torch.linear is not an operation of a cell. Write W.name @ x + b.name.", "functional.linear")
def linear(W, x, h):
    return functional.linear(x, W.h)


@refused("numpy.tanh is not an operation of a cell. Write torch.tanh.", "np.tanh")
def numpy_function(W, x, h):
    return np.tanh(W.h @ x)


@refused("numpy.absolute is not an operation of a cell. Write maximum(a, -a).", "np.abs")
def numpy_function_with_an_equivalent(W, x, h):
    return np.abs(h)


@refused("a value of an equation is not a number, so math functions cannot take it. Write torch's function", "math.exp")
def math_function(W, x, h):
    return math.exp(W.h @ x)


@refused("a value has no .tanh. Write tanh(a).", ".tanh()")
def method(W, x, h):
    return (W.h @ x).tanh()


@refused("a value has no .abs. Write maximum(a, -a).", ".abs()")
def method_with_an_equivalent(W, x, h):
    return h.abs()


@refused("a value has no .shape. Write a function instead", "h.shape")
def attribute(W, x, h):
    return h * h.shape[0]


@refused("** is not an operation of a cell. Write a * a for a square", "** 2")
def power(W, x, h):
    return (W.h @ x) ** 2


@refused("** is not an operation of a cell", "2**h")
def power_of_a_number(W, x, h):
    return 2**h


@refused("abs is not an operation of a cell. Write maximum(a, -a).", "abs(h)")
def python_abs(W, x, h):
    return abs(h)


@refused("a value of an equation is not a number", "round(h)")
def python_round(W, x, h):
    return round(h)


@refused("a value cannot be taken apart: it stands for all units at once.", "h[0]")
def indexing(W, x, h):
    return h[0]


@refused("a value cannot be taken apart", "a, b = h")
def unpacking(W, x, h):
    a, b = h
    return a


@refused("a value cannot be taken apart", "len(h)")
def length(W, x, h):
    return h / len(h)


@refused("a value cannot be taken apart", "0.5 in h")
def membership(W, x, h):
    return h if 0.5 in h else -h


@refused("//, %, &, | and ~ are no operations of a cell.", "% 2")
def modulo(W, x, h):
    return h % 2


@refused("//, %, &, | and ~ are no operations of a cell.", "&")
def logical_and(W, x, h):
    return where((h > 0) & (h < 1), h, 0.0)


@refused("//, %, &, | and ~ are no operations of a cell.", "~(h > 0)")
def logical_not(W, x, h):
    return where(~(h > 0), h, 0.0)


# control flow and comparisons


@refused("an equation has no if, and, or, not, min or max", "if a > 0:")
def python_if(W, x, h):
    a = W.h @ x
    if a > 0:
        return a
    return h


@refused("Write where(a > b, u, v), minimum(a, b) or maximum(a, b).", "max(0, h)")
def python_max(W, x, h):
    return max(0, h)


@refused("an equation has no if, and, or, not", "0 < h < 1")
def chained_comparison(W, x, h):
    return where(0 < h < 1, h, 0.0)


@refused("== between values is not an operation of a cell", "h == c")
def equality(W, x, h, c):
    return where(h == c, h, 0.0), c


@refused("a comparison is the condition of a where and nothing else. Write where(a > b, u, v).", "(h > 0) * h")
def comparison_as_a_number(W, x, h):
    return (h > 0) * h


@refused("a comparison is the condition of a where and nothing else", "where(h, h, 0.0)")
def value_as_a_condition(W, x, h):
    return where(h, h, 0.0)


@refused("!= between values is not an operation of a cell", "h != h")
def inequality(W, x, h):
    return where(h != h, h, 0.0)


@refused("a comparison is the condition of a where and nothing else", "mean(h > 0)")
def mean_of_a_comparison(W, x, h):
    return h * mean(h > 0)


@refused("U.h @ takes a value, got a comparison. Write where(a > b, u, v) around it.", "U.h @ (h > 0)")
def product_with_a_comparison(W, U, x, h):
    return W.h @ x + U.h @ (h > 0)


# operands


@refused(
    "* takes values and numbers, got a tensor from outside the equations. Write a number, or a parameter", "* OUTSIDE"
)
def tensor_on_the_right(W, x, h):
    return tanh(W.h @ x) * OUTSIDE


@refused("got a tensor from outside the equations", "OUTSIDE * ")
def tensor_on_the_left(W, x, h):
    return OUTSIDE * tanh(W.h @ x)


@refused("torch.where takes values and numbers, got a tensor from outside", "where(h > 0, OUTSIDE, h)")
def tensor_in_a_function(W, x, h):
    return where(h > 0, OUTSIDE, h)


@refused("* takes values and numbers, got ndarray. Write a number, or a parameter p.name.", "np.ones(3) *")
def array(W, x, h):
    return np.ones(3) * h


@refused("+ takes values and numbers, got str. Write a number", '+ "a"')
def text_as_a_number(W, x, h):
    return h + "a"


@refused("- takes finite numbers, got inf. Write a large one.", "math.inf")
def infinity(W, x, h):
    return h - math.inf


@refused("* takes finite numbers, got nan.", "math.nan")
def not_a_number(W, x, h):
    return math.nan * h


@refused("+ on x: x has input_size entries, a state hidden_size. Write a weight between: W.name @ x.", "+ x")
def input_without_a_weight(W, x, h):
    return W.h @ x + x


@refused("return on x: x has input_size entries", "return x")
def input_returned(W, x, h):
    return x


@refused("mean takes a value of the equations, got 3.0. Write", "mean(3.0)")
def mean_of_a_number(W, x, h):
    return h * mean(3.0)


# functions with settings


@refused(
    "TypeError: minimum(): argument 'other' (position 2) must be Tensor, not float. Write clamp(a, max=...)",
    "minimum(h",
)
def minimum_with_a_number(W, x, h):
    return minimum(h, 1.0)


@refused("Write clamp(a, min=...) for a bound that is a number.", "maximum(0, h)")
def maximum_with_a_number(W, x, h):
    return maximum(0, h)


@refused("torch.where takes a value on one side at least, got two numbers", "where(h > 0, 1.0, 0.0)")
def where_with_two_numbers(W, x, h):
    return where(h > 0, 1.0, 0.0)


@refused("Write where(a > b, u, v).", "where(h > 0, h)")
def where_with_two_arguments(W, x, h):
    return where(h > 0, h)


@refused("must be Tensor, not float. Write the values by position", "tanh(0.5)")
def function_of_a_number(W, x, h):
    return h * tanh(0.5)


@refused("torch.sigmoid takes no out= inside a cell. Write its values by position", "out=c")
def keyword(W, x, h, c):
    return sigmoid(h, out=c), c


@refused(
    "clamp: min must be a finite number, got a value. Write a plain number; for a learned one minimum(a", "clamp(h, p.a"
)
def clamp_with_a_vector(W, p, x, h):
    return clamp(h, p.a, 1)


@refused("clamp takes a bound, got none. Write clamp(a, min=...), clamp(a, max=...) or both.", "clamp(h)")
def clamp_without_bounds(W, x, h):
    return clamp(h)


@refused("clamp: max must be a finite number, got inf.", "math.inf")
def clamp_at_infinity(W, x, h):
    return clamp(h, 0, math.inf)


@refused(
    "negative_slope must be a finite number, got a value. Write a plain number; for a learned one where(a > 0",
    "leaky_relu(h, p.a)",
)
def leaky_relu_with_a_vector(W, p, x, h):
    return leaky_relu(h, p.a)


@refused("negative_slope must be a finite number, got str", 'leaky_relu(h, "a")')
def leaky_relu_with_text(W, p, x, h):
    return leaky_relu(h, "a")


@refused("softplus: beta must be 1, got 2.0. Write softplus(2.0 * a) / 2.0.", "beta=2.0")
def softplus_with_beta(W, x, h):
    return softplus(h, beta=2.0)


@refused("softplus: threshold must be 20, torch's own, got 5. Leave it out.", "softplus(h, 1, 5)")
def softplus_with_a_threshold(W, x, h):
    return softplus(h, 1, 5)


@refused("clip_gradient: bound must be a finite number above 0, got -1. Write clip_gradient(a, 10.0).", "(h, -1)")
def gradient_clipped_below_zero(W, x, h):
    return clip_gradient(h, -1)


@refused("norm: eps must be a finite number above 0, got 0. Leave it out", "norm(h, 0)")
def norm_that_may_divide_by_zero(W, x, h):
    return norm(h, 0)


@refused("the condition of a where and nothing else. Write where(a > b, u, v).", "norm(h > 0)")
def norm_of_a_comparison(W, x, h):
    return norm(h > 0)


@refused("norm on x: x has input_size entries", "norm(x)")
def norm_of_the_input(W, x, h):
    return norm(x) + W.h @ x + h


@refused("R.n is computed but nothing that is returned depends on it. Remove it.", "R.n * h")
def random_number_for_nothing(R, x, h):
    R.n * h
    return R.m * h


def test_functions_of_the_package_refuse_what_is_no_value():
    with pytest.raises(CellError, match=r"clip_gradient takes a value of the equations, got float. Write it around"):
        clip_gradient(0.5, 1.0)


@pytest.mark.parametrize(("fn", "settings", "message", "line"), refused.cases)
def test_refusal(fn, settings, message, line):
    check_refusal(fn, settings, message, line)
