"""When threads share the units of a step: what a meeting costs decides, where rows are too few to be divided."""

import pytest
import torch

import ostinato
from ostinato.cells import catalogue
from ostinato.kernels import call as kernel_call
from ostinato.kernels import run, threads
from ostinato.kernels.meetings import meetings, price

pytestmark = pytest.mark.skipif(threads.num_threads_address() is None, reason="torch brings no OpenMP library here")


def test_threads_meet_as_often_as_asked_for():
    """More threads than processors too: one that waits gives its processor away."""
    for workers in (1, 2, 5):
        assert meetings().seconds(workers, 1) > 0
        assert meetings().seconds(workers, 40) > 0
    assert 0 <= price(2) < 1


@pytest.mark.parametrize(("seconds", "rows", "shared"), [(3e-8, 1, True), (1e-6, 1, False), (3e-8, 2, False)])
def test_a_step_of_one_row_is_shared_where_meetings_are_cheap(
    seconds: float, rows: int, shared: bool, monkeypatch: pytest.MonkeyPatch
):
    def known(workers: int) -> float:
        assert workers == 2
        return seconds

    monkeypatch.setattr(kernel_call, "price", known)
    compiled = run.compiled_forward(catalogue()["lstm"], "float32", False, False)
    found = kernel_call.Call(compiled, kernel_call.Lines(200, rows, None), 64, 64, 64, 2, False)
    assert found.threads == (2 if shared or rows > 1 else 1)
    assert found.template[compiled.places["shared"]] == shared


def test_a_price_is_asked_for_only_where_it_decides(monkeypatch: pytest.MonkeyPatch):
    def unasked(workers: int) -> float:
        raise AssertionError("nothing to decide")

    monkeypatch.setattr(kernel_call, "price", unasked)
    compiled = run.compiled_forward(catalogue()["lstm"], "float32", False, False)
    for H, shared in ((32, False), (256, True)):
        call = kernel_call.Call(compiled, kernel_call.Lines(1000 if H == 32 else 40, 1, None), 4, H, H, 2, False)
        assert call.template[compiled.places["shared"]] == shared


def test_one_row_on_two_threads_has_the_bits_of_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kernel_call, "price", lambda workers: 0.0)
    before, found = torch.get_num_threads(), []
    torch.manual_seed(0)
    layer, x = ostinato.LSTM(64, 64), torch.randn(100, 1, 64)
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            run._dense.cache_clear()
            layer.zero_grad()
            layer(x)[0].square().sum().backward()
            found.append([p.grad.clone() for p in layer.parameters()])
    finally:
        torch.set_num_threads(before)
        run._dense.cache_clear()
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
