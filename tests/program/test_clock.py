"""The clocks of a command."""

import pytest
import torch

import ostinato
from ostinato.program.running.clock import SLOWEST, clock_from_now, slowness
from ostinato.program.running.train import evaluations_after, report_seconds
from ostinato.program.tasks.registry import TASKS


def test_work_is_slower_by_as_much_as_other_processes_take_of_the_processor():
    assert slowness(30.0, 10.0) == 3.0
    assert slowness(10.0, 18.0) == 1.0  # two threads on idle cores
    assert slowness(900.0, 10.0) == SLOWEST and slowness(0.0, 0.0) == 1.0


def test_a_clock_from_now_begins_at_zero():
    times = iter([100.0, 100.0, 107.5])
    clock = clock_from_now(lambda: next(times))
    assert [clock(), clock()] == [0.0, 7.5]


def test_judging_is_counted_in_evaluations_of_the_rows_that_a_fit_reads():
    rows, translations = object.__new__(TASKS["classify"]), object.__new__(TASKS["translate"])
    assert evaluations_after(rows, 100, 400) == 4.0
    assert evaluations_after(translations, 100, 400) == 12.0  # a beam takes three times as long
    assert evaluations_after(translations, 16_000, 12_000) == 72.0  # a fit reads 500 of the validation rows


@pytest.mark.parametrize(("both", "seconds"), [(False, 4.5), (True, 7.5)])
def test_the_time_of_the_report_grows_with_the_layers_and_directions_that_the_lens_draws(both, seconds):
    network = torch.nn.Sequential(ostinato.Recurrent("gru", 2, 3, bidirectional=both), torch.nn.Linear(3, 2))
    assert report_seconds(network, lens=True) == seconds
    assert report_seconds(network, lens=False) == 1.5
