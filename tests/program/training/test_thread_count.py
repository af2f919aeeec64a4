"""The kernels' number of threads where the user gave none: the fastest, which changes no bit."""

import torch

from ostinato.kernels.system import openmp
from ostinato.program.options import FitOptions
from ostinato.program.training import loop
from ostinato.program.training.threads import ThreadCount
from program.training.made import fitted


def test_the_fastest_count_of_threads_is_taken_and_given_up_when_it_becomes_slower():
    threads = ThreadCount.chosen_by_time(4)
    assert threads.candidates == [4, 1] and threads.count == 4
    threads.took(4, 1.0)
    threads.took(1, 2.0)
    assert threads.count == 4
    threads.took(4, 5.0)
    assert threads.count == 1


def test_a_given_count_of_threads_is_kept_however_slow_it_is():
    threads = ThreadCount.fixed(3)
    threads.took(3, 100.0)
    assert threads.count == 3 and ThreadCount.chosen_by_time(1).candidates == [1]


class Contended:
    """A clock on which an update takes a second on one thread and ten on several."""

    def __init__(self, monkeypatch):
        self.now, step = 0.0, loop.Updater.step

        def slow(updater, batch, update, rate):
            self.now += 1.0 if openmp.thread_count() == 1 else 10.0
            return step(updater, batch, update, rate)

        monkeypatch.setattr(loop.Updater, "step", slow)

    def __call__(self):
        return self.now


def test_a_fit_on_contended_cores_runs_on_one_thread_with_the_bits_of_the_same_updates_on_many(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    found, _ = fitted(FitOptions(minutes=4, patience=10_000, seed=3), clock=Contended(monkeypatch))
    assert found.settings["threads"] == 1
    assert 100 < found.updates < 240  # ten times fewer on four threads
    monkeypatch.undo()
    again, _ = fitted(FitOptions(minutes=4, patience=10_000, seed=3, threads=2), settings=found.settings)
    assert again.sha256 == found.sha256 and again.settings["threads"] == 2
