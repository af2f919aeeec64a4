"""Widths, returns, signatures and settings that the notation refuses: the message, the line, what it says to write."""

import pytest
import torch
from torch import tanh

from cells.refusing import Refused, check_refusal
from ostinato.cells import Cell, as_cell, cell, mean
from ostinato.errors import CellError, InputError, OstinatoError

OUTSIDE = torch.ones(6)
refused = Refused()


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


@refused("the arguments before x must be letters out of W U V b d p R S, got q. Write a state after x", "(W, q, x, h)")
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


@pytest.mark.parametrize(("fn", "settings", "message", "line"), refused.cases)
def test_refusal(fn, settings, message, line):
    check_refusal(fn, settings, message, line)


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
