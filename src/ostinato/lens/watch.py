"""`lens.watch`: observes an ordinary training step and reports on it, without changing a bit of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from torch import nn

from .._torch_private import inside_backward
from ..errors import USE_CONVERT, InputError, phrase
from ..execution.interception import current, observed
from ..execution.observer import Observe, SequenceObserver
from ..layers.base import Layer
from ..ragged.batch import Batch
from .capture.call_layout import CallLayout
from .capture.layer_observer import LayerObserver
from .capture.module_names import modules_by_name
from .capture.optimizer_monitor import OptimizerMonitor
from .report.build import ObservedCall, clipping_report, layer_report, weight_reports
from .result import Report

_WHERE = "lens.watch"


class Watch:
    """What `watch` returns: a context that observes, and then `report()`."""

    def __init__(self, model: nn.Module, lag: int | None = None) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(phrase(_WHERE, "model", "a torch module", type(model).__name__))
        if lag is not None and (not isinstance(lag, int) or isinstance(lag, bool) or lag < 0):
            remedy = "It counts from the last step of a sequence back to the cue."
            raise InputError(phrase(_WHERE, "lag", "a number of steps, 0 or more", repr(lag), remedy))
        self._lag = lag
        modules = list(modules_by_name(model))
        self._names = {id(m): name for name, m in modules if isinstance(m, Layer)}
        if not self._names:
            received = f"{type(model).__name__} without one"
            raise InputError(
                phrase(_WHERE, "model", "a module that holds a recurrent layer of ostinato", received, USE_CONVERT)
            )
        self._observed: list[ObservedCall] = []
        self._calls: dict[int, int] = {}
        self._monitor = OptimizerMonitor(modules)
        self._context = ExitStack()
        self._entered = False
        self._outer: Observe | None = None

    def __enter__(self) -> Watch:
        if self._entered:
            raise InputError(phrase(_WHERE, "the watch", "entered once", "a second time", "Call lens.watch again."))
        self._entered, self._outer = True, current().observe
        self._context.enter_context(observed(self._observe))
        self._monitor.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()
        self._monitor.end()
        for call in self._observed:
            call.observer.active = False

    def _observe(self, layer: Layer, batch: Batch) -> Callable[[int, int], SequenceObserver] | None:
        """An `execution.observer.Observe`: a layer of another model is observed by an outer watch, if there is one."""
        name = self._names.get(id(layer))
        if name is None:
            return None if self._outer is None else self._outer(layer, batch)
        number, recomputation = self._calls.get(id(layer), 0), inside_backward()
        self._calls[id(layer)] = number + (not recomputation)
        layout, cell, kind = CallLayout(batch), layer.active_cell, type(layer).__name__
        names, directions = layer._weight_names(), 2 if layer.bidirectional else 1

        def observer(depth: int, direction: int) -> SequenceObserver:
            one = LayerObserver(cell, layout, direction == 1)
            parameters = tuple(names[depth * directions + direction])
            self._observed.append(
                ObservedCall(one, name, kind, depth, number, layer.training, parameters, recomputation)
            )
            return one

        return observer

    def report(self) -> Report:
        """What was observed up to now. May be called inside the context or after it.

        Cost: quantiles and norms over T·B·H values of each layer, up to the time of the step itself at small H.
        Raises InputError where no recurrent layer was called, and where all sequences are shorter than `lag`.
        """
        if not self._calls:
            remedy = (
                "Run the training step inside `with lens.watch(model) as lens:`. A compiled model runs past it: "
                'torch.compiler.set_stance("force_eager") around the step shows it.'
            )
            raise InputError(
                phrase("lens.report", "the watch", "left after a call of a recurrent layer", "none", remedy)
            )
        # A checkpoint's recomputation has no gradients of its own, as they go through the call itself. A checkpoint
        # that differentiates inside of its backward pass (use_reentrant=True) has them nowhere else.
        shown = [o for o in self._observed if o.observer.passes or not o.is_recomputation]
        layers = tuple(map(layer_report, shown))
        longest = max((int(layer.lengths_steps.max()) for layer in layers if len(layer.lengths_steps)), default=0)
        if self._lag is not None and longest <= self._lag:
            remedy = "A lag of k needs k steps before the last one."
            raise InputError(phrase(_WHERE, "lag", f"less than the longest sequence, {longest}", self._lag, remedy))
        return Report(layers, weight_reports(self._monitor), clipping_report(self._monitor), self._lag)


def watch(model: nn.Module, lag: int | None = None) -> Watch:
    """Observes whatever runs inside the context, and reports what happened in the model's recurrent layers.

        with ostinato.lens.watch(model) as lens:
            loss(model(x), y).backward()
            optimiser.step()
        print(lens.report())

    `model` is any torch module that holds recurrent layers of ostinato. Its training step stays as it is: no bit of any
    result changes, with lengths, resets, both directions, several layers, checkpoint=, in training or eval mode.
    Afterwards nothing is left behind. Outside of the context a call costs what it did before.

    `report()` returns a frozen `Report`: gradient curves ‖dL/ds_t‖, the probe and its reach, what states carry over,
    gates, health, norms of weight gradients by step, clipping and updates. Without a backward pass inside the context
    gradients are absent; without `optimiser.step()` updates are. `lag`, in steps, is that of a dependency that the
    model should learn, from the last step back; the verdict then says whether the gradient arrives there. Raises
    InputError for a model without such layers and for a lag below 0.
    Cost while on: the backward kernel also writes the gradients of states, and propagates the probe beside them; norms
    and samples are taken of both after each block of steps. Memory: the gradients of one block; in float64, without
    kernels, and where a block has few steps for many threads, those of every state and gate of one layer at a time,
    [T, B, ·].
    """
    return Watch(model, lag)
