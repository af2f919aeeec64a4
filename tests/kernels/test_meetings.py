"""When threads share the units of a step: what a meeting costs decides, where rows are too few to be divided."""

import os
import subprocess
import sys

import pytest

from ostinato.cells import catalogue
from ostinato.kernels import call as kernel_call
from ostinato.kernels import meetings as prices
from ostinato.kernels import run, threads
from ostinato.kernels.meetings import meet, meetings

pytestmark = pytest.mark.skipif(threads.num_threads_address() is None, reason="torch brings no OpenMP library here")


@pytest.mark.parametrize("workers", [2, 5])
def test_threads_meet_as_often_as_asked_for(workers: int):
    """More threads than processors too: one that waits gives its processor away."""
    _, frame = meet(workers, 40)
    assert frame[meetings().names.index("meeting")] == 40 * workers


def test_no_thread_waits_for_one_that_never_came():
    """Of five threads that are asked for, this limit lets three come."""
    code = "from ostinato.kernels.meetings import meet, meetings\n"
    code += "print(meet(5, 40)[1][meetings().names.index('meeting')])"
    limited = {**os.environ, "OMP_THREAD_LIMIT": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=limited)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 40 * 3


def test_a_price_is_that_of_one_meeting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prices, "meet", lambda workers, rounds: (2.0 + 3.0 * workers * (rounds - 1), None))
    assert prices.price.__wrapped__(4) == pytest.approx(12.0)


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
