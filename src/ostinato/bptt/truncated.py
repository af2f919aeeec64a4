"""`TruncatedBPTT`: backpropagation through the last k2 steps, every k1 steps, along a stream without an end.

Letters: T steps of a call, B rows of the batch, H hidden units, L layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import InputError, ShapeError, phrase
from .carrier import WHERE, Carrier, Result, States, detached
from .chunks import Supply, each, form, joined, steps_of, tensors
from .generators import Generators, moved
from .parts import Part, cut, grouped, together
from .stepwise import along_time, has_steps, refuse_other_steps


class TruncatedBPTT:
    """A model whose gradients reach k2 steps back, for a parameter update every k1 steps of a stream.

        tbptt = ostinato.TruncatedBPTT(model, k1=20, k2=60)
        for x, y, resets in tbptt.windows(stream):
            optimiser.zero_grad()
            loss = criterion(tbptt(x, resets=resets), y)
            loss.backward()
            optimiser.step()

    model        any torch module that holds recurrent layers of this package and calls each once, without a state
    k1           steps between two updates. Each step's loss is looked at once, with the update that it belongs to
    k2           steps that a gradient reaches back from an update
    batch_first  whether time is dimension 1 of what goes in and out of the model; None: as its layers say

    The call takes the k1 new steps of the model's inputs, [T, B, ...] with T = k1, and returns what the model returns
    for these steps, [T, B, ...]. Update n looks at the losses of steps (n-1)·k1+1, …, n·k1; the state after step
    n·k1-k2 is held constant. For k1 < k2 the overlapping k2-k1 steps are run again from that state with the weights of
    now and the random masks of then, and the states so recomputed are carried on. For k1 > k2 the window is cut every
    k2 steps counted from its end, and gradients add up. Where k2 covers the whole stream this is full backpropagation.

    Time: k2/k1 forward passes for k1 ≤ k2; two for k1 > k2, where all pieces but the last run again for backward.
    Memory: the activations of k2 steps and the inputs of k2-k1, whatever the length of the stream.

    Refused, with the reason: a bidirectional layer; a layer that is called twice; a layer of torch.nn; a model whose
    output at a step reads other steps by itself, such as attention or a convolution over time. docs/truncated-bptt.md
    says how that is found out, and what is not.
    """

    def __init__(self, model: nn.Module, k1: int, k2: int, *, batch_first: bool | None = None) -> None:
        for name, value in (("k1", k1), ("k2", k2)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                remedy = "k1 is the steps between updates, k2 the steps that gradients reach back: k1=20, k2=60."
                raise InputError(phrase(WHERE, name, "a whole number of steps, 1 or more", repr(value), remedy))
        self.model, self.k1, self.k2 = model, k1, k2
        self._carrier, self._generators = Carrier(model), Generators(model)
        found = self._carrier.batch_first if batch_first is None else batch_first
        if found is None:
            remedy = "Its layers differ. Write batch_first=True if the model takes [B, T, ...]."
            raise InputError(phrase(WHERE, "batch_first", "given for this model", "None", remedy))
        self.batch_first, self._axis = found, int(found)
        self.restart()

    def restart(self) -> None:
        """Begins a new stream: every row at the layers' own start. `windows` does it where a stream ends."""
        self.steps = 0
        """Steps of the stream so far."""
        self._past: list[Part] = []  # the steps that run again
        self._states: States = {}  # where the next window begins
        self._form: Any = None
        self._ended = self._random = False
        self._checked = 0
        self._supply = Supply(self._axis, f"{WHERE}.windows")

    @property
    def chunks(self) -> int:
        """How many chunks `windows` has taken from the stream."""
        return self._supply.chunks

    def windows(self, stream: Iterable[Any]) -> Iterator[Any]:
        """Cuts a stream of chunks of any number of steps into pieces of k1 steps, the last one shorter.

        A chunk is a tensor [T, B, ...], or a tuple, list or dict of some with the same T, such as (x, y, resets);
        [B, T, ...] with batch_first. A piece has the form of the chunks. At the end of the stream follows `restart`.
        After a loop that was left early, or after `load_state_dict`, go on with the chunks that were not taken yet.
        """
        for chunk in stream:
            self._supply.put(chunk)
            while self._supply.steps >= self.k1:
                yield self._supply.take(self.k1)
        if self._supply.steps:
            yield self._supply.take(self._supply.steps)
        self.restart()

    def __call__(self, *inputs: Any, resets: Tensor | None = None, **same: Any) -> Any:
        """The model's output for the k1 new steps, [T, B, ...], with gradients that reach k2 steps back.

        inputs  what the model takes by place, each [T, B, ...] with T = k1; shorter where the stream ends
        resets  bool [T, B] ([B, T] with batch_first): True where a new sequence begins in a row
        same    what the model takes by name and what has no time; it goes to every call as it is
        Where the model returns several tensors, those with time are cut to the new steps, and the others are the last.
        """
        steps = self._checked_steps(inputs, resets)
        begin, end, last = self.steps, self.steps + self.k1, self.steps + steps
        again = self.k1 < self.k2
        # This window or a later one is cut at these steps; the stream may end before `end`.
        cuts = [end - self.k2 % self.k1] if again else list(range(last - self.k2, begin, -self.k2))
        new = cut(inputs, resets, begin, last, cuts, self._axis)
        start = begin if not again else 0 if last <= self.k2 else end - self.k2
        follow = max(0, end + self.k1 - self.k2) if again else last  # where the next window begins
        walls = {begin, follow} if again else {p.first for p in new}
        groups = grouped([*(p for p in self._past if p.first >= start), *new], walls, merge=not self._random)
        states = kept = self._states if start else {}
        self._look(groups, same, states)
        outputs, drew = [], False
        for group in groups:
            if not again:
                states = detached(states)
            for parts, result in self._run(group, same, states, forget=not again and group is not groups[-1]):
                states = result.states
                if parts[0].first >= begin:
                    outputs.append((result, parts[-1].last - parts[0].first))
                if parts[-1].last == follow:
                    kept = detached(states)
            drew |= any(p.drawn is not None for p in group)
        wanted = (p for p in (*self._past, *new) if p.last > follow or again and last < self.k2)
        self._past = [p if p.last <= begin else p.own() for p in wanted]
        self._states, self.steps, self._random, self._ended = kept, last, drew, steps < self.k1
        return _output(outputs, self._axis)

    def _checked_steps(self, inputs: tuple[Any, ...], resets: Tensor | None) -> int:
        """How many new steps there are, if inputs and resets fit each other and what came before."""
        steps = steps_of(inputs, self._axis, WHERE, "what goes into the model")
        if self._ended:
            remedy = "Call restart() to begin another stream; windows(stream) does so by itself."
            expected = "the last one of a stream where it has fewer than k1 steps, as the one before"
            raise InputError(phrase(WHERE, "a window", expected, "another window of the same stream", remedy))
        if steps > self.k1:
            remedy = "windows(stream) cuts chunks of any size."
            raise ShapeError(phrase(WHERE, "a window", f"of k1 = {self.k1} new steps", steps, remedy))
        found = form(inputs, self._axis)
        if self.steps and found != self._form:
            remedy = "A row goes on from window to window; restart() begins with other rows."
            raise ShapeError(phrase(WHERE, "a window", f"{self._form}, as the one before it", found, remedy))
        self._form = found
        if resets is not None:
            rows = next(tensors(inputs)).shape[:2]
            if not isinstance(resets, Tensor) or resets.dtype != torch.bool or resets.shape not in (rows, rows[:1]):
                received = f"{list(resets.shape)} {resets.dtype}" if isinstance(resets, Tensor) else repr(resets)
                remedy = "True says that a new sequence begins at this step of this row."
                raise ShapeError(phrase(WHERE, "resets", f"a bool tensor {list(rows)}", received, remedy))
        return steps

    def _look(self, groups: list[list[Part]], same: dict[str, Any], states: States) -> None:
        """Asks whether the model reads other steps: at the first window of two steps or more, and at the first whole
        one. No call of the model is longer than what is looked at."""
        parts = [p for group in groups for p in group] if self.k1 <= self.k2 else groups[-1]
        steps = parts[-1].last - parts[0].first
        if steps >= 2 and (not self._checked or self._checked < steps == self.k2):
            inputs, resets = together(parts, self._axis)
            states = states if parts[0] is groups[0][0] else {}
            refuse_other_steps(self._carrier, self._generators, inputs, same, states, resets, steps, self.batch_first)
            self._checked = steps

    def _run(
        self, group: list[Part], same: dict[str, Any], states: States, forget: bool
    ) -> Iterator[tuple[list[Part], Result]]:
        """One call of the model for the whole group, or one for each of its parts where it draws random numbers.

        forget  keep nothing for backward, and run again there
        """

        def call(parts: list[Part], states: States) -> Result:
            inputs, resets = together(parts, self._axis)
            steps = parts[-1].last - parts[0].first
            result = self._carrier.run(inputs, same, states, resets, steps, self.batch_first)
            along_time(result, self._axis, steps)
            return result

        if self.k1 >= self.k2:  # no later window runs these steps again
            forget = forget and torch.is_grad_enabled()
            yield group, checkpoint(call, group, states, use_reentrant=False) if forget else call(group, states)
            return
        part, now = group[0], self._generators.read()
        if part.drawn is not None:
            self._generators.write(part.drawn)
            result = call(group, states)
            self._generators.write(now)
            yield group, result
            return
        result = call(group, states)
        if not moved(now, self._generators.read()):
            yield group, result
        elif len(group) == 1:
            part.drawn = now
            yield group, result
        else:  # the first time that this model draws: each part must be able to draw the same again by itself
            self._generators.write(now)
            for part in group:
                for alone, result in self._run([part], same, states, forget):
                    states = result.states
                    yield alone, result

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands: states, inputs that run again, what waits of the last chunk, and torch's generators.

        Save it beside model.state_dict() and optimiser.state_dict(), after an update and before the next call. It holds
        tensors and plain values, which torch.load reads with weights_only=True.
        """
        return {
            "k1": self.k1,
            "k2": self.k2,
            "steps": self.steps,
            "states": each(Tensor.clone, self._states),
            "past": [vars(part.own()) for part in self._past],
            "form": self._form,
            "ended": self._ended,
            "random": self._random,
            "checked": self._checked,
            "supply": self._supply.state_dict(),
            "generators": self._generators.read(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where another left off, with the same bits. Torch's generators are set to where they stood, too.

        Give `windows` the stream without its first `chunks` chunks.
        """
        where = f"{WHERE}.load_state_dict"
        for name in ("k1", "k2"):
            if state[name] != getattr(self, name):
                remedy = f"It was saved with k1 = {state['k1']} and k2 = {state['k2']}; build it with these."
                raise InputError(phrase(where, name, state[name], getattr(self, name), remedy))
        unknown = sorted(set(state["states"]) - set(self._carrier.layers))
        if unknown:
            expected = f"one with the recurrent layers {', '.join(map(repr, state['states']))}"
            remedy = "Load it beside the model that it was saved with."
            raise InputError(phrase(where, "model", expected, f"one without {unknown[0]!r}", remedy))
        homes = {name: next(layer.parameters()).device for name, layer in self._carrier.layers.items()}
        self.restart()
        self.steps, self._form, self._ended = state["steps"], state["form"], state["ended"]
        self._random, self._checked = state["random"], state["checked"]
        self._states = {k: each(lambda t, to=homes[k]: t.to(to, copy=True), v) for k, v in state["states"].items()}
        self._past = [Part(**part).own() for part in state["past"]]
        self._supply.load_state_dict(state["supply"])
        self._generators.write(state["generators"])


def _output(results: list[tuple[Result, int]], axis: int) -> Any:
    """What the model returned for all new steps, from calls of so many steps each."""
    if len(results) == 1:
        return results[0][0].output
    own = {id(t) for result, _ in results for t in tensors(result.states)}

    def join(*parts: Tensor) -> Tensor:
        timed = all(has_steps(t, axis, steps, own) for t, (_, steps) in zip(parts, results))
        return joined(parts, axis) if timed else parts[-1]

    return each(join, *[result.output for result, _ in results])
