"""When threads share the units of a step: the cost of a barrier decides where rows are too few to be divided."""

import os
import subprocess
import sys

import pytest

from ostinato.cells import catalogue
from ostinato.kernels.codegen.kernel_args import KernelArgs
from ostinato.kernels.runtime import api, cost_model
from ostinato.kernels.runtime import barrier_cost as barrier_cost
from ostinato.kernels.runtime.barrier_cost import run_barriers
from ostinato.kernels.runtime.launch_plan import LaunchPlan
from ostinato.kernels.runtime.plan_template import PlanTemplate
from ostinato.kernels.runtime.row_partition import RowPartition
from ostinato.kernels.system import openmp

pytestmark = pytest.mark.skipif(openmp.num_threads_address() is None, reason="torch brings no OpenMP library here")


@pytest.mark.parametrize("workers", [2, 5])
def test_every_thread_arrives_at_every_barrier(workers: int):
    """More threads than processors too: one that waits gives its processor away."""
    _, arrivals = run_barriers(workers, 40)
    assert arrivals == 40 * workers


def test_no_thread_waits_for_one_that_never_came():
    """Of five threads that are asked for, this limit lets three come."""
    code = "from ostinato.kernels.runtime.barrier_cost import run_barriers; print(run_barriers(5, 40)[1])"
    limited = {**os.environ, "OMP_THREAD_LIMIT": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=limited)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 40 * 3


def test_the_cost_is_that_of_one_barrier(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        barrier_cost, "run_barriers", lambda workers, rounds: (2.0 + 3.0 * workers * (rounds - 1), None)
    )
    assert barrier_cost.barrier_seconds.__wrapped__(4) == pytest.approx(12.0)


@pytest.mark.parametrize(("seconds", "rows", "shared"), [(3e-8, 1, True), (1e-6, 1, False), (3e-8, 2, False)])
def test_a_step_of_one_row_is_shared_where_barriers_are_cheap(
    seconds: float, rows: int, shared: bool, monkeypatch: pytest.MonkeyPatch
):
    def known(workers: int) -> float:
        assert workers == 2
        return seconds

    monkeypatch.setattr(cost_model, "barrier_seconds", known)
    compiled = api.compiled_forward(catalogue()["lstm"], "float32", False, False)
    found = LaunchPlan(PlanTemplate(compiled, 64, 64, 64, False), RowPartition(200, rows, None), 2)
    assert found.threads == (2 if shared or rows > 1 else 1)
    assert found.block[KernelArgs.shared] == shared


def test_a_barrier_is_timed_only_where_its_cost_decides(monkeypatch: pytest.MonkeyPatch):
    def unasked(workers: int) -> float:
        raise AssertionError("nothing to decide")

    monkeypatch.setattr(cost_model, "barrier_seconds", unasked)
    compiled = api.compiled_forward(catalogue()["lstm"], "float32", False, False)
    for H, shared in ((32, False), (256, True)):
        partition = RowPartition(1000 if H == 32 else 40, 1, None)
        call = LaunchPlan(PlanTemplate(compiled, 4, H, H, False), partition, 2)
        assert call.block[KernelArgs.shared] == shared
