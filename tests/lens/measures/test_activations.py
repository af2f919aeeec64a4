"""The table of activations against torch's autograd, and the page that prints it."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from ostinato.lens import ACTIVATIONS, sigmoid_again
from ostinato.lens.measures.activations import FLAT, table

TORCH = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "ReLU": torch.relu,
    "leaky ReLU": lambda a: functional.leaky_relu(a, 0.1),
    "PReLU": lambda a: functional.prelu(a, a.new_tensor([0.25])),
    "softplus": functional.softplus,
}
A = torch.linspace(-15, 15, 6001, dtype=torch.float64)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
def test_values_slopes_and_bounds(activation):
    a = A.clone().requires_grad_()
    value = TORCH[activation.name](a)
    (slope,) = torch.autograd.grad(value.sum(), a)
    torch.testing.assert_close(activation.value(A), value.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(activation.slope(A), slope, rtol=1e-10, atol=1e-15)
    assert slope.max() <= activation.greatest_slope
    assert slope.max() > 0.9999 * activation.greatest_slope
    flat = slope < FLAT * activation.greatest_slope
    expected = torch.zeros_like(flat)
    if activation.flat_below is not None:
        expected |= activation.flat_below > A
    if activation.flat_above is not None:
        expected |= activation.flat_above < A
    differ = flat != expected
    assert differ.sum() <= 1 and (not differ.any() or A[differ].item() == 0)  # ReLU's corner, where torch says 0


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
def test_the_formulas_as_text_are_the_functions(activation):
    """The text is read here with numbers in it: 1 / (1 + e⁻ᵃ), "a for a > 0, else 0.1 a"."""
    names = {"e": torch.e, "log": lambda v: v.log(), "max": lambda z, v: v.clamp(min=z), "sigmoid": torch.sigmoid}

    def evaluated(text):
        text = text.replace("e⁻ᵃ", "(e ** -a)").replace("eᵃ", "(e ** a)").replace("t²", "t * t")
        text = text.replace("s (", "s * (").replace("0.1 a", "0.1 * a").replace("p a", "p * a")
        scope = {**names, "a": A, "p": 0.25, "s": A.sigmoid(), "t": A.tanh()}
        if " for a > 0, else " in text:
            above, below = (eval(part, {}, scope) for part in text.split(" for a > 0, else "))  # noqa: S307
            return torch.where(A > 0, above, torch.as_tensor(below, dtype=torch.float64))
        return eval(text, {}, scope)  # noqa: S307

    torch.testing.assert_close(evaluated(activation.formula), activation.value(A), rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(evaluated(activation.derivative), activation.slope(A), rtol=1e-8, atol=1e-9)
    low, high = activation.range.strip("()[").split(", ")
    value = activation.value(A)
    assert value.min() >= float(low.replace("∞", "inf")) and value.max() <= float(high.replace("∞", "inf"))
    assert ("∞" in high) == (value.max() > 10) and ("-∞" in low) == (value.min() < -1.01)


def test_sigmoid_again_is_a_composition_that_goes_flat():
    a = A.clone().requires_grad_()
    value = a.sigmoid().sigmoid().sigmoid()
    (slope,) = torch.autograd.grad(value.sum(), a)
    found = sigmoid_again(A, 3)
    torch.testing.assert_close(found, (value.detach(), slope), rtol=1e-12, atol=0)
    for times in range(1, 30):
        assert sigmoid_again(A, times)[1].max() <= 0.25**times
    value, slope = sigmoid_again(A, 60)
    assert abs(value - 0.6590460684074066).max() < 1e-12
    fixed = torch.tensor([0.6590460684074066], dtype=torch.float64)
    assert sigmoid_again(fixed, 1)[1].item() == pytest.approx(0.2247, abs=5e-5)


def test_the_page_holds_the_table():
    page = (Path(__file__).parents[3] / "docs" / "activations.md").read_text(encoding="utf-8")
    assert table() in page
