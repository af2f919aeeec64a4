"""`lens.Live`: measurements every n steps of a training run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ...errors import InputError, NotFiniteError, phrase
from ...layers.base import Layer
from ...layers.hooks import hooked
from ..result import Report
from ..watch import Watch, watch
from .early import AFTER, EarlyWord, early_word, is_long_enough
from .locate_nonfinite import LayerCall, locate_nonfinite
from .logs import Log, open_log
from .measures import measures

_WHERE = "lens.Live"


class Live:
    """Watches every n-th step of a training run, logs the measurements, and stops it at a value that is not finite.

        with ostinato.lens.Live(model, "runs/first", every=100) as live:
            for x, y in batches:
                with live.step():
                    optimiser.zero_grad()
                    loss(model(x), y).backward()
                    optimiser.step()

    model      any torch module that holds recurrent layers of ostinato
    log        a folder for TensorBoard's event files (the package tensorboard must be installed), a name that ends in
               .jsonl for JSON lines, an open SummaryWriter, or an object with the methods of `Log`; None: nothing
    every      how many steps lie between two that are watched; the first is watched
    stop       whether a gradient or weight that is inf or NaN raises `ostinato.errors.NotFiniteError`
    lag        of a dependency that the model should learn, in steps back from the last one; with `updates`
    updates    how many updates the run will have: after 2 % of them, at the first batch with a sequence longer than
               the lag, `early` says whether the dependency is being learned, by its gradient and by the losses that
               `loss()` was given before. Nothing is stopped

    With `stop` the gradients are checked before each step of an optimiser: one that would carry inf or NaN into the
    weights is not taken. The message names the layer, the step, the row and the gate or state where it began, found by
    repeating the calls of that training step under `ostinato.detect_anomaly`. Where no optimiser steps (a hand-written
    update), the weights are checked when the training step ends. Raises InputError for a model without recurrent layers
    and for a log that cannot be written.
    `begin()` and `end()` are the two ends of `step()`, for the loops of other frameworks; docs/live.md has the
    callbacks for Lightning and transformers. `report` is the latest report, `early` the `EarlyWord`, None before it.
    Cost: on a watched step what `lens.watch` costs, and the early word watches one more; on any other step, with
    `stop`, the norm of all gradients once.
    """

    def __init__(
        self,
        model: nn.Module,
        log: str | PathLike[str] | Log | Any | None = None,
        *,
        every: int = 100,
        stop: bool = True,
        lag: int | None = None,
        updates: int | None = None,
    ) -> None:
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            remedy = "every=1 watches each step, every=100 one in a hundred."
            raise InputError(phrase(_WHERE, "every", "a number of steps, 1 or more", repr(every), remedy))
        if (lag is None) != (updates is None):
            remedy = "The word comes after 2 % of the updates, about a dependency at that lag."
            raise InputError(phrase(_WHERE, "lag and updates", "given together", f"{lag} and {updates}", remedy))
        if updates is not None and (not isinstance(updates, int) or isinstance(updates, bool) or updates < 1 / AFTER):
            expected = f"a number of updates, {1 / AFTER:.0f} or more"
            raise InputError(phrase(_WHERE, "updates", expected, repr(updates), "2 % of fewer are none."))
        watch(model, lag)  # refuses a model without recurrent layers now, and not at the first step
        self.model, self.every, self.stop = model, every, stop
        self.report: Report | None = None
        self.steps = 0
        self.early: EarlyWord | None = None
        self._lag, self._word_at = lag, None if updates is None else round(AFTER * updates)
        # As many as there are from 1 % of the updates to 2 %: where the word comes later, the latest ones.
        self._losses: deque[Tensor | float] = deque(maxlen=(self._word_at or 0) // 2 + 1)
        self._log = None if log is None else open_log(log)
        self._watch: Watch | None = None
        self._calls: list[LayerCall] = []
        self._hooks = ExitStack()
        self._checked = self._inside = False

    @contextmanager
    def step(self) -> Iterator[Self]:
        """Around one training step: forward, backward, and the optimiser's step."""
        self.begin()
        try:
            yield self
        except BaseException:
            self._leave()
            raise
        self.end()

    def begin(self) -> None:
        """Before a training step."""
        if self._inside:
            remedy = "Each begin() needs its end() before the next."
            raise InputError(phrase(_WHERE, "begin", "called between training steps", "a call inside of one", remedy))
        self._inside, self._checked, self._calls = True, False, []
        if self.stop:
            layers = [m for m in self.model.modules() if isinstance(m, Layer)]
            for layer in layers:
                self._hooks.enter_context(hooked(layer, None, _Recorder(self._calls)))
            self._hooks.callback(register_optimizer_step_pre_hook(self._before_update).remove)
        if self.steps % self.every == 0 or self._word_due():
            self._watch = watch(self.model)
            self._watch.__enter__()

    def end(self) -> None:
        """After a training step: logs what was measured in it."""
        if not self._inside:
            remedy = "Call begin() before the training step, or write `with live.step():` around it."
            raise InputError(phrase(_WHERE, "end", "called after begin()", "a call without one", remedy))
        watched, calls = self._watch, self._calls
        self._leave()
        if self.stop and not self._checked:
            self._check([p.detach() for p in self.model.parameters()], calls, "after")
        if watched is not None:
            self.report = watched.report()
            early = None
            if self._lag is not None and self._word_due() and is_long_enough(self.report, self._lag):
                losses = [float(loss) for loss in self._losses]
                early = self.early = early_word(self.report, self._lag, self.steps, losses)
            if self._log is not None:
                self._log.write(self.steps, measures(self.report, early))
        self.steps += 1

    def loss(self, loss: Tensor | float, constant: float) -> None:
        """Notes the loss of a training step for the early word; called once in each step, or at least from 1 to 2 %.

        loss: of the answers that need the dependency, a number; a mean over them and the batch.
        constant: the same loss of the best answer that is the same everywhere: ln 2 for two classes that are equally
            likely, the variance of the targets for a squared error.
        Raises InputError for a constant that is not above 0.
        """
        if not constant > 0:
            raise InputError(phrase(_WHERE, "constant", "above 0", constant, "ln 2 is that of two equal classes."))
        if self._word_at is not None and self.early is None and self.steps >= self._word_at / 2:
            self._losses.append((loss.detach() if isinstance(loss, Tensor) else loss) / constant)

    def close(self) -> None:
        """Closes the log."""
        if self._inside:
            self._leave()
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _word_due(self) -> bool:
        """From 2 % of the updates on, until a batch had a sequence that is longer than the lag."""
        return self._word_at is not None and self.early is None and self.steps >= self._word_at

    def _leave(self) -> None:
        self._hooks.close()
        if self._watch is not None:
            self._watch.__exit__(None, None, None)
        self._watch, self._inside = None, False
        self._calls = []

    def _before_update(self, optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        own = {id(p) for p in self.model.parameters()}
        updated = [p for group in optimiser.param_groups for p in group["params"] if id(p) in own]
        if updated:
            self._checked = True
            self._check([p.grad for p in updated if p.grad is not None], self._calls, "before")

    def _check(self, tensors: list[Tensor], calls: list[LayerCall], when: str) -> None:
        dense = [t.coalesce().values() if t.is_sparse else t for t in tensors]
        norms = [torch.linalg.vector_norm(t.detach(), torch.inf).cpu() for t in dense if t.numel()]
        if not norms or torch.stack([n.double() for n in norms]).isfinite().all():
            return
        recorded = tuple(calls)
        self._leave()  # before the calls run again, which hooks would record
        where = locate_nonfinite(recorded, self.model)
        raise NotFiniteError(f"{_WHERE}: training step {self.steps} stopped {when} the update of the weights. {where}.")


class _Recorder:
    """A forward hook that keeps the arguments of a layer's calls, and the gradients of their outputs."""

    def __init__(self, calls: list[LayerCall]) -> None:
        self.calls = calls

    def __call__(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if torch.compiler.is_dynamo_compiling():
            return
        given = dict(zip(("x", "state"), args)) | kwargs
        x = given.get("x", given.get("input"))
        state = given.get("state") if given.get("state") is not None else given.get("hx")
        options: dict[str, Any] = {name: given[name] for name in ("lengths", "resets") if name in given}
        call = LayerCall(layer, _detached(x), _detached(state), options)
        self.calls.append(call)
        output = result[0].data if isinstance(result[0], PackedSequence) else result[0]
        if output.requires_grad:
            output.register_hook(call.d_output.append)


def _detached(value: Any) -> Any:
    if isinstance(value, PackedSequence):
        return PackedSequence(value.data.detach(), *value[1:])
    if isinstance(value, Tensor):
        return value.detach()
    return tuple(map(_detached, value)) if isinstance(value, tuple | list) else value
