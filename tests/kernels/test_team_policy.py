"""The team policy: one thread while teams lose time, and teams that dissolve in a call. Bits never change."""

import ctypes
from array import array

import pytest
import torch

import ostinato
from ostinato.cells import catalogue
from ostinato.kernels.codegen.kernel_args import KernelArgs
from ostinato.kernels.runtime import api, cost_model, launch_plan, team_policy
from ostinato.kernels.runtime.launch_plan import LaunchPlan
from ostinato.kernels.runtime.plan_template import PlanTemplate
from ostinato.kernels.runtime.row_partition import RowPartition
from ostinato.kernels.runtime.team_policy import TeamPolicy
from ostinato.kernels.system import openmp
from ostinato.layers import inline_cache

NEEDS_TEAM = pytest.mark.skipif(openmp.num_threads_address() is None, reason="torch brings no OpenMP library here")


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(team_policy.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(team_policy.openmp, "thread_count", lambda: 4)
    return now


def times(span, alone):
    """Of a launch of two threads that never dissolved."""
    found = array("q", team_policy.FRESH_TIMES)
    found[:3] = array("q", [1000, 1000 + span, alone // 2])
    return found


def test_a_team_that_gains_is_kept(clock):
    policy = TeamPolicy()
    for _ in range(100):
        policy.ran_as_team(0.001, 2, times(span=1000, alone=1900))
    assert policy.workers() == 4 and policy.alone_for == 0.0


def test_lost_time_beyond_the_gained_is_followed_by_a_multiple_of_it_on_one_thread(clock):
    policy = TeamPolicy(limit=0.001, credit=0.010, lost=-0.010, factor=8.0)
    policy.ran_as_team(0.016, 2, times(span=1600, alone=1000))  # loses 6 ms, within the credit of 10
    assert policy.workers() == 4
    policy.ran_as_team(0.016, 2, times(span=1600, alone=1000))  # 2 ms beyond it
    assert policy.workers() == 1 and policy.alone_for == pytest.approx(0.016)
    policy.ran_alone(0.010)
    assert policy.workers() == 1
    policy.ran_alone(0.007)
    assert policy.workers() == 4


def test_each_loss_doubles_the_time_on_one_thread_up_to_a_limit_and_each_full_credit_halves_it(clock):
    policy = TeamPolicy(limit=0.001, credit=0.010, lost=0.0, factor=8.0, most=16.0)
    spans = []
    for _ in range(3):
        policy.ran_as_team(0.004, 2, times(span=4000, alone=2000))  # loses 2 ms
        spans.append(policy.alone_for)
        policy.ran_alone(policy.alone_for)
    assert spans == pytest.approx([0.016, 0.032, 0.032])
    policy.ran_as_team(0.020, 2, times(span=1000, alone=1600))  # gains 12 ms: the credit is full
    assert policy.workers() == 4
    policy.ran_as_team(0.024, 2, times(span=4000, alone=2000))  # 2 ms beyond it
    assert policy.alone_for == pytest.approx(0.016)


def test_time_on_one_thread_expires_by_the_clock_for_rare_calls(clock):
    policy = TeamPolicy(limit=0.001, lost=0.0, expiry=5.0)
    policy.ran_as_team(0.1, 2, times(span=4000, alone=1000))
    assert policy.workers() == 1
    clock[0] += 6.0
    assert policy.workers() == 4


def test_a_launch_without_times_counts_as_neither(clock):
    policy = TeamPolicy(lost=0.0)
    policy.ran_as_team(5.0, 2, team_policy.FRESH_TIMES)
    assert policy.lost == 0.0 and policy.workers() == 4


@pytest.fixture
def fresh_policy(monkeypatch):
    policy = TeamPolicy()
    for module in (api, launch_plan):
        monkeypatch.setattr(module, "TEAM", policy)
    return policy


@NEEDS_TEAM
@pytest.mark.parametrize(("rows", "shared"), [(1, True), (64, False)])
def test_a_launch_of_a_team_records_its_times(rows, shared, fresh_policy, monkeypatch):
    launches = []
    monkeypatch.setattr(
        TeamPolicy, "ran_as_team", lambda policy, seconds, threads, times: launches.append((seconds, threads, times))
    )
    compiled = api.compiled_forward(catalogue()["lstm"], "float32", False, False)
    plan = LaunchPlan(PlanTemplate(compiled, 240, 240, 240, False), RowPartition(20, rows, None), 2)
    assert (plan.threads, plan.block[KernelArgs.shared]) == (2, shared)
    monkeypatch.setattr(team_policy.openmp, "thread_count", lambda: 2)
    with torch.no_grad():
        ostinato.LSTM(240, 240)(torch.zeros(20, rows, 240))
    assert len(launches) == 1
    for seconds, threads, times in launches:
        first_start, last_end, least_busy, *_ = times
        assert seconds > 0 and threads == 2
        assert 0 < least_busy <= last_end - first_start


def test_a_launch_ends_with_a_thread_that_came_too_late_for_any_work(fresh_policy, monkeypatch):
    """The other threads wait for it at the end of the parallel region, so its time counts as the team's."""
    ends = []
    monkeypatch.setattr(TeamPolicy, "ran_as_team", lambda policy, seconds, threads, times: ends.append(times[1]))
    monkeypatch.setattr(team_policy.openmp, "thread_count", lambda: 2)
    launch, run = LaunchPlan.launch, openmp.parallel

    def one_after_the_other(code, block, threads):
        run(code, block, 1)  # takes all work items
        if threads == 2:
            at = compiled.launch_times.start + 1
            ends.append((ctypes.c_int64 * (at + 1)).from_address(block)[at])
            run(code, block, 1)

    compiled = None

    def launched(plan, entries, entry_point):
        nonlocal compiled
        compiled = plan.compiled
        launch(plan, entries, entry_point)

    monkeypatch.setattr(LaunchPlan, "launch", launched)
    monkeypatch.setattr(openmp, "parallel", one_after_the_other)
    with torch.no_grad():
        ostinato.LSTM(64, 64)(torch.zeros(20, 64, 64))
    before_the_late_thread, at_the_end = ends
    assert 0 < before_the_late_thread < at_the_end


@NEEDS_TEAM
@pytest.mark.parametrize(
    ("H", "scalar", "shared"), [(256, "float32", True), (250, "float32", False), (190, "float64", True)]
)
def test_threads_share_the_units_where_weights_are_larger_than_a_cores_cache(H, scalar, shared):
    compiled = api.compiled_forward(catalogue()["lstm"], scalar, False, False)
    plan = LaunchPlan(PlanTemplate(compiled, H, H, H, False), RowPartition(100, 64, None), 2)
    assert plan.block[KernelArgs.shared] == shared and plan.threads == 2


@NEEDS_TEAM
def test_sharing_the_units_of_large_weights_changes_no_bit(monkeypatch):
    layer, x = ostinato.LSTM(256, 256), torch.randn(9, 24, 256)
    shared = [*layer(x)[0].detach(), torch.autograd.grad(layer(x)[0].square().sum(), layer.weight_hh_l0)[0]]
    monkeypatch.setattr(cost_model, "COSTS", cost_model.CostModel(shared_weight_bytes=1 << 40))
    api._clear_plans()
    inline_cache._ENTRIES.clear()
    divided = [*layer(x)[0].detach(), torch.autograd.grad(layer(x)[0].square().sum(), layer.weight_hh_l0)[0]]
    api._clear_plans()
    assert all(map(torch.equal, shared, divided))


def dissolve_at(step, slice_of_survivor, monkeypatch):
    """From here on each team dissolves after this step, as if a thread had asked for it."""
    value = step * team_policy.MAX_TEAM + slice_of_survivor
    fresh = array("q", team_policy.FRESH_TIMES)
    fresh[3] = value
    monkeypatch.setattr(team_policy, "FRESH_TIMES", fresh)


def test_a_dissolved_team_lost_the_waits_of_the_thread_that_went_on(clock):
    policy, found = TeamPolicy(limit=0.0, lost=0.0, factor=1.0), times(span=1000, alone=5000)
    found[3], found[4 + 1] = 7 * team_policy.MAX_TEAM + 1, 250
    policy.ran_as_team(0.008, 2, found)
    assert policy.alone_for == pytest.approx(0.002)


@NEEDS_TEAM
@pytest.mark.parametrize("survivor", [0, 1])
@pytest.mark.parametrize("step", [0, 1, 7, 19])
@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_reset_before", "lstm_projected", "slstm", "layer norm"])
def test_a_dissolved_team_gives_the_bits_of_one_thread(cell, step, survivor, fresh_policy, monkeypatch):
    torch.manual_seed(0)
    options = {"lstm_projected": {"proj_size": 200}, "layer norm": {"layer_norm": True}}.get(cell, {})
    layer = ostinato.Recurrent("gru" if cell == "layer norm" else cell, 256, 256, **options)
    x = torch.randn(20, 2, 256, requires_grad=True)

    def run(threads):
        layer.zero_grad()
        x.grad = None
        with openmp.kernel_threads(threads):
            output = layer(x)[0]
            output.backward(torch.linspace(-1, 1, output.numel()).reshape(output.shape))
        return [output.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())]

    expected = run(1)
    dissolve_at(step, survivor, monkeypatch)
    for a, b in zip(expected, run(2), strict=True):
        assert torch.equal(a, b)
