"""`TruncatedBPTT`: backpropagation through the last k2 steps, every k1 steps, along a stream of any length.

Letters: T steps of a call, B rows of the batch, H hidden units, L layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .._renamed import RenamedAttribute
from ..errors import InputError, ShapeError, phrase
from .chunks import ChunkBuffer, concat_time, steps_of, tree_map, tree_spec, tree_tensors
from .cross_step_check import along_time, has_steps, refuse_other_steps
from .generators import Generators, rng_advanced
from .state_injector import WHERE, Result, StateInjector, States, detached
from .window_segments import WindowSegment, concat_segments, cut_segments, group_segments

_SAVED = ("k1", "k2", "steps", "states", "past", "form", "ended", "random", "checked", "supply", "generators")
"""The names of `TruncatedBPTT.state_dict`."""


class TruncatedBPTT:
    """A model whose gradients reach k2 steps back, for a parameter update every k1 steps of a stream.

        tbptt = ostinato.TruncatedBPTT(model, k1=20, k2=60)
        for x, y, resets in tbptt.windows(stream):
            optimiser.zero_grad()
            loss = criterion(tbptt(x, resets=resets), y)
            loss.backward()
            optimiser.step()

    model        any torch module that holds recurrent layers of this package and calls each once, without a state
    k1           steps between two updates. Each step's loss is part of one update
    k2           steps that a gradient reaches back from an update
    batch_first  whether time is dimension 1 of the model's inputs and outputs; None takes its layers' batch_first

    The call takes the k1 new steps of the model's inputs, [T, B, ...] with T = k1, and returns what the model returns
    for these steps, [T, B, ...]. Update n uses the losses of steps (n-1)·k1+1, …, n·k1; the state after step n·k1-k2
    is held constant. For k1 < k2 the overlapping k2-k1 steps are run again from that state with the current weights and
    the random masks of their first run, and the recomputed states are carried on. For k1 > k2 the window is cut every
    k2 steps counted from its end, and gradients are summed. A k2 that covers the whole stream gives full
    backpropagation.

    Time: k2/k1 forward passes for k1 ≤ k2; two for k1 > k2, where all segments but the last run again in backward.
    Memory: the activations of k2 steps and the inputs of k2-k1, whatever the length of the stream.

    Raises InputError for a bidirectional layer, a layer that is called twice, a recurrent layer of torch.nn, and a
    model that mixes steps outside its recurrent layers, as attention or a convolution over time does.
    docs/truncated-bptt.md says how the last is detected, and what is not detected.
    """

    def __init__(self, model: nn.Module, k1: int, k2: int, *, batch_first: bool | None = None) -> None:
        for name, value in (("k1", k1), ("k2", k2)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                remedy = "k1 is the steps between updates, k2 the steps that gradients reach back: k1=20, k2=60."
                raise InputError(phrase(WHERE, name, "a whole number of steps, 1 or more", repr(value), remedy))
        if batch_first not in (None, True, False):
            raise InputError(phrase(WHERE, "batch_first", "True, False or None", repr(batch_first)))
        self.model, self.k1, self.k2 = model, k1, k2
        self._injector, self._generators = StateInjector(model), Generators(model)
        layout = self._injector.batch_first if batch_first is None else batch_first
        if layout is None:
            remedy = "Its layers differ. Write batch_first=True if the model takes [B, T, ...]."
            raise InputError(phrase(WHERE, "batch_first", "given for this model", "None", remedy))
        self.batch_first, self._axis = layout, int(layout)
        self._checked = 0
        self.restart()

    def restart(self) -> None:
        """Begins a new stream with every row at the layers' initial state. `windows` calls it at a stream's end."""
        self.steps = 0
        """Steps of the stream so far."""
        self._past: list[WindowSegment] = []  # the steps that the next window runs again
        self._states: States = {}  # at the start of the next window
        self._spec: Any = None
        self._ended = self._random = False
        self._buffer = ChunkBuffer(self._axis, f"{WHERE}.windows")

    @property
    def chunks_consumed(self) -> int:
        """The number of chunks that `windows` has taken from the stream."""
        return self._buffer.chunks

    chunks = RenamedAttribute("chunks_consumed")

    def windows(self, stream: Iterable[Any]) -> Iterator[Any]:
        """Cuts a stream of chunks of any number of steps into windows of k1 steps; the last one may be shorter.

        A chunk is a tensor [T, B, ...], or a tuple, list or dict of tensors with the same T, such as (x, y, resets);
        [B, T, ...] with batch_first. A window has the structure of the chunks. The end of the stream calls `restart`.
        After leaving the loop early, or after `load_state_dict`, pass the stream without the chunks already consumed.
        """
        for chunk in stream:
            self._buffer.put(chunk)
            while self._buffer.steps >= self.k1:
                yield self._buffer.take(self.k1)
        if self._buffer.steps:
            yield self._buffer.take(self._buffer.steps)
        self.restart()

    def __call__(self, *inputs: Any, resets: Tensor | None = None, **static_kwargs: Any) -> Any:
        """The model's output for the k1 new steps, [T, B, ...], with gradients that reach k2 steps back.

        inputs         positional arguments of the model, each [T, B, ...] with T = k1, or less at the end of the stream
        resets         bool [T, B] ([B, T] with batch_first): True where a new sequence begins in a row
        static_kwargs  keyword arguments of the model without a time axis; every call gets them unchanged
        Tensors with a time axis that the model returns hold the new steps; other values are those of the last call.
        """
        steps = self._checked_steps(inputs, resets)
        begin, end, last = self.steps, self.steps + self.k1, self.steps + steps
        reruns = self.k1 < self.k2
        # This window or a later one is cut at these steps; the stream may end before `end`.
        cuts = [end - self.k2 % self.k1] if reruns else list(range(last - self.k2, begin, -self.k2))
        new = cut_segments(inputs, resets, begin, last, cuts, self._axis)
        start = begin if not reruns else 0 if last <= self.k2 else end - self.k2
        follow = max(0, end + self.k1 - self.k2) if reruns else last  # where the next window begins
        boundaries = {begin, follow} if reruns else {p.first for p in new}
        groups = group_segments(
            [*(p for p in self._past if p.first >= start), *new], boundaries, merge=not self._random
        )
        states = kept = self._states if start else {}
        self._check_model(groups, static_kwargs, states)
        outputs, drew = [], False
        for group in groups:
            if not reruns:
                states = detached(states)
            for segments, result in self._run(
                group, static_kwargs, states, forget=not reruns and group is not groups[-1]
            ):
                states = result.states
                if segments[0].first >= begin:
                    outputs.append((result, segments[-1].last - segments[0].first))
                if segments[-1].last == follow:
                    kept = detached(states)
            drew |= any(p.drawn is not None for p in group)
        wanted = (p for p in (*self._past, *new) if p.last > follow or reruns and last < self.k2)
        self._past = [p if p.last <= begin else p.detach_copy() for p in wanted]
        self._states, self.steps, self._random, self._ended = kept, last, drew, steps < self.k1
        return _output(outputs, self._axis)

    def _checked_steps(self, inputs: tuple[Any, ...], resets: Tensor | None) -> int:
        """The number of new steps. Raises where inputs and resets do not agree with each other or with the stream."""
        steps = steps_of(inputs, self._axis, WHERE, "the model's inputs")
        if self._ended:
            remedy = "Call restart() to begin another stream; windows(stream) does so by itself."
            expected = "the last one of a stream where it has fewer than k1 steps, as the one before"
            raise InputError(phrase(WHERE, "a window", expected, "another window of the same stream", remedy))
        if steps > self.k1:
            remedy = "windows(stream) cuts chunks of any size."
            raise ShapeError(phrase(WHERE, "a window", f"of k1 = {self.k1} new steps", steps, remedy))
        spec = tree_spec(inputs, self._axis)
        if self.steps and spec != self._spec:
            remedy = "Each row of a window continues the same row of the last one; restart() begins with other rows."
            raise ShapeError(phrase(WHERE, "a window", f"{self._spec}, as the one before it", spec, remedy))
        self._spec = spec
        if resets is not None:
            rows = next(tree_tensors(inputs)).shape[:2]
            if not isinstance(resets, Tensor) or resets.dtype != torch.bool or resets.shape not in (rows, rows[:1]):
                received = f"{list(resets.shape)} {resets.dtype}" if isinstance(resets, Tensor) else repr(resets)
                remedy = "True says that a new sequence begins at this step of this row."
                raise ShapeError(phrase(WHERE, "resets", f"a bool tensor {list(rows)}", received, remedy))
        return steps

    def _check_model(self, groups: list[list[WindowSegment]], static_kwargs: dict[str, Any], states: States) -> None:
        """Checks that the model mixes steps in its recurrent layers alone: at the first window of two steps or more,
        and at the first whole one. The check calls the model on no more steps than a window does.
        """
        segments = [p for group in groups for p in group] if self.k1 <= self.k2 else groups[-1]
        steps = segments[-1].last - segments[0].first
        if steps >= 2 and (not self._checked or self._checked < steps == self.k2):
            inputs, resets = concat_segments(segments, self._axis)
            states = states if segments[0] is groups[0][0] else {}
            refuse_other_steps(
                self._injector, self._generators, inputs, static_kwargs, states, resets, steps, self.batch_first
            )
            self._checked = steps

    def _run(
        self, group: list[WindowSegment], static_kwargs: dict[str, Any], states: States, forget: bool
    ) -> Iterator[tuple[list[WindowSegment], Result]]:
        """One call of the model for the whole group, or one for each segment where the model draws random numbers.

        forget  save nothing for backward, and run again there
        """

        def call(segments: list[WindowSegment], states: States) -> Result:
            inputs, resets = concat_segments(segments, self._axis)
            steps = segments[-1].last - segments[0].first
            result = self._injector.run(inputs, static_kwargs, states, resets, steps, self.batch_first)
            along_time(result, self._axis, steps)
            return result

        if self.k1 >= self.k2:  # no later window runs these steps again
            forget = forget and torch.is_grad_enabled()
            yield group, checkpoint(call, group, states, use_reentrant=False) if forget else call(group, states)
            return
        segment, now = group[0], self._generators.read()
        if segment.drawn is not None:
            self._generators.write(segment.drawn)
            result = call(group, states)
            self._generators.write(now)
            yield group, result
            return
        result = call(group, states)
        if not rng_advanced(now, self._generators.read()):
            yield group, result
        elif len(group) == 1:
            segment.drawn = now
            yield group, result
        else:  # the model draws for the first time: each segment must later draw the same numbers by itself
            self._generators.write(now)
            for segment in group:
                for alone, result in self._run([segment], static_kwargs, states, forget):
                    states = result.states
                    yield alone, result

    def state_dict(self) -> dict[str, Any]:
        """The position in the stream: states, inputs that run again, steps left of the last chunk, torch's generators.

        Save it beside model.state_dict() and optimiser.state_dict(), after an update and before the next call. It holds
        tensors and plain values, which torch.load reads with weights_only=True.
        """
        states = tree_map(Tensor.clone, self._states)
        past = [vars(segment.detach_copy()) for segment in self._past]
        flags = self._spec, self._ended, self._random, self._checked
        values = (
            self.k1,
            self.k2,
            self.steps,
            states,
            past,
            *flags,
            self._buffer.state_dict(),
            self._generators.read(),
        )
        return dict(zip(_SAVED, values, strict=True))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a saved position, with the same bits. It also sets torch's generators to their saved states.

        Pass `windows` the stream without its first `chunks_consumed` chunks.
        """
        where = f"{WHERE}.load_state_dict"
        missing = [name for name in _SAVED if name not in state]
        if missing:
            remedy = "Give what state_dict() of a TruncatedBPTT returned."
            raise InputError(
                phrase(where, "state", "a saved position of a stream", f"one without {missing[0]!r}", remedy)
            )
        for name in ("k1", "k2"):
            if state[name] != getattr(self, name):
                remedy = f"It was saved with k1 = {state['k1']} and k2 = {state['k2']}; build it with these."
                raise InputError(phrase(where, name, state[name], getattr(self, name), remedy))
        unknown = sorted(set(state["states"]) - set(self._injector.layers))
        if unknown:
            expected = f"one with the recurrent layers {', '.join(map(repr, state['states']))}"
            remedy = "Load it beside the model that it was saved with."
            raise InputError(phrase(where, "model", expected, f"one without {unknown[0]!r}", remedy))
        homes = {name: next(layer.parameters()).device for name, layer in self._injector.layers.items()}
        self.restart()
        self.steps, self._spec, self._ended = state["steps"], state["form"], state["ended"]
        self._random, self._checked = state["random"], state["checked"]
        self._states = {k: tree_map(lambda t, to=homes[k]: t.to(to, copy=True), v) for k, v in state["states"].items()}
        self._past = [WindowSegment(**segment).detach_copy() for segment in state["past"]]
        self._buffer.load_state_dict(state["supply"])
        self._generators.write(state["generators"])


def _output(results: list[tuple[Result, int]], axis: int) -> Any:
    """The model's output for all new steps, from (result, number of steps) of each call."""
    if len(results) == 1:
        return results[0][0].output
    state_ids = {id(t) for result, _ in results for t in tree_tensors(result.states)}

    def join(*parts: Tensor) -> Tensor:
        timed = all(has_steps(t, axis, steps, state_ids) for t, (_, steps) in zip(parts, results))
        return concat_time(parts, axis) if timed else parts[-1]

    return tree_map(join, *[result.output for result, _ in results])
