"""Cells made to trip a plan up: what may be overwritten when, what lies where, which pieces there are."""

import inspect

from torch import exp, maximum, relu, sigmoid, tanh, where

from ostinato.cells.value import mean, norm


def delay_line(W, U, x, h, c):
    """A state is another state's old value."""
    return tanh(W.h @ x + U.h @ h + c), h


def swapped(x, h, c):
    return c, h


def swapped_with_products(W, U, x, h, c):
    return c + W.a @ x, h + U.a @ (h * c)


def output_is_no_state(W, U, b, x, h):
    n = tanh(W.h @ x + U.h @ h + b.h)
    return sigmoid(n * h), n


def output_is_an_old_state(W, U, x, h, c):
    return c, tanh(W.h @ x + U.h @ h + c), h


def output_is_a_number(W, U, x, h):
    return 1.0, tanh(W.h @ x + U.h @ h)


def layer_norm(W, U, b, p, x, h):
    return tanh(p.g * norm(W.h @ x + U.h @ h) + b.h)


def means_of_states(W, U, p, x, h, c):
    """A mean of an old state, of a product with x, and of a product of states."""
    m, k = mean(W.a @ x), mean(c * h)
    return tanh(U.h @ h * m + p.a * exp(-k * k)), tanh(c + mean(h))


def mean_of_means(W, U, x, h):
    a = tanh(W.a @ x + U.a @ h)
    return a * mean(mean(a * h) + mean(a) * mean(h))


def state_is_a_mean(W, U, p, x, h):
    return mean(tanh(W.h @ x + U.h @ h) * p.a)


def mean_of_a_product(W, U, p, x, h):
    """The gradient of the product is one number for all units."""
    return p.a * mean(U.h @ h) + tanh(W.h @ x)


def mean_of_a_projection(W, U, V, p, x, h, c):
    c = tanh(W.c @ x + U.c @ h + c)
    return p.a * mean(V.h @ c) + p.b, c


def norm_of_a_projection(W, U, V, p, x, h, c):
    c = tanh(W.c @ x + U.c @ h + c)
    return p.a * norm(V.h @ c) + 0.1 * h, c


def only_the_output_is_projected(W, U, V, x, h):
    n = tanh(W.h @ x + U.h @ h)
    return V.y @ n, n


def projected_and_no_other_state(W, U, V, b, x, h):
    return V.h @ tanh(W.h @ x + U.h @ h + b.h)


def two_projections(W, U, V, x, h, c):
    c = tanh(W.c @ x + U.c @ h + c)
    return V.a @ c * sigmoid(V.b @ (c * c)), c


def gain_of_a_product(W, U, p, x, h):
    """What the gain's gradient is multiplied by is kept, and read by nothing else."""
    return tanh(W.h @ x + p.g * (U.h @ h))


def gain_of_a_sum(W, U, b, p, x, h):
    return tanh(p.g * (W.h @ x + U.h @ h) + b.h)


def gain_of_one_number(W, U, V, p, x, h, c):
    """The gain's gradient is a line of P numbers times one number."""
    c = tanh(W.c @ x + U.c @ h + c)
    return p.a * tanh(mean(V.h @ c)) + V.h @ c, c


def product_of_a_computed_value(W, U, b, x, h):
    r = sigmoid(W.r @ x + U.r @ h)
    return tanh(W.n @ x + U.n @ (r * h) + b.n) + r


def deep_transition(W, U, b, x, h):
    return tanh(U.b @ tanh(U.a @ h + W.a @ x) + b.b)


def deep_transition_between_gates(W, U, b, x, h, c):
    """What the second product reads is kept beside other values, not at the start of their line."""
    i = sigmoid(W.i @ x + U.i @ h + b.i)
    f = sigmoid(W.f @ x + U.f @ h)
    s = tanh(U.s @ tanh(U.a @ (f * h) + W.a @ x))
    c = f * c + i * s
    return tanh(c) * i, c


def four_products_in_a_row(W, U, x, h):
    a = tanh(U.a @ h + W.a @ x)
    e = tanh(U.e @ a)
    f = tanh(U.f @ e)
    return a + 0.5 * tanh(U.g @ f)


def product_with_a_new_state(W, U, b, x, h):
    n = tanh(W.h @ x + U.h @ h)
    return sigmoid(U.y @ n + b.y), n


def output_is_a_product(W, U, x, h):
    n = tanh(W.h @ x + U.h @ h)
    return U.y @ n, n


def new_state_is_a_number(W, U, x, h, c):
    return tanh(W.h @ x + U.h @ h + c), 0.5


def output_state_is_a_number(W, U, x, h, c):
    return 0.25, tanh(W.h @ x + U.h @ c + h)


def new_state_is_a_parameter(W, p, x, h, c):
    return tanh(W.h @ x + c * h), p.a


def new_state_is_a_product_with_x(W, U, x, h, c):
    return tanh(U.h @ h + c), W.c @ x


def two_states_are_one_value(W, U, x, h, c):
    n = tanh(W.a @ x + U.a @ h + U.b @ c)
    return n, n


def a_state_is_ignored(W, U, x, h, c):
    return tanh(W.h @ x + U.h @ h), tanh(W.c @ x)


def without_w(U, b, x, h):
    return tanh(U.h @ h + b.h)


def without_u(W, b, x, h):
    return tanh(W.h @ x + b.h)


def without_matrices(p, b, x, h):
    return tanh(p.h * h + b.h)


def linear(W, U, x, h):
    """Gradients of products that are the gradients that arrive."""
    return W.h @ x + U.h @ h


def only_compared(W, x, h):
    """A weight whose gradient is zero, in front of a comparison."""
    return where(W.a @ x > 0, tanh(h), -0.5 * h)


def compared_across_stages(W, U, x, h, c):
    """A comparison that two stages of backward need."""
    n = relu(W.n @ x + U.n @ h)
    return maximum(n, c), c * 0.5 + mean(n)


def one_bias_in_two_sums(W, U, b, x, h):
    return tanh(W.a @ x + b.a) + 0.5 * sigmoid(U.a @ h + b.a)


def biases_apart_from_products(W, U, b, d, x, h):
    return tanh((W.a @ x + U.a @ h) + b.a + d.a) * b.z


def differences(W, U, b, x, h):
    return tanh((W.a @ x * h - U.a @ h) - (b.a - h * h) + (h * b.z - (U.z @ h) * h))


def one_product_read_three_times(W, U, b, x, h):
    q = U.a @ h
    return tanh(W.a @ x + q) * sigmoid(q + b.a) + 0.1 * q


def five_gates(W, U, x, h):
    a, e, g = (sigmoid(W_ + U_) for W_, U_ in ((W.a @ x, U.a @ h), (W.e @ x, U.e @ h), (W.g @ x, U.g @ h)))
    f, i = tanh(W.f @ x + U.f @ h), tanh(W.i @ x + U.i @ h)
    return a * h + (1 - a) * tanh(e * f + g * i)


def nine_gates(W, U, b, x, h):
    a, e, g = sigmoid(W.a @ x + U.a @ h), sigmoid(W.e @ x + U.e @ h + b.e), sigmoid(W.g @ x + U.g @ h)
    f, i, k = tanh(W.f @ x + U.f @ h), tanh(W.i @ x + U.i @ h + b.i), tanh(W.k @ x + U.k @ h)
    j, l, m = sigmoid(W.j @ x + U.j @ h), sigmoid(W.l @ x + U.l @ h), sigmoid(W.m @ x + U.m @ h)
    return a * h + (1 - a) * tanh(e * f + g * i + j * k + l * m)


HAZARDS = [
    f for f in list(globals().values())
    if inspect.isfunction(f) and f.__module__ == __name__ and "x" in inspect.signature(f).parameters
]  # fmt: skip
