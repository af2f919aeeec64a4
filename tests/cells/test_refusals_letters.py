"""Letters, products and changes in place that the notation refuses: the message, the line, what it says to write."""

import pytest
import torch
from torch import relu, tanh
from torch.nn import functional

from cells.refusing import Refused, check_refusal

OUTSIDE = torch.ones(6)
refused = Refused()


# nothing is changed in place


@refused("an equation changes no value in place. Write c = c + ... instead of c += ...", "h += W.h @ x")
def added_in_place(W, x, h):
    h += W.h @ x
    return h


@refused("an equation changes no value in place", "h *= 0.5")
def scaled_in_place(W, x, h):
    h *= 0.5
    return h


@refused("torch.tanh_ is not an operation of a cell. Write tanh(a), which leaves a as it is.", "torch.tanh_")
def function_in_place(W, x, h):
    return torch.tanh_(h)


@refused("torch.relu: inplace must be False, an equation changes no value in place. Leave it out.", "inplace=True")
def setting_in_place(W, x, h):
    return functional.relu(h, inplace=True)


@refused("TypeError: relu() got an unexpected keyword argument 'inplace'. Write the values by position", "inplace=True")
def setting_of_another_function(W, x, h):
    return relu(h, inplace=True)


# letters and products


@refused("W.h is a weight on the input x, [units, input_size]; this is computed. Write U.h @ (...).", "W.h @ h")
def input_weight_on_a_state(W, U, x, h):
    return tanh(W.h @ h)


@refused("U.h @ x: U stands before what is computed from a state. Write W.h @ x.", "U.h @ x")
def recurrent_weight_on_the_input(W, U, x, h):
    return tanh(U.h @ x)


@refused("V.h @ x: V stands before what is computed from a state. Write W.h @ x.", "V.h @ x")
def projection_of_the_input(W, V, x, h):
    return tanh(V.h @ x)


@refused("U.q @ takes something computed from a state; this depends on x and parameters alone.", "U.q @ a")
def recurrent_weight_on_a_gate(W, U, x, h):
    a = tanh(W.h @ x)
    return U.q @ a + h


@refused("U.h is multiplied with two different values; one name is one product.", "U.h @ (h * h)")
def one_name_two_products(W, U, x, h):
    a = W.h @ x + U.h @ h
    return a + U.h @ (h * h)


@refused("Write a name of its own for the second weight, as in U.h2 @ (...).", "U.h @ tanh(h)")
def one_name_two_products_says_what_to_write(W, U, x, h):
    return tanh(U.h @ h + U.h @ tanh(h)) + W.h @ x


@refused("the letter W without a name is not a value. Write W.name @ x.", "W @ x")
def letter_without_a_name(W, x, h):
    return W @ x


@refused("+ takes values and numbers, got the letter b without a name. Write b.name.", "+ b")
def bias_without_a_name(W, b, x, h):
    return W.h @ x + b


@refused("the letter p without a name is not a value. Write p.name.", "p * h")
def vector_without_a_name(p, x, h):
    return p * h


@refused("the letter W without a name is not a value. Write W.name @ x.", "tanh(W)")
def function_of_a_letter(W, x, h):
    return tanh(W)


@refused("the letter U without a name is not a value. Write U.name @ h.", "-U")
def minus_a_letter(U, x, h):
    return -U


@refused("the letter W without a name is not a value", 'W["a"]')
def name_in_brackets(W, x, h):
    return W["a"] @ x


@refused("torch.tanh takes values, got the weight W.h. Write a product, W.h @ x.", "tanh(W.h)")
def function_of_a_weight(W, x, h):
    return tanh(W.h)


@refused("the weight W.h is not a value. Write a product, W.h @ x.", "W.h * x")
def weight_times_input(W, x, h):
    return W.h * x


@refused("the weight U.h is not a value. Write a product, U.h @ h.", "1 - U.h")
def one_minus_a_weight(U, x, h):
    return 1 - U.h


@refused("the weight U.h is not a value", "-U.h")
def minus_a_weight(U, x, h):
    return -U.h @ h


@refused("the weight W.h is not a value", "W.h.T")
def transposed_weight(W, x, h):
    return W.h.T @ x


@refused("the weight W.h is not a value", "W.h(x)")
def weight_called(W, x, h):
    return W.h(x)


@refused("+ takes values and numbers, got the weight W.h. Write a product, W.h @ x.", "h + W.h")
def value_plus_a_weight(W, x, h):
    return h + W.h


@refused("W._h: a name must be a plain word that does not begin with _. Write another.", "W._h @ x")
def name_with_an_underscore(W, x, h):
    return W._h @ x


@refused("b.not a word: a name must be a plain word", "getattr(b")
def name_that_is_no_word(b, x, h):
    return h + getattr(b, "not a word")


@refused("the left side of @ must be a weight. Write W.name @ x, U.name @ (...) or V.name @ (...).", "x @ W.h")
def weight_on_the_right(W, x, h):
    return x @ W.h


@refused("the left side of @ must be a weight", "b.h @ h")
def bias_as_a_weight(b, x, h):
    return b.h @ h


@refused("U.h @ takes a value, got the letter W without a name. Write U.h @ h.", "U.h @ W")
def product_with_a_letter(W, U, x, h):
    return U.h @ W


@refused("U.h @ takes a value, got 3. Write U.h @ h.", "U.h @ 3")
def product_with_a_number(W, U, x, h):
    return U.h @ 3


@refused("W.h @ takes a value, got Tensor. Write W.h @ x.", "W.h @ OUTSIDE")
def product_with_a_tensor(W, x, h):
    return W.h @ OUTSIDE


@refused("the letter U is an argument but no equation uses it. Leave it out.", "def unused_letter(W, U, x, h):")
def unused_letter(W, U, x, h):
    return tanh(W.h @ x)


@refused("U.q is computed but nothing that is returned depends on it. Remove it.", "q = U.q @ h")
def unused_product(W, U, x, h):
    q = U.q @ h
    h = tanh(W.h @ x)
    return h * (q * 0 if q is None else 1)


@refused("p.a is computed but nothing that is returned depends on it. Remove it.", "p.a * h")
def unused_vector(W, p, x, h):
    a = p.a * h
    return tanh(W.h @ x) if a is not None else a


@refused("NameError: name 'undefined' is not defined. Write names of letters, states and values", "undefined")
def undefined_name(W, x, h):
    return W.h @ x + undefined  # noqa: F821


@pytest.mark.parametrize(("fn", "settings", "message", "line"), refused.cases)
def test_refusal(fn, settings, message, line):
    check_refusal(fn, settings, message, line)
