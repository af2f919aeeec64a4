"""`Layer`: the forward pass that all recurrent layers share.

Letters: T steps, B rows of the batch, C input features, H hidden units, L layers, D directions, R packed rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from .. import _torch_private
from ..cells import Cell
from ..errors import InputError, OstinatoError, phrase
from ..execution.checkpoint import read_checkpoint
from ..execution.dispatch import converted, execute, execute_direct, plan_call
from ..execution.interception import INTERCEPTION
from ..execution.observer import Observe
from ..execution.routing import traced
from ..ragged.batch import packed_like, prepare_batch
from ..ragged.lengths import Lengths, Resets
from ..sequence import ForwardResult, SequenceCall
from . import init
from .arguments import State, check_arguments, refuse_sharded, weight_problem
from .dropout import Masks
from .fx import is_value, leaf_for_fx, refuse_alone, step_node
from .inline_cache import cached_call
from .optimizer_state import expect
from .options import Options
from .parameters import gate_record, incoming, keep_true
from .stack_call import StackCall, direct_call, try_in_place
from .structure import LayerStructure
from .torch_onnx import inside_torch_onnx, refuse_torch_onnx


class Layer(LayerStructure):
    """The forward pass of every recurrent layer: layers, directions, states, lengths, single steps."""

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
                       as cutting the row there and calling the layer on each segment, on the first one with `state`
                       unless the row's first step is a reset too; the row's final state is that of its last segment, in
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
        return self._sequence(x, hx if state is None else state, lengths, resets, return_states)

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
        output, state = self._sequence(x, state, None, None, False)
        return output.squeeze(time), state

    def _sequence(
        self, x: Tensor | PackedSequence, state: State, lengths: Lengths, resets: Resets, return_states: bool
    ) -> Any:
        """The call, intercepted where its context says so; torch.compile cannot trace that question."""
        observe = None
        if not torch.compiler.is_dynamo_compiling():
            roles = INTERCEPTION.get()
            if roles is not None:
                observe, answer = roles.observe, roles.replace and roles.replace(self)
                if answer is not None:
                    return answer(self, x, state, lengths, resets, return_states)
            if observe is None and resets is None and not return_states:
                found = cached_call(self, x, state, lengths)
                if found is None:
                    found = direct_call(self, x, state, lengths)
                if found is not None:
                    return found
        return self._checked(x, state, lengths, resets, return_states, observe)

    def _checked(
        self,
        x: Tensor | PackedSequence,
        state: State,
        lengths: Lengths,
        resets: Resets,
        return_states: bool,
        observe: Observe | None,
    ) -> Any:
        """A call of any kind, its arguments checked, its rows laid out as the layers read them."""
        if inside_torch_onnx(x):
            refuse_torch_onnx(self)
        if isinstance(x, PackedSequence) and resets is not None and lengths is None:
            padded, known = pad_packed_sequence(x, self.batch_first)
            output, *rest = self._checked(padded, state, known, resets, return_states, observe)
            return packed_like(x, output, self.batch_first), *rest
        cell, where = self.active_cell, type(self).__name__
        weights = [[getattr(self, name) for name in group] for group in self._weight_names()]
        if not torch.compiler.is_compiling():
            refuse_sharded(self, x, weights)
        problem = check_arguments(self, x, state, weights, lengths)
        if problem is not None:
            self._refuse(problem, x, state, lengths)
        wrong = weight_problem(self, weights, init.learned_names(self))
        if wrong is not None:
            raise wrong
        batch = prepare_batch(x, lengths, resets, self.batch_first, where)
        if state is None:
            given: Sequence[Tensor] = init.initial_state(self, x)
            own: Sequence[Tensor | None] = [None] * len(given)
        else:
            given = (state,) if len(cell.states) == 1 else state
            own = [None] * len(given) if resets is None else init.initial_state(self, x, rows=1)
        observers = None if observe is None or traced([batch.x]) else observe(self, batch)
        masks = Masks(self, batch.x, batch.sequences(), batch.lines) if self._draws and self.training else None
        if not return_states and observers is None and masks is None:
            try_in_place(self, batch, given, weights)
        starts = [batch.start(s, o) for s, o in zip(given, own)]
        stack = StackCall(cell, batch.x, starts, weights, batch.sizes, batch.row_layout, None, masks)
        stack.has_padding_rows, stack.histories, stack.observers = batch.has_padding_rows, return_states, observers
        y, finals, every = self._layers(stack)
        ends = tuple(batch.final(s, start) for s, start in zip(finals, given, strict=True))
        output, new = batch.output(y), ends if len(ends) > 1 else ends[0]
        if not return_states:
            return output, new
        states = tuple(batch.steps(s) for s in every)
        return output, new, states if len(states) > 1 else states[0]

    def _layers(self, stack: StackCall) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Output, final states, and states after every step on demand."""
        cell, x, plan, masks = stack.cell, stack.x, stack.plan, stack.masks
        directions = 2 if self.bidirectional else 1
        count, direct = self.num_layers * directions, plan is not None
        if plan is None:
            tensors = [x, *stack.states, *(w for group in stack.weights for w in group)]
            plan = plan_call(cell, tensors, stack.sizes is not None)
        # Kernels take the states of the only sequence as they are, [1, B, H].
        starts = [stack.states] if direct and count == 1 else [*zip(*[s.unbind(0) for s in stack.states])]
        checkpoint = None
        if self.options.checkpoint is not None:
            checkpoint = read_checkpoint(self.options.checkpoint, type(self).__name__, count)
        finals: list[list[Tensor]] = []
        every: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = dropout(x, self.dropout)
            outputs = []
            for direction in range(directions):
                k = layer * directions + direction
                observer = None if stack.observers is None else stack.observers(layer, direction)
                read, weights, noise = x, stack.weights[k], None
                if masks is not None:
                    read, weights = masks.inputs(x, k), masks.weights(cell, weights, k)
                    noise = masks.noise(k) if cell.random or not direct else None
                call = SequenceCall(cell, read, starts[k], weights, stack.sizes, direction == 1, noise, stack.rows)
                if direct:
                    result = execute_direct(call)
                else:
                    result = execute(plan, converted(plan, call), stack.histories, checkpoint, observer)
                outputs.append(result.output)
                finals.append(result.final_states)
                if stack.histories:
                    every.append(_with_output(cell, result))
            x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        if direct and count == 1:
            return x, finals[0], []
        return x, _stacked(finals), _stacked(every)

    def extra_repr(self) -> str:
        return ", ".join([_torch_private.rnn_repr(self), *self.options.changed()])

    def _apply_options(self, options: Options, device: Any, dtype: torch.dtype | None) -> None:
        """Keeps the options of the constructor, and registers the parameters that they bring."""
        where = type(self).__name__
        if options != Options():
            self.options, self._draws = options, options.draws
            problem = init.check_options(self, where)
            if problem is not None:
                raise problem
            init.add_parameters(self, device, dtype)

    def _refuse(self, problem: OstinatoError, x: Any, state: State, lengths: Lengths) -> None:
        raise problem

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = _torch_private.state_dict_metadata(destination)
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


def precompute_derived(cell: Cell) -> Cell:
    """`cell` with the properties that a call reads: torch.compile cannot trace a cached property's first read."""
    for derived in ("state_widths", "output_width", "output_state", "text", "random", "projected"):
        getattr(cell, derived)
    return cell


def _with_output(cell: Cell, result: ForwardResult) -> list[Tensor]:
    """The states after every step, in the order of the cell: the one that is the output, too."""
    k = cell.output_state
    return result.histories if k is None else [*result.histories[:k], result.output, *result.histories[k:]]


def _stacked(parts: list[list[Tensor]]) -> list[Tensor]:
    """[layers and directions][states] tensors → for each state one tensor with layers and directions first."""
    return [torch.stack(s) if len(s) > 1 else s[0].unsqueeze(0) for s in zip(*parts, strict=True)]
