"""`lens.watch`: looks on at an ordinary training step and reports what it saw, without changing a bit of it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Token
from types import TracebackType

from torch import nn

from .._torch_private import inside_backward
from ..errors import InputError, phrase
from ..layers.layer import Layer
from ..layers.sequences import Batch
from ..layers.watching import WATCHER, Onlooker, Watcher
from .layout import Layout
from .names import modules_by_name
from .onlooker import Looking
from .record import Report
from .steps import Steps
from .summary import Seen, summary

_WHERE = "lens.watch"


class Watch:
    """What `watch` returns: a context that looks on, and then `report()`."""

    def __init__(self, model: nn.Module):
        if not isinstance(model, nn.Module):
            raise InputError(phrase(_WHERE, "model", "a torch module", type(model).__name__))
        self._names = {id(m): name for name, m in modules_by_name(model) if isinstance(m, Layer)}
        if not self._names:
            remedy = "ostinato.convert(model) makes one of each of torch.nn's recurrent layers."
            received = f"{type(model).__name__} without one"
            raise InputError(
                phrase(_WHERE, "model", "a module that holds a recurrent layer of ostinato", received, remedy)
            )
        self._model = model
        self._seen: list[Seen] = []
        self._calls: dict[int, int] = {}
        self._steps = Steps(model)
        self._token: Token[Watcher | None] | None = None
        self._outer: Watcher | None = None

    def __enter__(self) -> Watch:
        if self._token is not None or self._seen:
            raise InputError(phrase(_WHERE, "the watch", "entered once", "a second time", "Call lens.watch again."))
        self._outer = WATCHER.get()
        self._token = WATCHER.set(self)
        self._steps.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            WATCHER.reset(self._token)
        self._steps.end()
        for seen in self._seen:
            seen.looking.looking = False

    def call(self, layer: Layer, batch: Batch) -> Callable[[int, int], Onlooker] | None:
        """Part of `layers.watching.Watcher`."""
        if id(layer) not in self._names:
            return None if self._outer is None else self._outer.call(layer, batch)
        number, again = self._calls.get(id(layer), 0), inside_backward()
        self._calls[id(layer)] = number + (not again)
        layout = Layout(batch)

        def looking(depth: int, direction: int) -> Onlooker:
            onlooker = Looking(layer.running, layout, direction == 1)
            directions = 2 if layer.bidirectional else 1
            parameters = layer._weight_names()[depth * directions + direction]
            name = self._names[id(layer)]
            kind = type(layer).__name__
            self._seen.append(Seen(onlooker, name, kind, depth, number, layer.training, tuple(parameters), again))
            return onlooker

        return looking

    def report(self) -> Report:
        """What was seen, up to now. May be asked inside the context or after it.

        Cost: quantiles and norms over T·B·H values of each layer, up to the time of the step itself at small H.
        """
        if not self._calls:
            remedy = (
                "Run the training step inside `with lens.watch(model) as lens:`. A compiled model runs past it: "
                'torch.compiler.set_stance("force_eager") around the step shows it.'
            )
            raise InputError(
                phrase("lens.report", "the watch", "left after a call of a recurrent layer", "none", remedy)
            )
        # Of what a checkpoint ran again, only autograd's memory is left: gradients go through the call itself. One that
        # differentiates inside of its backward pass (use_reentrant=True) has them nowhere else.
        seen = [s for s in self._seen if s.looking.passes or not s.again]
        return Report(tuple(summary(s) for s in seen), self._steps.weights(), self._steps.clipping())


def watch(model: nn.Module) -> Watch:
    """Looks on at whatever runs inside the context, and tells what happened in the model's recurrent layers.

        with ostinato.lens.watch(model) as lens:
            loss(model(x), y).backward()
            optimiser.step()
        print(lens.report())

    `model` is any torch module that holds recurrent layers of ostinato. Its training step stays as it is: no bit of any
    result changes, with lengths, resets, both directions, several layers, checkpoint=, in training or eval mode.
    Afterwards nothing is left behind. Outside of the context a call costs what it did before.

    `report()` returns a frozen `Report`: gradient curves ‖dL/ds_t‖, the probe and its reach, what states carry over,
    gates, health, norms of weight gradients by step, clipping and updates. Without a backward pass inside the context
    gradients are absent; without `optimiser.step()` updates are.
    Cost while on: the backward kernel writes out what it has in passing, and runs once more for the probe; norms and
    samples are taken of it. Memory: the gradient of every state and gate of one layer at a time, [T, B, ·].
    """
    return Watch(model)
