"""`LayerStructure`: what a recurrent layer consists of: its cell, sizes, options and the names of its parameters.

The forward pass (`base`) is built from helpers that read a layer; they take this class, which imports none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from ..cells import Cell
from ..execution.checkpoint import Checkpointing
from .options import Options

_SIZES = ("input_size", "hidden_size", "proj_size", "num_layers", "bidirectional", "batch_first")
DECISIVE = ("training", "options", "_equations", *_SIZES)
"""The attributes of every layer that decide how a call runs, beside its cell."""


class MaskSeed(NamedTuple):
    """The seed of a layer's masks inside `dropout.pinned`."""

    seed: Tensor
    """int64 without dimensions."""
    first_step: int
    """The number of the call's first step."""


class LayerStructure(nn.Module):
    """The attributes that every recurrent layer has."""

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
    """Options beyond torch.nn's. The default is the class's; an instance has its own where an option was given."""
    decisive: ClassVar[attrgetter[tuple[Any, ...]]]
    """layer → the attributes that decide how a call runs, beside its tensors: those that an inline cache compares."""
    _equations: tuple[Cell, Cell] | None = None
    """The cell in evaluation and in training, where options are in the equations."""
    _draws = False
    """Whether a call in training draws anything at random."""
    _pinned: Mapping[int, MaskSeed] | None = None
    """The number of a thread → the seed of calls in it, inside `dropout.pinned`. An attribute of the layer, on which
    a graph of torch.compile can depend."""
    knows_order = True
    """Whether weights without a record of the order of their gates are in this cell's order, as torch.nn's are."""
    moved: Mapping[str, list[int]] = MappingProxyType({})
    """Parameter's name → where each of its gates was before `load_state_dict` permuted it, until an optimiser steps."""

    @property
    def active_cell(self) -> Cell:
        """The equations of a call in the present mode: in training some options add to them."""
        return self.cell if self._equations is None else self._equations[self.training]

    @property
    def running(self) -> Cell:
        """The earlier name of `active_cell`, without a warning: torch.jit.script reads every property of a module."""
        return self.active_cell

    @property
    def checkpoint(self) -> Checkpointing:
        """What is saved between forward and backward; the one option that may be set at any time."""
        return self.options.checkpoint

    @checkpoint.setter
    def checkpoint(self, value: Checkpointing) -> None:
        self.options = replace(self.options, where=type(self).__name__, checkpoint=value)

    def _layers(self, stack: Any) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Output, final states, and states after every step on demand, of a `stack_call.StackCall`."""
        raise NotImplementedError

    def _weight_names(self) -> Sequence[Sequence[str]]:
        """For each layer and direction the parameters' names, in the order in which the cell takes them."""
        raise NotImplementedError

    def _cached_names(self) -> Sequence[Sequence[str]]:
        """`_weight_names` for a small call, outside of torch.compile, which cannot look through a cache."""
        return self._weight_names()
