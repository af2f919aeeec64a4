"""The loop of a fit: from the first evaluation to the last, with the decisions at each point between."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import cycle
from statistics import median
from typing import Any

import numpy as np
from torch import Tensor, nn

from ...errors import StorageError
from ...kernels.system.openmp import kernel_threads
from ..digest import weights_sha256
from ..options import FitOptions
from ..tasks.metric_names import title_of
from ..tasks.task import Predictions, Task
from .advice import advice, limit_of
from .evaluate import predict_shared, to_device
from .feeds import feed_of
from .plan import Plan, Speed, of_time, of_updates, repeated
from .records import Evaluation, Fitted, Part, Surroundings
from .reduction import Signals
from .state import State, write_state
from .threads import BITS, ThreadCount
from .updates import Updater
from .world import check_same

TIMED, LEAST_SHARE, MOST_SHARE = 8, 0.01, 0.05
"""Updates that are timed to plan the schedule, again and again until the first share of the time has passed; after the
second share no further one is."""
MOST_TIMED = 500
"""Updates on each number of threads that are timed at most, where they are very short."""
SLACK = 0.03
"""The share of `minutes` by which an evaluation may end late; where it would be later, it is not begun."""


class Loop:
    """One fit, inside `torch_on_one_thread`. Every rank of several processes runs it, with the same decisions."""

    def __init__(
        self,
        task: Task,
        network: nn.Module,
        train: Part,
        valid: Part,
        options: FitOptions,
        where: Surroundings,
        identity: Mapping[str, str],
        threads: ThreadCount,
    ) -> None:
        self.task, self.network, self.train, self.valid = task, network, train, valid
        self.options, self.identity, self.threads = options, identity, threads
        self.world, self.here, self.where = where.world, where, where.agreed()
        self.seconds_on: dict[int, float] = {}
        """Threads that the fit may choose between → seconds of an update on them; empty where the count is fixed."""
        self.keeps = self.world.agree(where.folder is not None)
        """Whether rank 0 writes states."""
        self.signals = Signals(self.world, lambda: where.interruption.requested, self._too_late)
        self.feed = feed_of(task, train.encoded, options, self.world)
        self.updater = Updater(self.task, self.network, options, self.world, self.signals)
        self.begun = self.where.clock()
        self.before = 0.0
        self.update, self.loss_sum, self.loss_units = 0, 0.0, 0
        self.history: list[Evaluation] = []
        self.notes: list[str] = []
        self.best = self._weights()
        self.higher_is_better = True
        self.speed = Speed(0.0, 0.0)
        self.plan = Plan(1, 1, 1, 0)

    def run(self, state: State | None) -> Fitted:
        """From the beginning, or on from a state."""
        listener = self.where.listener
        self.network.train()
        if state is None:
            self._start()
        else:
            self._restore(state)
        listener.planned(self.plan, self.update)
        if state is None:
            listener.evaluated(self.history[0])
        stopped = self._updates()
        self.network.load_state_dict(self.best)
        self.network.eval()
        settings = {
            "planned_updates": self.plan.total,
            "interval": self.plan.interval,
            "updates": self.update,
            "patience": self.plan.patience,
            "threads": self.threads.count,
            "bits": BITS if self.options.device == "cpu" else "per device",
        }
        if self.world.size > 1:
            settings["processes"] = self.world.size
        sentence = advice(self.history, stopped, title_of(self.task.metric), self.higher_is_better)
        found = weights_sha256(self.best)
        return Fitted(
            self.best,
            found,
            self.history,
            self.update,
            self.plan.total,
            stopped,
            sentence,
            settings,
            tuple(self.notes),
        )

    # The beginning.

    def _start(self) -> None:
        """Times a few updates, evaluates the untrained network, plans, and writes the first state."""
        where, timed = self.where, self.options.updates is None and self.where.settings is None
        update_seconds = self._time_updates() if timed else 0.0
        begun = where.clock()
        self._evaluate()
        self.speed = Speed(update_seconds, where.clock() - begun)
        if where.settings is not None:
            self.plan = repeated(where.settings)
        elif timed:
            self.plan = of_time(self.options, self._seconds_left(), self.speed, self.feed.per_epoch)
        else:
            self.plan = of_updates(self.options)
        self.history[0] = replace(self.history[0], learning_rate=self.plan.learning_rate(self.options.learning_rate, 0))
        if self.keeps:
            begun = where.clock()
            state = self._state()
            if where.folder is not None:
                write_state(where.folder, state)
            self.speed = Speed(update_seconds, self.speed.evaluation + where.clock() - begun)

    def _restore(self, state: State) -> None:
        self.network.load_state_dict(state.weights)
        self.updater.set_moments(state.moments)
        own = state.carried
        self.updater.set_carried(own if own is None or self.world.size == 1 else own[str(self.world.rank)])
        self.best = {name: t.to(self.options.device) for name, t in state.best.items()}
        self.plan, self.update, self.history = state.plan, state.update, list(state.history)
        self.loss_sum, self.loss_units, self.before = state.loss_sum, state.loss_units, state.seconds
        self.speed, self.higher_is_better = state.speed, state.higher_is_better

    def _time_updates(self) -> float:
        """Seconds of a mean update over batches of all lengths, on a copy of the network; chooses the threads by it."""
        clock, trial = self.where.clock, Updater(self.task, copy.deepcopy(self.network), self.options, self.world)
        least, most = (share * self._seconds_left() for share in (LEAST_SHARE, MOST_SHARE))
        order = np.argsort([self.feed.steps(u) for u in range(self.feed.per_epoch)], kind="stable")
        count = min(TIMED, len(order))
        places = [int((k + 0.5) * len(order) / count) for k in range(count)]
        # From the middle outwards: where time is short, the batches of middling cost are the ones that are timed.
        chosen = [int(order[p]) for p in sorted(places, key=lambda p: abs(p - len(order) / 2))]
        begun = clock()
        self._one_update(trial, chosen[0])  # compiles the kernels, fills the caches
        found: dict[int, dict[int, list[float]]] = {count: {} for count in self.threads.candidates}
        for turn, update in enumerate(cycle(chosen)):
            passed = clock() - begun
            if turn and (passed > most or turn >= len(chosen) and (passed > least or turn >= MOST_TIMED)):
                break
            for count, seconds in found.items():
                start = clock()
                self._one_update(trial, update, count)
                seconds.setdefault(update, []).append(clock() - start)
        # The median of each batch, which other load moves little, and the mean over batches.
        means = {count: float(np.mean([*map(median, seconds.values())])) for count, seconds in found.items()}
        for count, mean in means.items():
            self.threads.took(count, mean)
        return means[self.threads.count]

    # Updates and evaluations.

    def _updates(self) -> str:
        """Updates until something ends them; returns what."""
        plan, where = self.plan, self.where
        since, begun = self.update, where.clock()
        while self.update < plan.last:
            at_point = plan.is_point(self.update)
            if at_point and plan.patience and self._stale() >= plan.patience:
                return "patience"
            if self.signals.requested:
                if not at_point:
                    # The state is the one before this evaluation, which an uninterrupted run does not have.
                    self._save()
                    self._evaluated()
                return "interrupted"
            if at_point and not self._time_for_interval():
                return "minutes"
            loss, units = self._one_update(self.updater, self.update)
            self.loss_sum, self.loss_units = self.loss_sum + loss * units, self.loss_units + units
            self.update += 1
            where.listener.updated(self.update)
            if self.signals.late:
                self.update = self.history[-1].update  # what was learned since is not part of the result
                return "minutes"
            if plan.is_point(self.update):
                now = where.clock()
                per_update = (now - begun) / (self.update - since)
                self.threads.took(self.threads.count, per_update)
                self._evaluated()
                self._save()
                since, begun = self.update, where.clock()
                self.speed = Speed(per_update, begun - now)
        return "updates"

    def _one_update(self, updater: Updater, update: int, threads: int | None = None) -> tuple[float, int]:
        batch = self.feed.batch(update)
        if batch is not None:
            batch = to_device(batch, self.options.device)
            if updater is not self.updater and batch.resets is not None:
                batch = replace(batch, begins=True)  # timed out of turn
        with kernel_threads(threads or self.threads.count):
            return updater.step(batch, update, self.plan.learning_rate(self.options.learning_rate, update))

    def _evaluated(self) -> None:
        self._evaluate()
        self.where.listener.evaluated(self.history[-1])

    def _evaluate(self) -> None:
        """Adds a line to the history, and keeps the weights where it is the best."""
        if self.world.size > 1:
            check_same(self.world, {f"weights after update {self.update}": weights_sha256(self._weights())})
        with kernel_threads(self.threads.count):
            encoded, device = self.valid.encoded, self.options.device
            found = predict_shared(self.task, self.network, encoded, device, self.world)
        judged = None if found is None else self._judged(*found)
        metric, loss, self.higher_is_better = self.world.agree(judged)
        train_loss = self.loss_sum / self.loss_units if self.loss_units else math.nan
        rate = self.plan.learning_rate(self.options.learning_rate, self.update)
        seconds = self.before + self.where.clock() - self.begun
        made = Evaluation(self.update, seconds, train_loss, metric, False, rate, loss)
        best = self._best()
        better = best is None or self._order(made) > self._order(best)
        if better:
            self.best = self._weights()
        self.history.append(replace(made, best=better))
        self.loss_sum, self.loss_units = 0.0, 0

    def _judged(self, predictions: Predictions, loss: float) -> tuple[float, float, bool]:
        """The metric, the loss, and whether a higher metric is better."""
        if not self.history:
            self._ask_direction(predictions)
        return float(self.task.score(self.valid.examples, predictions)), loss, self.higher_is_better

    def _ask_direction(self, predictions: Predictions) -> None:
        count = min(50, len(self.valid.examples))
        few = self.valid.examples.take(range(count))
        self.higher_is_better = self.task.metrics(few, predictions.take(range(count)))[0].higher_is_better

    def _order(self, evaluation: Evaluation) -> tuple[float, float]:
        """Greater is better: the metric, and among equal ones the loss. NaN is the worst."""
        metric, loss = evaluation.metric, evaluation.valid_loss
        signed = metric if self.higher_is_better else -metric
        return (-math.inf if math.isnan(signed) else signed, -math.inf if math.isnan(loss) else -loss)

    def _best(self) -> Evaluation | None:
        return next((e for e in reversed(self.history) if e.best), None)

    def _stale(self) -> int:
        """Evaluations since the best; where no metric can be better, since the first with that metric.

        Among equal metrics a lower loss is better, and the loss may fall for long after the last error.
        """
        limit = limit_of(title_of(self.task.metric), self.higher_is_better)
        first = next((k for k, e in enumerate(self.history) if e.metric == limit), None)
        if first is not None:
            return len(self.history) - 1 - first
        return next(k for k, e in enumerate(reversed(self.history)) if e.best)

    # Time and state.

    def _bounded(self) -> bool:
        return self.options.updates is None and self.where.settings is None

    def _too_late(self) -> bool:
        """Whether an evaluation now would end too long after the time, by the clock of this rank."""
        left = self._seconds_left(self.here) if self._bounded() else math.inf
        return left + SLACK * self.options.minutes * 60 < self.speed.evaluation

    def _seconds_left(self, where: Surroundings | None = None) -> float:
        """Seconds that the fit may still take, by the clock that the ranks agree on or by another."""
        where = where or self.where
        if where.seconds_left is not None:
            left = where.seconds_left()
        else:
            left = self.options.minutes * 60 - (where.clock() - self.begun)
        return left - where.reserve(self.speed.evaluation)

    def _time_for_interval(self) -> bool:
        if not self._bounded():
            return True
        updates = min(self.plan.interval, self.plan.last - self.update)
        return self._seconds_left() >= updates * self.speed.update + self.speed.evaluation

    def _weights(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.network.state_dict().items()}

    def _state(self) -> State:
        return State(
            update=self.update,
            plan=self.plan,
            threads=self.threads.count,
            history=self.history,
            loss_sum=self.loss_sum,
            loss_units=self.loss_units,
            seconds=self.before + self.where.clock() - self.begun,
            speed=self.speed,
            higher_is_better=self.higher_is_better,
            identity=self.identity,
            weights=self.network.state_dict(),
            best=self.best,
            moments=self.updater.moments(),
            carried=self._carried(),
        )

    def _carried(self) -> Mapping[str, Any] | None:
        """What the next window of the streams depends on; of several processes on rank 0, by the number of the rank."""
        own = self.updater.carried()
        if self.world.size == 1 or self.train.encoded.streams is None:
            return own
        gathered = self.world.gather(own)
        return None if gathered is None else {str(rank): carried for rank, carried in enumerate(gathered)}

    def _save(self) -> None:
        """Writes the state; where that fails, says so once and goes on, since the weights in memory are whole."""
        if not self.keeps:
            return
        state = self._state()
        if self.where.folder is None:
            return
        try:
            write_state(self.where.folder, state)
        except StorageError as error:
            note = f"The state after update {self.update} was not written, the fit goes on: {error}"
            if not self.notes:
                self.where.listener.note(note)
            self.notes = [note]
