"""One case: build a network, measure its gradients before training, train it, and test it on unseen sequences.

Letters: T steps, B sequences, C input features, H units, K outputs, N steps that are tested or trained.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ostinato.apps.problems import Examples, named
from ostinato.apps.training import weight_count
from ostinato.layers import Recurrent
from ostinato.lens import gradient_by_lag

from .settings import Case, Variant

EVERY = 100
"""Updates between two measurements of the error."""
BLOCK = 20
"""Batches drawn at once: drawing many costs about as much as drawing one."""
EPSILON = 0.01
"""The share of the gradient at lag 0 that counts as reached."""
WATCHED, JUDGED, MEASURED = 500, 2000, 32
"""Numbers of sequences for the error during training, for the final test, and for the measurement of reach."""
AT_ONCE = 1 << 20
"""Steps of all sequences together that the network runs in one call of a test: more would keep gigabytes of outputs."""
_WEIGHTS, _TRAINED, _ORDER, _WATCHED, _JUDGED, _MEASURED = range(6)


@dataclass(frozen=True)
class Reach:
    """How far back the loss of the last tested step reaches in the untrained network.

    steps     the largest lag k with ‖∂L_T/∂s_{T-k}‖ ≥ EPSILON · ‖∂L_T/∂s_T‖, medians over sequences, s all states
    measured  the largest k of the sequences, an upper bound of `steps`
    ratio     ‖∂L_T/∂s_{T-k}‖ / ‖∂L_T/∂s_T‖ for the state that has just read the cue, k = lag - 1
    share     ‖∂L_T/∂s_{T-k}‖ for that state over its sum over all k: the cue's share of the gradient, beside all
              distracting steps. None in older records, which lack it
    """

    steps: int
    measured: int
    ratio: float
    share: float | None = None


@dataclass(frozen=True)
class Result:
    """The result of a case.

    bridged   the error on JUDGED unseen sequences is within the task's bound
    error     that error, the mean squared error or the fraction of wrong answers; None where training diverged
    updates   of the weights until training ended, which a bridged lag does early
    seconds   of training and testing, on the machine recorded with the result
    groups    [property of a row, number of rows, their error], for each value of the task's `grouped_by`
    """

    bridged: bool
    error: float | None
    updates: int
    seconds: float
    units: int
    weights: int
    reach: Reach
    groups: tuple[tuple[int, int, float], ...] = ()


class Network(nn.Module):
    """A recurrent layer, and a linear head that is applied at the steps of a mask only."""

    def __init__(self, layer: Recurrent, outputs: int, device: str | None = None) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size, outputs, device=device)

    def forward(self, inputs: Tensor, query_mask: Tensor) -> Tensor:
        """inputs [T, B, C] and query_mask [T, B], True at N steps → [N, K], in the order of query_mask.nonzero()."""
        output, _ = self.layer(inputs)
        return self.head(output.flatten(0, 1).index_select(0, query_mask.flatten().nonzero()[:, 0]))


def units(variant: Variant, features: int, outputs: int, hidden: int) -> int:
    """The H that gives a network of this cell the number of weights closest to that of an LSTM of `hidden` units."""

    def count(cell: str, size: int) -> int:
        return weight_count(Network(Recurrent(cell, features, size, device="meta"), outputs, "meta"))

    wanted = count("lstm", hidden)
    low, high = 1, 2
    while count(variant.cell, high) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(variant.cell, middle) < wanted else (low, middle)
    return min(low, high, key=lambda size: abs(count(variant.cell, size) - wanted))


def generator(seed: int, *purpose: int) -> Generator:
    """A generator for one purpose alone, so that no draw depends on the draws before it."""
    drawn = int(np.random.SeedSequence((seed, *purpose)).generate_state(1, np.uint64)[0])
    return Generator().manual_seed(drawn >> 1)


def build(case: Case) -> Network:
    """The network of a case with its initial weights. Torch's default generator is restored."""
    features, outputs = named(case.task).sizes(case.lag)
    size = units(case.variant, features, outputs, case.training.hidden)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(case.seed, _WEIGHTS).initial_seed())
        return Network(Recurrent(case.cell, features, size, **case.variant.options(case.lag)), outputs)


def watched(case: Case) -> Examples:
    """The WATCHED sequences that the error during training is measured on."""
    return named(case.task).draw(case.lag, WATCHED, generator(case.seed, _WATCHED))


@dataclass(frozen=True)
class MeasuredRows:
    """Sequences whose last tested step is the same, cut after it, for measurements of gradients."""

    inputs: Tensor
    """[T, B, C] float64."""
    loss: Callable[[Tensor], Tensor]
    """The last output [B, H] → the loss of the tested step of each row [B]."""
    layer: nn.Module
    """The network's layer in float64: in float32 a vanishing gradient would underflow at 1e-45 and hide its rate."""


def measured_rows(network: Network, case: Case, count: int) -> MeasuredRows:
    """At most `count` sequences that no other purpose draws; the first ones are the same for every `count`."""
    task, double = named(case.task), copy.deepcopy(network).double()
    drawn = task.draw(case.lag, 16 * MEASURED, generator(case.seed, _MEASURED))
    last = len(drawn.eval_mask) - 1 - drawn.eval_mask.flip(0).int().argmax(0)
    # The lag is counted from the end, so all rows must end at the same step.
    rows = (last == last.min()).nonzero()[:count, 0]
    end = int(last.min())

    def loss(output: Tensor) -> Tensor:
        return task.loss_of(double.head(output), _as(double, drawn.targets[end, rows]))

    return MeasuredRows(drawn.inputs[: end + 1, rows].double(), loss, double.layer)


def reach(network: Network, case: Case) -> Reach:
    """The reach, over MEASURED sequences."""
    rows = measured_rows(network, case, MEASURED)
    norms = gradient_by_lag(rows.layer, rows.inputs, rows.loss).whole
    ratios = (norms / norms[0]).nan_to_num(0.0).quantile(0.5, dim=1)
    # A ReLU network whose units are all dead has gradient 0 even at lag 0; its reach is 0.
    reached = (ratios >= EPSILON).nonzero()
    share = (norms[case.lag - 1] / norms.sum(0)).nan_to_num(0.0).quantile(0.5).item()
    steps = int(reached.max()) if len(reached) else 0
    return Reach(steps, len(norms) - 1, ratios[case.lag - 1].item(), share)


def _as(network: Network, targets: Tensor) -> Tensor:
    return targets.to(network.head.weight.dtype) if targets.is_floating_point() else targets


class TrainingRun:
    """The training of one case, EVERY updates at a time; it can be saved and resumed.

    Adam on the mean loss of the trained steps. Random draws depend on the case and the index of the update alone, so a
    resumed run ends with the same bits as an uninterrupted one.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.task = case, named(case.task)
        start = time.monotonic()
        self.network = build(case)
        self.reach = reach(self.network, case)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=case.training.learning_rate, fused=True)
        self.updates, self.error = 0, math.nan
        self.result: Result | None = None
        self._watched = watched(case)
        self._block: tuple[int, Examples] | None = None
        self._order: tuple[int, Tensor] | None = None
        self._seconds = time.monotonic() - start

    def advance(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """EVERY updates, or the remaining ones, then a measurement of the error. `result` is set when training ends.

        When `should_stop()` is true between two updates, it returns without one; the next call continues there.
        """
        start, training = time.monotonic(), self.case.training
        finite = True
        for _ in range(min(EVERY - self.updates % EVERY, training.updates - self.updates)):
            if should_stop():
                self._seconds += time.monotonic() - start
                return
            finite = self._update()
            self.updates += 1
            if not finite:
                break
        if finite:
            self.error, _ = self._judge(self._watched)
        bridged = self.error <= self.task.bound
        groups: tuple[tuple[int, int, float], ...] = ()
        ended = not finite or self.updates >= training.updates or (bridged and not training.to_the_end)
        if finite and ended:
            unseen = self.task.draw(self.case.lag, JUDGED, generator(self.case.seed, _JUDGED))
            error, groups = self._judge(unseen)
            bridged = error <= self.task.bound
            # The error on the few sequences used during training may lie below the bound by chance.
            ended = bridged or self.updates >= training.updates
            self.error = error
        self._seconds += time.monotonic() - start
        if ended:
            self.result = Result(
                bridged=finite and bridged,
                error=self.error if finite else None,
                updates=self.updates,
                seconds=round(self._seconds, 3),
                units=self.network.layer.hidden_size,
                weights=weight_count(self.network),
                reach=self.reach,
                groups=groups,
            )

    def _update(self) -> bool:
        """One step of Adam; False where the loss is not finite."""
        training, batch = self.case.training, self._batch()
        if training.decay:
            for group in self.optimiser.param_groups:
                group["lr"] = training.learning_rate * (1 - self.updates / training.updates)
        self.optimiser.zero_grad()
        scores = self.network(batch.inputs, batch.loss_mask)
        loss = self.task.loss_of(scores, batch.targets[batch.loss_mask]).mean()
        if not math.isfinite(loss.item()):
            return False
        loss.backward()
        clip_grad_norm_(self.network.parameters(), training.clip)
        self.optimiser.step()
        return True

    def _batch(self) -> Examples:
        """The sequences of the next update."""
        size, seed, pool = self.case.training.batch, self.case.seed, self.case.training.sequences
        whole = BLOCK if pool is None else pool // size
        number, place = divmod(self.updates, whole)
        wanted = number if pool is None else 0
        if self._block is None or self._block[0] != wanted:
            drawn = self.task.draw(self.case.lag, pool or size * BLOCK, generator(seed, _TRAINED, wanted))
            self._block = wanted, drawn
        if self._order is None or self._order[0] != number:
            rows = pool or size * BLOCK
            order = (
                torch.randperm(rows, generator=generator(seed, _ORDER, number), device="cpu")
                if pool
                else torch.arange(rows, device="cpu")
            )
            self._order = number, order
        return self._block[1].rows(self._order[1][place * size : (place + 1) * size])

    @torch.no_grad()
    def _judge(self, examples: Examples) -> tuple[float, tuple[tuple[int, int, float], ...]]:
        """(the error on these sequences, the error on the rows of each group)."""
        steps, count = examples.eval_mask.shape
        size = max(1, AT_ONCE // steps)
        error_parts, group_parts = [], []
        for part in (slice(first, first + size) for first in range(0, count, size)):
            eval_mask = examples.eval_mask[:, part]
            scores = self.network(examples.inputs[:, part], eval_mask)
            error_parts.append(self.task.errors_of(scores, examples.targets[:, part][eval_mask]).double())
            if examples.group is not None:
                group_parts.append(examples.group[part].expand_as(eval_mask)[eval_mask])
        errors = torch.cat(error_parts)
        if not group_parts:
            return errors.mean().item(), ()
        groups = torch.cat(group_parts)
        rows = [(int(each), groups == each) for each in groups.unique()]
        return errors.mean().item(), tuple((each, int(of.sum()), errors[of].mean().item()) for each, of in rows)

    def state_dict(self) -> dict[str, Any]:
        """Updates, error, seconds, weights and optimiser, as copies: training may go on before they are saved."""
        return copy.deepcopy(
            {
                "updates": self.updates,
                "error": self.error,
                "seconds": self._seconds,
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            }
        )

    def load_state_dict(self, kept: Mapping[str, Any]) -> None:
        """Continues where `state_dict` was called."""
        self.updates, self.error, self._seconds = kept["updates"], kept["error"], kept["seconds"]
        self.network.load_state_dict(kept["network"])
        self.optimiser.load_state_dict(kept["optimiser"])
