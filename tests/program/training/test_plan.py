"""The schedule of a fit, and how a fit keeps its time on simulated machines: no test here reads a real clock."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.options import FitOptions
from ostinato.program.training.fit import Surroundings, fit
from ostinato.program.training.plan import Plan, Speed, of_time, of_updates, repeated
from ostinato.program.training.seeds import new_network
from program.training.made import SMALL, FirstStep, Signs, parts

TIMED = FitOptions(minutes=10, patience=10_000, seed=0)


def test_a_given_number_of_updates_has_twenty_evaluations_and_no_early_end():
    plan = of_updates(FitOptions(updates=100))
    assert plan == Plan(total=100, interval=5, last=100, patience=0)
    assert [u for u in range(101) if plan.is_point(u)] == list(range(0, 101, 5))


def test_the_last_update_is_an_evaluation_point_whatever_the_interval_is():
    plan = of_updates(FitOptions(updates=45))
    assert plan.interval == 3 and plan.is_point(45)
    assert [u for u in range(8) if Plan(7, 3, 7, 0).is_point(u)] == [0, 3, 6, 7]


def test_the_learning_rate_falls_in_a_line_to_zero():
    plan = Plan(100, 5, 100, 0)
    assert [plan.learning_rate(0.003, u) for u in (0, 50, 75, 100)] == pytest.approx([0.003, 0.0015, 0.00075, 0.0])


def test_a_repetition_that_ends_earlier_has_the_learning_rates_of_the_whole_plan():
    settings = {"planned_updates": 1000, "interval": 25, "updates": 300, "patience": 8, "threads": 2}
    plan = repeated(settings)
    assert plan == Plan(1000, 25, 300, 8)
    assert plan.learning_rate(1.0, 250) == 0.75


def test_the_time_left_is_divided_between_updates_and_evaluations():
    # 570 of 600 s: 40 evaluations of 1 s would take 40; 530 s are left for updates of .1 s.
    plan = of_time(TIMED, 600, Speed(update=0.1, evaluation=1.0), per_epoch=1000)
    assert plan.total == 5300 and plan.interval == 133


def test_slow_evaluations_are_fewer():
    plan = of_time(TIMED, 600, Speed(update=0.1, evaluation=30.0), per_epoch=1000)
    assert math.ceil(plan.total / plan.interval) == 3  # a fifth of 570 s
    assert plan.total == 4800


def test_a_fast_machine_stops_at_sixty_epochs_or_two_thousand_updates():
    assert of_time(TIMED, 600, Speed(1e-4, 1e-3), per_epoch=4).total == 2000
    assert of_time(TIMED, 600, Speed(1e-4, 1e-3), per_epoch=100).total == 6000


def test_without_time_one_update_is_planned():
    assert of_time(TIMED, -5, Speed(0.1, 0.1), per_epoch=4) == Plan(1, 1, 1, 10_000)


def test_no_updates_and_settings_of_something_else_are_refused():
    with pytest.raises(InputError, match=r"fit: updates must be at least 1, got 0\. Write --updates 1000, say\."):
        of_updates(FitOptions(updates=0))
    good = {"planned_updates": 10, "interval": 2, "updates": 8, "patience": 0}
    for wrong, received in [
        ({"interval": 0}, "interval 0"),
        ({"updates": "8"}, "updates '8'"),
        ({"updates": 11}, "more updates than planned"),
        ({"planned_updates": None}, "planned_updates None"),
    ]:
        message = f"fit: the settings to repeat must be counts of an earlier run, got {received}. Take config.json"
        with pytest.raises(InputError, match=message):
            repeated({**good, **wrong})


class Machine:
    """A simulated machine: its clock moves by what batches and evaluations cost, as functions of the time."""

    def __init__(self, row=0.03, score=0.0, load=lambda now: 1.0, begin=5.0):
        self.now, self.row, self.score_cost, self.load = begin, row, score, load
        self.task = Signs(tick=lambda rows: self.spend(self.row * rows), made=FirstStep)
        plain = Signs.score

        def score_slowly(truth, predictions):
            self.spend(self.score_cost)
            return plain(self.task, truth, predictions)

        self.task.score = score_slowly

    def spend(self, seconds):
        self.now += seconds * self.load(self.now)

    def run(self, minutes, reserve=2.0, **options):
        """The seconds of a whole command, which after the fit does what takes `reserve` evaluations and 3 s."""
        options = replace(TIMED, minutes=minutes, **options)
        network = new_network(self.task, SMALL, 0)

        def after(evaluation):
            return 3 + reserve * evaluation

        where = Surroundings(clock=lambda: self.now, seconds_left=lambda: minutes * 60 - self.now, reserve=after)
        found = fit(self.task, network, *parts(self.task), options, where)
        self.spend(after(40 * self.row + self.score_cost))
        return found, self.now


def allowed(minutes):
    return max(10.0, 6.0 * minutes)


MACHINES = {
    "a steady machine": {"row": 0.05},
    "a slow machine": {"row": 0.2},
    "a machine that is too slow for an epoch": {"row": 0.4},
    "a cost that grows to three times": {"row": 0.05, "load": lambda now: 1 + now / 300},
    "a cost that doubles when others use the machine": {"row": 0.05, "load": lambda now: 1 + (now > 25)},
    "a slow evaluation": {"row": 0.05, "score": 15.0},
    "a load that comes and goes": {"row": 0.05, "load": lambda now: 1 + (math.sin(now / 9) > 0)},
}


@pytest.mark.parametrize("minutes", [2, 10])
@pytest.mark.parametrize("name", MACHINES)
def test_the_whole_command_ends_within_ten_percent_of_its_time(name, minutes):
    found, seconds = Machine(**MACHINES[name]).run(minutes)
    assert seconds <= 60 * minutes + allowed(minutes)
    assert found.stopped in ("minutes", "updates")
    assert seconds >= 24 * minutes  # a plan that is made under load may end early, when the load has gone
    assert found.updates >= found.planned_updates // 4 and found.updates > 0


@pytest.mark.parametrize("name", ["a steady machine", "a cost that grows to three times", "a load that comes and goes"])
def test_half_a_minute_is_kept_within_ten_seconds(name):
    found, seconds = Machine(**{**MACHINES[name], "row": 0.01}).run(0.5)
    assert 20 <= seconds <= 40
    assert found.updates > 0


def test_a_steady_machine_completes_its_plan_in_the_time():
    found, seconds = Machine(row=0.05).run(10)
    assert found.stopped == "updates" and found.updates == found.planned_updates
    assert 540 <= seconds <= 600


def test_a_machine_that_becomes_slower_ends_at_an_evaluation_point_with_the_result_of_that_many_updates():
    slower = {"row": 0.05, "load": lambda now: 1 + 9 * (now > 200)}
    found, seconds = Machine(**slower).run(10)
    assert found.stopped == "minutes" and 0 < found.updates < found.planned_updates
    assert found.updates == found.history[-1].update and found.updates % found.settings["interval"] == 0
    assert seconds <= 660
    task = Signs(made=FirstStep)
    again = fit(task, new_network(task, SMALL, 0), *parts(task), replace(TIMED), Surroundings(settings=found.settings))
    assert again.sha256 == found.sha256
    assert [e.metric for e in again.history] == [e.metric for e in found.history]


def test_the_timed_updates_change_neither_weights_nor_masks():
    """A run with a plan from the clock and its repetition without one have the same weights after the same updates."""
    found, _ = Machine(row=0.3).run(2)
    task = Signs(made=FirstStep)
    settings = {**found.settings}
    again = fit(task, new_network(task, SMALL, 0), *parts(task), TIMED, Surroundings(settings=settings))
    assert again.sha256 == found.sha256 and again.stopped == "updates"


def test_patience_waits_three_hundred_updates_at_the_least():
    plan = of_time(replace(TIMED, patience=8), 1000, Speed(0.1, 0.1), per_epoch=4)
    assert plan.interval == 50 and plan.patience == 8  # 400 updates
    short = of_time(replace(TIMED, patience=8), 40, Speed(0.1, 0.1), per_epoch=4)
    assert short.interval * (short.patience - 1) < 300 <= short.interval * short.patience


def test_patience_ends_a_fit_whose_metric_no_longer_improves(monkeypatch):
    monkeypatch.setattr("ostinato.program.training.plan.LEAST_WAIT", 1)
    machine = Machine(row=0.05)
    machine.task.score = lambda truth, predictions: 0.5
    machine.task.loss = lambda outputs, batch: (outputs - 1).square().mean()
    found, seconds = machine.run(4, patience=4)
    better = [e.update for e in found.history if e.best]
    assert found.stopped in ("patience", "updates") and len(better) > 1  # equal metric: a lower loss is better
    machine = Machine(row=0.05)
    machine.task.score = lambda truth, predictions: -float(np.sum(machine.now))
    found, seconds = machine.run(4, patience=4)
    assert found.stopped == "patience" and len(found.history) == 5
    assert "More time would not have helped" in found.advice and seconds < 200


def test_patience_ends_a_fit_whose_metric_can_be_no_better_though_its_loss_falls(monkeypatch):
    monkeypatch.setattr("ostinato.program.training.plan.LEAST_WAIT", 1)
    machine = Machine(row=0.05)
    machine.task.score = lambda truth, predictions: 1.0
    machine.task.loss = lambda outputs, batch: (outputs - 1).square().mean()
    found, _ = machine.run(4, patience=4)
    assert found.stopped == "patience" and len(found.history) == 5
    losses = [e.valid_loss for e in found.history]
    assert sum(e.best for e in found.history) > 1 and [e for e in found.history if e.best][-1].valid_loss == min(losses)
