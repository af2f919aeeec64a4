"""Every mistake that the notation refuses: the message, the line that it shows, and what it says to write."""

import linecache
import math
import re

import numpy as np
import pytest
import torch
from torch import clamp, maximum, minimum, relu, sigmoid, tanh, where
from torch.nn import functional
from torch.nn.functional import leaky_relu, softplus

from ostinato.cells import as_cell, cell, mean
from ostinato.cells.operations import KNOWN
from ostinato.errors import CellError, InputError, OstinatoError

OUTSIDE = torch.ones(6)
CASES = []


def refused(message, line=None, **settings):
    """Registers a function as a cell that must be refused with `message` while showing the line that holds `line`."""

    def add(fn):
        CASES.append(pytest.param(fn, settings, message, line, id=fn.__name__))
        return fn

    return add


@pytest.mark.parametrize(("fn", "settings", "message", "line"), CASES)
def test_refusal(fn, settings, message, line):
    with pytest.raises(CellError) as caught:
        cell(fn, **settings)
    first, _, shown = str(caught.value).partition("\n")
    assert message in first
    assert first.endswith(".") and re.search(r"(Write|Leave|Remove|Known:|Its own vectors are:|got foo)", first), first
    if line is not None:
        number, text = re.fullmatch(r"  line (\d+): (.*)", shown).groups()
        assert linecache.getline(__file__, int(number)).strip() == text
        assert line in text


# operations that do not exist


@refused(f"torch.cos is not an operation of a cell. Known: {KNOWN}.", "torch.cos(")
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


# widths


@refused(
    "the state h has proj_size entries in one place and hidden_size in another. Write V.name @ (...)", "V.h @ c, c * h"
)
def projected_times_hidden(W, U, V, x, h, c):
    c = tanh(W.c @ x + U.c @ h)
    return V.h @ c, c * h


@refused("b.h stands where proj_size entries are. Write p.h.", "V.h @ c + b.h")
def bias_on_a_projection(W, U, V, b, x, h, c):
    c = tanh(W.c @ x + U.c @ h)
    return V.h @ c + b.h, c


@refused("U.c reads proj_size entries and U.q hidden_size; one weight_hh holds both.", "U.q @ c")
def two_widths_of_operands(W, U, V, x, h, c):
    c = tanh(W.c @ x + U.c @ h + U.q @ c)
    return V.h @ c, c


@refused("the state h has proj_size entries in one place and hidden_size in another", "return V.h @ c, c")
def mean_over_other_units(W, U, V, x, h, c):
    c = tanh(W.c @ x + U.c @ h) * mean(h)
    return V.h @ c, c


@refused("U.c @ takes a value with an entry for each unit, got a mean over the units, one number.", "U.c @ mean(h)")
def product_with_a_mean(W, U, x, h):
    return tanh(W.c @ x + U.c @ mean(h))


# what is returned


@refused(
    "2 states come in (h, c), 1 value goes out. Write return h, c, each state in the order", "return tanh(W.h @ x)"
)
def state_not_returned(W, x, h, c):
    return tanh(W.h @ x)


@refused("1 state comes in (h), 3 values go out. Write return h,", "return h, h, h")
def too_much_returned(W, x, h):
    return h, h, h


@refused("the equations return nothing. Write return h as the last line.", "def nothing_returned(W, x, h):")
def nothing_returned(W, x, h):
    tanh(W.h @ x)


@refused("the equations return a list. Write return h, c, without brackets.", "return [h, c]")
def list_returned(W, x, h, c):
    return [h, c]


@refused(
    "what is returned must be values of the equations, got a comparison. Write where(a > b, u, v).", "return h > 0"
)
def comparison_returned(W, x, h):
    return h > 0


@refused("what is returned must be values of the equations, got the weight W.h. Write return h.", "return W.h")
def weight_returned(W, x, h):
    return W.h


@refused("what is returned must be values of the equations, got str. Write return h.", 'return "h"')
def text_returned(W, x, h):
    return "h"


# the signature


@refused("the argument h=None must be a plain name. Write letters, then x, then the states", "h=None")
def default(W, x, h=None):
    return h


@refused("the argument *h must be a plain name", "*h")
def starred(W, x, *h):
    return h


@refused("the argument h must be a plain name", "*, h")
def keyword_only(W, x, *, h):
    return h


@refused("an argument must be x, the input; got (W, h). Write letters, then x, then the states", "(W, h)")
def without_x(W, h):
    return h


@refused("the arguments before x must be letters out of W U V b d p, got q. Write a state after x", "(W, q, x, h)")
def unknown_letter(W, q, x, h):
    return h


@refused("a state must have a name of its own, got y, which is reserved. Write h or c.", "(W, x, y)")
def reserved_state(W, x, y):
    return y


@refused("a state must have a name of its own, got b, which is reserved", "(W, x, b)")
def letter_as_a_state(W, x, b):
    return b


@refused("a state must have a name of its own, got _h, which is reserved", "(W, x, _h)")
def hidden_state(W, x, _h):
    return _h


@refused("at least one state must stand after x, got none. Write without_states(..., x, h).", "(W, x)")
def without_states(W, x):
    return W.h @ x


# settings


@refused('gates must come in one order, got i f for W and f i for U. Write @cell(gates="i f")', "def two_orders(")
def two_orders(W, U, x, h):
    return (W.i @ x + W.f @ x) * (U.f @ h + U.i @ h)


@refused("gates must come in one order, got a b for W and b c for U and c a for b.", "def orders_in_a_circle(")
def orders_in_a_circle(W, U, b, x, h):
    return (W.a @ x) * (W.b @ x) + (U.b @ h) * (U.c @ h) + b.c * b.a


@refused('got "i f q": q is in no equation. Write gates="i f", in the order', "def unknown_gate(", gates="i f q")
def unknown_gate(W, x, h):
    return tanh(W.i @ x) * (W.f @ x)


@refused('gates must list the names of the equations, each once, got "i": f is missing.', "def missing(", gates="i")
def missing(W, x, h):
    return tanh(W.i @ x) * (W.f @ x)


@refused('got "i f i": i stands twice. Write gates="i f"', "def twice(", gates="i f i")
def twice(W, x, h):
    return tanh(W.i @ x) * (W.f @ x)


@refused('gates must be a str of names, got list. Write gates="i f g o".', gates=["i", "f"])
def gates_as_a_list(W, x, h):
    return tanh(W.i @ x) * (W.f @ x)


@refused("forget must be a gate of the equations (i f), got 'q'. Write one of these, or leave forget= out.", forget="q")
def unknown_role(W, x, h):
    return tanh(W.i @ x) * (W.f @ x)


@refused("init must be a dict of p.name -> number, got 'p.q'. Its own vectors are: p.a.", init={"p.q": 1.0})
def unknown_vector(W, p, x, h):
    return p.a * (W.i @ x)


@refused("init must be a dict of p.name -> number, got 'a'. Its own vectors are: p.a.", init={"a": 1.0})
def vector_without_its_letter(W, p, x, h):
    return p.a * (W.i @ x)


@refused("init must be a dict of p.name -> number, got float. Its own vectors are: none.", init=1.0)
def start_without_a_name(W, x, h):
    return W.i @ x


@refused("init of p.a must be a finite number, got 'zero'. Write init={\"p.a\": 0.25}.", init={"p.a": "zero"})
def start_that_is_no_number(W, p, x, h):
    return p.a * (W.i @ x)


@refused("@cell: settings must be out of name, gates, forget, input, init, source, differs, got foo.", foo=1)
def unknown_setting(W, x, h):
    return W.i @ x


@refused("@cell: name must be a plain word, got 'my cell'. Write letters, digits and _", name="my cell")
def name_with_a_space(W, x, h):
    return W.i @ x


@refused("@cell: name must be a plain word, got 'class'.", name="class")
def name_that_is_a_keyword(W, x, h):
    return W.i @ x


# what is no function, and functions without source


@pytest.mark.parametrize("given", ["lstm", 3, None.__class__])
def test_what_is_no_function(given):
    with pytest.raises(CellError, match="must be"):
        cell(given)


def test_a_lambda_shows_its_line():
    with pytest.raises(
        CellError, match=r"cell cell: torch.cos is not an operation.*\n  line \d+: cell\(lambda W, x, h"
    ):
        cell(lambda W, x, h: torch.cos(W.h @ x))


def test_without_source_the_line_number_alone():
    scope = {"torch": torch}
    exec("def typed_at_a_prompt(W, x, h):\n    a = W.h @ x\n    return torch.cos(a)", scope)
    with pytest.raises(CellError, match=r"cell typed_at_a_prompt: torch.cos .*\n  line 3 of <string>$"):
        cell(scope["typed_at_a_prompt"])


def test_the_same_mistakes_in_text_show_the_line_of_the_text():
    from ostinato.cells import Cell

    with pytest.raises(CellError, match=r"W.h is a weight on the input x.*\n  line 2: return W.h @ h$"):
        Cell.from_text("def wrong(W, x, h):\n    return W.h @ h\n")


def test_all_errors_have_one_base():
    assert issubclass(CellError, OstinatoError) and issubclass(CellError, TypeError)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("lstn", "Recurrent: cell must be a cell or one of elman, .*, got 'lstn'"),
        (3, "Recurrent: cell must be a cell, got int. Write @ostinato.cell above the equations."),
    ],
)
def test_as_cell(given, message):
    with pytest.raises(InputError, match=message):
        as_cell(given, "Recurrent")
