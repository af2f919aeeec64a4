"""The fit: the same bits, the best weights, interruptions, and what it refuses."""

import math
import os
import signal
import threading
from dataclasses import replace

import pytest
import torch

from ostinato.errors import InputError, NotFiniteError
from ostinato.kernels.system import openmp
from ostinato.program.digest import weights_sha256
from ostinato.program.options import FitOptions, TrainOptions
from ostinato.program.tasks.base import OptionalParts
from ostinato.program.training.advice import advice
from ostinato.program.training.fit import DECISIVE, Evaluation, Part, decisive
from ostinato.program.training.interruption import Interruption
from ostinato.program.training.records import Silent
from ostinato.program.training.seeds import derived, new_network
from ostinato.program.training.threads import torch_on_one_thread
from program.training.made import SMALL, Signs, fitted, parts


class Heard(Silent):
    """A listener that keeps what it hears, and does `when[update]()` after an update."""

    def __init__(self, when=None):
        self.when, self.updates, self.evaluations, self.notes, self.plan = when or {}, [], [], [], None

    def planned(self, plan, done):
        self.plan = plan

    def updated(self, update):
        self.updates.append(update)
        self.when.get(update, int)()

    def evaluated(self, evaluation):
        self.evaluations.append(evaluation)

    def note(self, sentence):
        self.notes.append(sentence)


@pytest.fixture(scope="module")
def forty():
    return fitted()[0]


def test_the_same_seed_and_number_of_updates_give_the_same_weights(forty):
    torch.manual_seed(99)
    assert fitted()[0].sha256 == forty.sha256
    assert fitted(FitOptions(updates=40, seed=4))[0].sha256 != forty.sha256


def test_weights_that_decay_are_smaller_and_the_option_is_checked(forty):
    """L2: torch's Adam with weight_decay, whose first update moves each weight by the sign of gradient + decay · w."""
    found, network = fitted(FitOptions(updates=40, seed=3, weight_decay=0.3))
    norms = [sum(p.square().sum() for p in n.parameters()) for n in (network, fitted()[1])]
    assert norms[0] < 0.8 * norms[1]
    assert fitted(FitOptions(updates=40, seed=3, weight_decay=0.0))[0].sha256 == forty.sha256
    assert decisive(FitOptions()) == DECISIVE and decisive(FitOptions(weight_decay=0.1)) == (*DECISIVE, "weight_decay")
    for wrong in (-1.0, float("inf"), "a"):
        with pytest.raises(InputError, match="train: weight_decay must be a number of 0 or more, got"):
            TrainOptions.of("train", {"weight_decay": wrong})


def test_a_fit_leaves_the_generators_and_the_threads_of_the_caller_alone():
    torch.manual_seed(7)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fitted(FitOptions(updates=3))
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


@pytest.mark.parametrize("threads", [2, 3])
def test_the_weights_are_the_same_on_any_number_of_threads(forty, threads):
    found, _ = fitted(FitOptions(updates=40, seed=3, threads=threads))
    assert found.sha256 == forty.sha256
    assert found.settings["threads"] == threads
    assert found.settings["bits"] == "the same for any number of threads"


class Wide(torch.nn.Module):
    """Products and sums of odd sizes, some of which torch divides among threads in ways that change their bits."""

    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(100, 33), torch.nn.Linear(33, 1001)

    def forward(self, x):
        return torch.sigmoid(self.b(torch.tanh(self.a(x)))).mean()


@pytest.mark.parametrize("count", [1, 7, 32, 4001])
def test_linear_layers_of_odd_sizes_have_the_same_gradients_on_any_number_of_threads(count):
    def gradients(threads):
        with torch_on_one_thread(threads), torch.random.fork_rng():
            torch.manual_seed(0)
            network = Wide()
            network(torch.randn(count, 100)).backward()
        return weights_sha256({name: p.grad for name, p in network.named_parameters()})

    assert gradients(1) == gradients(2) == gradients(3)


def test_inside_a_fit_kernels_have_the_threads_and_torch_has_one():
    before = torch.get_num_threads()
    with torch_on_one_thread(3):
        assert (torch.get_num_threads(), openmp.thread_count()) == (1, 3)
        other = []
        thread = threading.Thread(target=lambda: other.append(openmp._kernel_threads.count))
        thread.start()
        thread.join()
        assert other == [0]  # another Python thread's kernels are not touched
    assert torch.get_num_threads() == openmp.thread_count() == before
    with pytest.raises(InputError, match=r"kernel_threads: count must be at least 1, got 0\."), torch_on_one_thread(0):
        pass
    assert torch.get_num_threads() == before


def test_the_network_ends_with_the_best_weights_in_evaluation(forty):
    found, network = fitted()
    assert weights_sha256(network.state_dict()) == found.sha256 == forty.sha256
    assert not network.training
    best = [e for e in found.history if e.best][-1]
    assert (best.metric, -best.valid_loss) == max((e.metric, -e.valid_loss) for e in found.history)


def test_the_history_has_a_line_for_each_evaluation_point(forty):
    assert [e.update for e in forty.history] == list(range(0, 41, 2))
    assert math.isnan(forty.history[0].train_loss) and all(e.train_loss > 0 for e in forty.history[1:])
    assert forty.history[0].learning_rate == 3e-3 and forty.history[-1].learning_rate == 0
    assert forty.planned_updates == forty.updates == 40 and forty.stopped == "updates"


def test_a_rule_is_learned_to_the_end():
    task = Signs()
    data = parts(task, train=600, valid=100)
    network = new_network(task, replace(SMALL, hidden=16, dropout=0.0), 0)
    found, _ = fitted(FitOptions(updates=400, learning_rate=1e-2), task, network, data)
    assert max(e.metric for e in found.history) >= 0.98


def test_the_listener_hears_the_plan_every_update_and_every_evaluation():
    heard = Heard()
    found, _ = fitted(FitOptions(updates=7), listener=heard)
    assert heard.plan.total == 7 and heard.updates == list(range(1, 8))
    assert [e.update for e in heard.evaluations] == [e.update for e in found.history]


def test_balanced_class_weights_change_the_loss_and_others_are_refused(forty):
    task = Signs()
    weighted = fitted(FitOptions(updates=4, class_weights="balanced"), task)[0]
    assert task.weights is not None
    assert weighted.history[-1].train_loss != fitted(FitOptions(updates=4))[0].history[-1].train_loss
    with pytest.raises(InputError, match="fit: class_weights must be none or balanced, got 'equal'"):
        fitted(FitOptions(updates=1, class_weights="equal"))

    class Numbers(Signs):
        balance = OptionalParts.balance

    with pytest.raises(InputError, match="class_weights must be none for the task signs, got balanced"):
        fitted(FitOptions(updates=1, class_weights="balanced"), Numbers())


def test_parts_without_rows_or_targets_are_refused():
    task = Signs()
    train, valid = parts(task)
    none = valid.examples.take([])
    with pytest.raises(InputError, match="fit: the validation rows must be at least one, with a target, got none"):
        fitted(data=(train, Part(none, task.encode(none))))
    blind = replace(train.examples, targets=None)
    with pytest.raises(InputError, match="the training rows must be .*, got rows without targets"):
        fitted(data=(Part(blind, train.encoded), valid))
    with pytest.raises(InputError, match="fit: folder must be the folder of the state to resume, got none"):
        fitted(resume=True)


@pytest.mark.parametrize(("part", "message"), [("loss", "the loss"), ("gradient", "the norm of the gradient")])
def test_a_loss_that_is_not_finite_ends_the_fit_and_names_the_update(part, message):
    task, plain = Signs(), Signs()
    calls = []

    def loss(outputs, batch):
        found = plain.loss(outputs, batch)
        if outputs.requires_grad:
            calls.append(1)
        if len(calls) < 5 or not outputs.requires_grad:
            return found
        # sqrt at 0 has an infinite slope: a finite loss whose gradient is NaN.
        return found * float("nan") if part == "loss" else found + (outputs * 0).abs().sum().sqrt()

    task.loss = loss
    network = new_network(task, SMALL, 0)
    heard = Heard()
    with pytest.raises(
        NotFiniteError, match=rf"fit: {message} at update 5 must be finite, got nan\. Lower --learning-rate"
    ):
        fitted(task=task, network=network, listener=heard)
    assert heard.updates == [1, 2, 3, 4]
    assert all(p.isfinite().all() for p in network.parameters())


def send():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_interrupt_finishes_the_step_evaluates_and_ends(forty, tmp_path):
    said = []
    with Interruption(lambda: said.append("once")) as interruption:
        heard = Heard({11: send})
        found, _ = fitted(interruption=interruption, listener=heard, folder=tmp_path)
    assert said == ["once"] and found.stopped == "interrupted" and found.updates == 11
    assert found.history[-1].update == 11 and heard.updates[-1] == 11
    # The repetition ends there too, and a resumed run goes on as if nothing had happened.
    repeated, _ = fitted(settings=found.settings)
    assert repeated.sha256 == found.sha256
    resumed, _ = fitted(folder=tmp_path, resume=True)
    assert resumed.sha256 == forty.sha256 and resumed.stopped == "updates"
    assert [e.metric for e in resumed.history] == [e.metric for e in forty.history]
    assert [e.train_loss for e in resumed.history[1:]] == [e.train_loss for e in forty.history[1:]]


def test_the_second_interrupt_ends_at_once():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        fitted(interruption=interruption, listener=Heard({5: lambda: (send(), send())}))
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_in_another_thread_than_the_main_one_waits_for_nothing():
    found = []

    def run():
        with Interruption() as interruption:
            found.append(interruption.requested)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [False]


def line(update, metric):
    return Evaluation(update, 0.0, 0.0, metric, False, 0.0)


def test_the_advice_is_about_the_slope_of_the_last_evaluations():
    rising = [line(u, u / 100) for u in range(0, 60, 10)]
    flat = [line(u, 0.5) for u in range(0, 60, 10)]
    assert advice(rising, "minutes", "accuracy", True) == (
        "More time would probably have helped: the best accuracy on validation rows rose by 0.4 over the last 4 of 5 "
        "evaluations."
    )
    assert "would probably not have helped" in advice(flat, "updates", "accuracy", True)
    assert "would probably not have helped" in advice(rising, "minutes", "mae", False)
    falling = [line(u, 1 - u / 100) for u in range(0, 60, 10)]
    assert "the best mae on validation rows fell by 0.4" in advice(falling, "minutes", "mae", False)
    assert advice(flat, "patience", "mae", False) == (
        "More time would not have helped: mae on validation rows was best after update 0."
    )
    learning = [replace(e, valid_loss=2 - e.update / 100) for e in flat]
    assert advice(learning, "updates", "accuracy", True) == (
        "More time might have helped: the best accuracy on validation rows did not improve over the last 4 of 5 "
        "evaluations, but the loss there fell from 1.9 to 1.5."
    )
    perfect = [*flat[:4], line(40, 1.0), line(50, 1.0)]
    assert advice(perfect, "updates", "accuracy", True) == (
        "More time would probably not have helped: accuracy on validation rows reached its largest value, 1."
    )
    assert "largest" not in advice(perfect, "updates", "chrF", True)
    assert "largest value, 100." in advice([*perfect, line(60, 100.0)], "updates", "chrF", True)
    assert advice([*flat, line(60, 0.0)], "updates", "character error rate", False) == (
        "More time would probably not have helped: character error rate on validation rows reached its smallest value, "
        "0."
    )
    assert "raise --minutes" in advice(flat[:2], "minutes", "accuracy", True)


def test_seeds_of_different_draws_differ_and_are_the_same_everywhere():
    found = {derived(s, p, n) for s in range(3) for p in ("noise", "rows") for n in range(3)}
    assert len(found) == 18 and all(0 <= s < 2**63 for s in found)
    assert derived(0, "noise", 0) == DERIVED


DERIVED = 6324155408168436099
