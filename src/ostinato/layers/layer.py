"""`Layer`: the forward pass that all recurrent layers share.

Letters: T steps, B rows of the batch, C input features, H hidden units, L layers, D directions, R packed rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ..cells import Cell
from ..errors import InputError, OstinatoError, phrase
from ..sequence import SequenceCall
from . import initial
from .arguments import State, problem_with, refuse_sharded, weight_problem
from .checkpoint import Checkpointing, read_checkpoint
from .fx import is_value, leaf_for_fx, refuse_alone, step_node
from .given import Lengths, Resets
from .in_place import stay
from .masks import Masks, Pinned
from .moments import expect
from .operator import run
from .options import Options
from .routing import traced
from .sequences import lay_out, packed_like
from .short import short
from .standing import inside_torch_onnx, refuse_torch_onnx, stand_in
from .watching import WATCHER, Onlooker
from .weights import gate_record, incoming, keep_true


class Layer(nn.Module):
    """What every recurrent layer does with its cell: layers, directions, states, lengths, single steps."""

    cell: Cell
    """The equations in evaluation: without b and d where bias=False, with the options that are not for training."""
    input_size: int
    hidden_size: int
    num_layers: int
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int
    options: Options = Options()
    """What the layer was told beyond torch.nn's arguments. An instance has its own where that is anything at all."""
    _equations: tuple[Cell, Cell] | None = None
    """The cell in evaluation and in training, where options are in the equations."""
    _draws = False
    """Whether a call in training draws anything at random."""
    _pinned: Mapping[int, Pinned] | None = None
    """The number of a thread → what calls in it draw from, while `masks.pinned` is on there."""
    knows_order = True
    """Whether weights that come without a word on the order of their gates are in this cell's: as torch.nn's are."""
    moved: Mapping[str, list[int]] = MappingProxyType({})
    """Parameter's name → where each of its gates was before `load_state_dict` permuted it, until an optimiser steps."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        layer = super().__new__(cls)
        leaf_for_fx(layer)
        return layer

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: State = None,
        *,
        hx: State = None,
        lengths: Lengths = None,
        resets: Resets = None,
        return_states: bool = False,
    ) -> Any:
        """Runs the whole sequence.

        x              [T, B, C]; [B, T, C] with batch_first; [T, C] for one sequence; or a PackedSequence
        state          where to start: [D·L, B, H] for each state of the cell, also with batch_first; [D·L, H] for one
                       sequence; without it zeros, or the learned state. `hx` is torch's name for the same argument
        lengths        steps of each row, from 0 to T, in any order: a list, an array or an integer tensor. What x holds
                       past a row's end is not read; the output there is 0; the row's final state is that at its own
                       end, and the second direction starts there
        resets         bool [T, B] as x has its steps, [T] for one sequence: where it is True, a new sequence starts at
                       this step, in both directions, from zeros or the learned state and never from `state`. The same
                       as cutting the row there and calling the layer on each piece, on the first one with `state`
                       unless the row's first step is a reset too; the row's final state is that of its last piece, in
                       both directions. What stands past a row's length is not read. With a PackedSequence, as
                       pad_packed_sequence would lay out its steps and rows
        return_states  also return the states after every step
        Returns (output, state): output [T, B, D·H] laid out as x; the final state as `state` above. With return_states,
        (output, state, states): for each state [D·L, T, B, H], time first also with batch_first, 0 past a row's end.
        H is P where a state, or the output, is a projection's.
        """
        if state is not None and hx is not None:
            if is_value(state):
                refuse_alone(self)
            remedy = "hx is torch's name for the same argument."
            raise InputError(phrase(type(self).__name__, "state", "given once", "state and hx", remedy))
        state = hx if state is None else state
        if resets is None and not return_states:
            found = short(self, x, state, lengths)
            if found is not None:
                return found
        return self._sequence(x, state, lengths, resets, return_states)

    def step(self, x_t: Tensor, state: State = None) -> tuple[Tensor, State]:
        """One step of all layers: x_t [B, C], state as in `forward` → (output_t [B, H], new state). Or [C] → [H].

        The same as a sequence of one step, so calls in a row equal one call on the whole sequence.
        """
        where = f"{type(self).__name__}.step"
        if self.bidirectional:
            remedy = (
                "The second direction reads from the end, which is not there yet; call the layer on whole sequences."
            )
            raise InputError(phrase(where, "the layer", "one-directional", "bidirectional=True", remedy))
        if is_value(x_t):
            return step_node(self, x_t, state)  # type: ignore[return-value]
        if not isinstance(x_t, Tensor) or x_t.dim() not in (1, 2):
            received = f"{x_t.dim()} dimensions" if isinstance(x_t, Tensor) else type(x_t).__name__
            raise InputError(phrase(where, "x_t", "a tensor [B, C] or [C]", received, "Give the input of one step."))
        time = 1 if self.batch_first and x_t.dim() == 2 else 0
        x = x_t.unsqueeze(time)
        output, state = short(self, x, state) or self._sequence(x, state, None, None, False)
        return output.squeeze(time), state

    def _sequence(
        self, x: Tensor | PackedSequence, state: State, lengths: Lengths, resets: Resets, return_states: bool
    ) -> Any:
        answer = stand_in(self)
        if answer is not None:
            return answer(self, x, state, lengths, resets, return_states)
        if inside_torch_onnx(x):
            refuse_torch_onnx(self)
        if isinstance(x, PackedSequence) and resets is not None and lengths is None:
            padded, known = pad_packed_sequence(x, self.batch_first)
            output, *rest = self._sequence(padded, state, known, resets, return_states)
            return packed_like(x, output, self.batch_first), *rest
        cell, where = self.running, type(self).__name__
        weights = [[getattr(self, name) for name in group] for group in self._weight_names()]
        if not torch.compiler.is_compiling():
            refuse_sharded(self, x, weights)
        problem = problem_with(self, x, state, weights, lengths)
        if problem is not None:
            self._refuse(problem, x, state, lengths)
        wrong = weight_problem(self, weights, initial.learned_names(self))
        if wrong is not None:
            raise wrong
        batch = lay_out(x, lengths, resets, self.batch_first, where)
        if state is None:
            given: Sequence[Tensor] = initial.own(self, x)
            own: Sequence[Tensor | None] = [None] * len(given)
        else:
            given = (state,) if len(cell.states) == 1 else state
            own = [None] * len(given) if resets is None else initial.own(self, x, rows=1)
        watcher = None if traced([batch.x]) else WATCHER.get()
        looking = None if watcher is None else watcher.call(self, batch)
        masks = Masks(self, batch.x, batch.sequences(), batch.lines) if self._draws and self.training else None
        packed = return_states or looking is not None or masks is not None
        if not packed:
            stay(self, batch, given, weights)
        starts = [batch.start(s, o) for s, o in zip(given, own)]
        y, finals, every = self._layers(
            batch.x, starts, weights, batch.sizes, return_states, looking, masks, batch.spare, batch.places
        )
        ends = tuple(batch.final(s, start) for s, start in zip(finals, given, strict=True))
        output, new = batch.output(y), ends if len(ends) > 1 else ends[0]
        if not return_states:
            return output, new
        states = tuple(batch.steps(s) for s in every)
        return output, new, states if len(states) > 1 else states[0]

    def _layers(
        self,
        x: Tensor,
        states: Sequence[Tensor],
        weights: Sequence[Sequence[Tensor]],
        sizes: Tensor | None,
        histories: bool,
        looking: Callable[[int, int], Onlooker] | None = None,
        masks: Masks | None = None,
        spare: bool = False,
        places: Any = None,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """x [T, B, C] or [R, C], states [D·L, B, ·] → output, final states, and states after every step on demand.

        spare   whether packed rows may come with lines, steps and rows that nobody has
        places  where the packed rows of x are, if x is as the caller has it; the output is then laid out as x
        """
        cell, directions = self.running, 2 if self.bidirectional else 1
        starts = [s.unbind(0) for s in states]
        wanted = read_checkpoint(self.checkpoint, type(self).__name__, self.num_layers * directions)
        finals: list[list[Tensor]] = []
        every: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = dropout(x, self.dropout)
            outputs = []
            for direction in range(directions):
                k = layer * directions + direction
                onlooker = None if looking is None else looking(layer, direction)
                given, own, noise = x, weights[k], None
                if masks is not None:
                    given, own, noise = masks.inputs(x, k), masks.weights(cell, own, k), masks.noise(k)
                run_from = [s[k] for s in starts]
                call = SequenceCall(cell, given, run_from, own, sizes, direction == 1, noise, places)
                result = run(call, histories, wanted, onlooker)
                output, history = result.output, result.histories
                if histories and cell.output_state is not None:
                    history = [*history[: cell.output_state], output, *history[cell.output_state :]]
                outputs.append(output)
                finals.append(result.final_states)
                every.append(history)
            x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        return x, _stacked(finals), _stacked(every)

    @property
    def running(self) -> Cell:
        """The equations that a call runs now: in training some options put more into them."""
        return self.cell if self._equations is None else self._equations[self.training]

    @property
    def checkpoint(self) -> Checkpointing:
        """What is kept between forward and backward; the one option that may be set at any time."""
        return self.options.checkpoint

    @checkpoint.setter
    def checkpoint(self, value: Checkpointing) -> None:
        self.options = replace(self.options, where=type(self).__name__, checkpoint=value)

    def extra_repr(self) -> str:
        return ", ".join([nn.RNNBase.extra_repr(self), *self.options.changed()])  # type: ignore[arg-type]

    def _take(self, options: Options, device: Any, dtype: torch.dtype | None) -> None:
        """Keeps the options of the constructor, and registers the parameters that they bring."""
        where = type(self).__name__
        if options != Options():
            self.options, self._draws = options, options.draws
            problem = initial.problem_with(self, where)
            if problem is not None:
                raise problem
            initial.register(self, device, dtype)

    def _weight_names(self) -> Sequence[Sequence[str]]:
        """For each layer and direction the parameters' names, in the order in which the cell takes them."""
        raise NotImplementedError

    def _first_names(self) -> Sequence[str]:
        """The parameters' names of the first layer and direction."""
        return self._weight_names()[0]

    def _refuse(self, problem: OstinatoError, x: Any, state: State, lengths: Lengths) -> None:
        raise problem

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = getattr(destination, "_metadata", None)
        if metadata is not None:
            metadata.setdefault(prefix[:-1], {})["gates"] = gate_record(self.cell)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.moved:
            expect(self)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        where = f"{type(self).__name__}.load_state_dict"
        taken = incoming(self, state_dict, prefix, local_metadata.get("gates"), where)
        if taken.problem is not None:
            error_msgs.append(taken.problem)
            return
        errors = len(error_msgs)
        super()._load_from_state_dict(
            taken.state, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        if taken.moved is None or len(error_msgs) > errors:
            return
        if taken.moved or self.moved:
            self.moved = taken.moved
        if taken.moved:
            keep_true(state_dict, prefix, taken, self)
            expect(self)


def settled(cell: Cell) -> Cell:
    """`cell` with all that a call asks of it worked out: torch.compile cannot trace a cached property's first read."""
    for derived in ("state_widths", "output_width", "output_state", "text"):
        getattr(cell, derived)
    return cell


def _stacked(parts: list[list[Tensor]]) -> list[Tensor]:
    """[layers and directions][states] tensors → for each state one tensor with layers and directions first."""
    return [torch.stack(s) if len(s) > 1 else s[0].unsqueeze(0) for s in zip(*parts, strict=True)]
