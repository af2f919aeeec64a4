"""`lens.Live`: the lens beside a training run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ...errors import InputError, NotFinite, phrase
from ...layers.hooks import hooked
from ...layers.layer import Layer
from ..result import Report
from ..watch import Watch, watch
from .locate_nonfinite import Call, cause
from .logs import Log, open_log
from .measures import measures

_WHERE = "lens.Live"


class Live:
    """Watches every n-th step of a training run, writes what it sees, and stops the run when numbers stop being finite.

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
    stop       whether a gradient or weight that is inf or NaN raises `ostinato.errors.NotFinite`

    With `stop` each step of an optimiser is preceded by a look at the gradients: one that would carry inf or NaN into
    the weights is not taken. The message names the layer, the step, the row and the gate or state where it began, found
    by running the calls of that training step once more under `ostinato.detect_anomaly`. Where no optimiser steps (a
    hand-written update), the weights are looked at when the training step ends.
    `begin()` and `end()` are the two ends of `step()`, for loops that belong to somebody else; docs/live.md has the
    callbacks for Lightning and transformers. `report` is the latest report.
    Cost: on a watched step what `lens.watch` costs; on any other, with `stop`, the norm of all gradients once.
    """

    def __init__(
        self,
        model: nn.Module,
        log: str | PathLike[str] | Log | Any | None = None,
        *,
        every: int = 100,
        stop: bool = True,
    ) -> None:
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            remedy = "every=1 watches each step, every=100 one in a hundred."
            raise InputError(phrase(_WHERE, "every", "a number of steps, 1 or more", repr(every), remedy))
        watch(model)  # refuses a model without recurrent layers now, and not at the first step
        self.model, self.every, self.stop = model, every, stop
        self.report: Report | None = None
        self.steps = 0
        self._log = None if log is None else open_log(log)
        self._watch: Watch | None = None
        self._calls: list[Call] = []
        self._hooks = ExitStack()
        self._looked = self._inside = False

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
        self._inside, self._looked, self._calls = True, False, []
        if self.stop:
            layers = [m for m in self.model.modules() if isinstance(m, Layer)]
            for layer in layers:
                self._hooks.enter_context(hooked(layer, None, _Recorder(self._calls)))
            self._hooks.callback(register_optimizer_step_pre_hook(self._before_update).remove)
        if self.steps % self.every == 0:
            self._watch = watch(self.model)
            self._watch.__enter__()

    def end(self) -> None:
        """After a training step: what was watched is written."""
        if not self._inside:
            remedy = "Call begin() before the training step, or write `with live.step():` around it."
            raise InputError(phrase(_WHERE, "end", "called after begin()", "a call without one", remedy))
        watched, calls = self._watch, self._calls
        self._leave()
        if self.stop and not self._looked:
            self._check([p.detach() for p in self.model.parameters()], calls, "after")
        if watched is not None:
            self.report = watched.report()
            if self._log is not None:
                self._log.write(self.steps, measures(self.report))
        self.steps += 1

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

    def _leave(self) -> None:
        self._hooks.close()
        if self._watch is not None:
            self._watch.__exit__(None, None, None)
        self._watch, self._inside = None, False
        self._calls = []

    def _before_update(self, optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        own = {id(p) for p in self.model.parameters()}
        having = [p for group in optimiser.param_groups for p in group["params"] if id(p) in own]
        if having:
            self._looked = True
            self._check([p.grad for p in having if p.grad is not None], self._calls, "before")

    def _check(self, tensors: list[Tensor], calls: list[Call], when: str) -> None:
        dense = [t.coalesce().values() if t.is_sparse else t for t in tensors]
        norms = [torch.linalg.vector_norm(t.detach(), torch.inf).cpu() for t in dense if t.numel()]
        if not norms or torch.stack([n.double() for n in norms]).isfinite().all():
            return
        made = tuple(calls)
        self._leave()  # before the calls run again, which hooks would record
        found = cause(made, self.model)
        raise NotFinite(f"{_WHERE}: training step {self.steps} stopped {when} the update of the weights. {found}.")


class _Recorder:
    """A forward hook that keeps what a layer was called with, and the gradient of its output."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    def __call__(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if torch.compiler.is_dynamo_compiling():
            return
        given = dict(zip(("x", "state"), args)) | kwargs
        x = given.get("x", given.get("input"))
        state = given.get("state") if given.get("state") is not None else given.get("hx")
        options: dict[str, Any] = {name: given[name] for name in ("lengths", "resets") if name in given}
        call = Call(layer, _detached(x), _detached(state), options)
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
