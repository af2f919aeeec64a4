"""Singular values of long products, against a decomposition in hundreds or thousands of digits."""

import math

import mpmath
import pytest
import torch

from ostinato.lens.measures.long_matrix_products import LongProduct, frame, log_singular_values, lyapunov_step


def drawn(count, size=5, seed=0):
    return torch.randn(count, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def truth(factors, digits):
    with mpmath.workdps(digits):
        product = mpmath.eye(factors.shape[-1])
        for factor in factors:
            product = mpmath.matrix(factor.tolist()) * product
        found = mpmath.svd_r(product, compute_uv=False)
        return torch.tensor(sorted((float(mpmath.log(s)) for s in found), reverse=True), dtype=torch.float64)


def measured(factors):
    product = LongProduct(factors.shape[-1], factors)
    for factor in factors:
        product.multiply(factor)
    return product.log_singular_values()


GRADED = torch.diag(torch.tensor([1.0, 0.9, 0.5, 0.49, 1e-6], dtype=torch.float64))
FACTORS = {
    "one": (drawn(1), 50),
    "random": (drawn(50), 200),
    "beyond the range of a float": (0.01 * drawn(120), 900),
    "nearly orthogonal": (torch.linalg.qr(drawn(100))[0] * (1 + 0.001 * drawn(100)[:, :1].abs()), 60),
    "far apart": (GRADED @ torch.linalg.qr(torch.eye(5, dtype=torch.float64) + 0.05 * drawn(80))[0], 900),
    "the same again": (drawn(1).expand(60, 5, 5), 300),
}


@pytest.mark.parametrize(("factors", "digits"), FACTORS.values(), ids=FACTORS.keys())
def test_singular_values_of_long_products(factors, digits):
    torch.testing.assert_close(measured(factors), truth(factors, digits), rtol=1e-12, atol=1e-12)


def test_what_a_factor_takes_away_is_gone():
    factors = drawn(6)
    factors[2, :, 1] = 0.0
    found = measured(factors)
    assert found[-1] == -math.inf and found[:-1].isfinite().all()
    torch.testing.assert_close(found[:-1], truth(factors, 60)[:-1], rtol=1e-11, atol=1e-11)
    assert (measured(0 * factors) == -math.inf).all()
    assert (measured(factors[:0]) == 0).all()


def test_odd_and_even_sizes_against_torch():
    for size in (1, 2, 3, 8):
        rows = drawn(1, size)[0]
        found = log_singular_values(rows, torch.zeros(size, dtype=torch.float64))
        torch.testing.assert_close(found, torch.linalg.svdvals(rows).log(), rtol=1e-12, atol=1e-12)


def test_exponents_add_up_to_the_determinant_and_lead_with_a_tangent_vector():
    factors, now = drawn(40), frame(5, drawn(1))
    torch.testing.assert_close(now @ now.t(), torch.eye(5, dtype=torch.float64))
    tangent, length, total = now[:, 0].clone(), 0.0, torch.zeros(5, dtype=torch.float64)
    for factor in factors:
        now, grown = lyapunov_step(factor, now)
        total += grown
        tangent = factor @ tangent
        length += tangent.norm().log()
        tangent = tangent / tangent.norm()
    torch.testing.assert_close(total[0], length)
    torch.testing.assert_close(total.sum(), torch.linalg.slogdet(factors)[1].sum())
