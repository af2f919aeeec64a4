"""`Recurrent`: any cell as a torch module.

Letters: T steps, B rows of the batch, C input features, H hidden units, P the projection's width, G gates, L layers,
D directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Unpack

import torch
from torch import nn

from .. import _torch_private
from ..cells import Cell, as_cell, catalogue
from ..errors import InputError, phrase
from . import init
from .base import Layer, precompute_derived
from .options import LayerOptions, Options, equations, shows_options
from .parameters import GateOrder, gate_record, in_torch_order, suffixes
from .structure import DECISIVE

_TORCHS = frozenset(catalogue()[name] for name in ("elman", "elman_relu", "gru", "lstm", "lstm_projected"))
"""Cells of torch.nn's layers: their gates are in torch's order, and their state_dicts have torch's keys only."""


@shows_options
class Recurrent(Layer):
    """A layer of any cell, built and called as torch.nn's recurrent layers are.

        layer = ostinato.Recurrent("gru_reset_before", 64, 256, num_layers=2)
        output, state = layer(x)                # x [T, B, C] → output [T, B, D·H], state [D·L, B, H]

    cell           a cell, a name of the catalogue, or a function that @ostinato.cell would take
    input_size     C, features of x
    hidden_size    H, units
    num_layers     L; each reads the output of the one below
    bias           False takes the biases b and d out of the equations
    batch_first    x and the output are [B, T, ·]; states stay [D·L, B, H]
    dropout        probability of zeroing an element of each layer's output but the last's, in training
    bidirectional  D = 2: a second direction reads from the end, and outputs stand side by side, [T, B, 2·H]
    proj_size      P, the width behind the cell's projection V; 0 means as wide as hidden_size
    **options      by keyword, those of `ostinato.layers.Options`: layer_norm, recurrent_dropout, zoneout,
                   weight_dropout, input_dropout, clip_gradient, clip_state, activation, init, forget_bias,
                   learn_initial_state, checkpoint

    Parameters carry torch.nn's names and start from U(-1/√H, 1/√H), or from the cell's own `init`: weight_ih_l0
    [G·H, C], weight_hh_l0 [G·H, H], weight_hr_l0 [P, H], bias_ih_l0 and bias_hh_l0 [G·H], and p_NAME_l0 [H]; a letter
    that the cell does not use is absent. A cell of several gates that torch.nn does not have brings one entry more into
    the state_dict, gate_order._extra_state, by which weights load into a cell with its gates in another order, and
    without which they are refused unless the cell is the catalogue's.

    The state is one tensor, or a tuple of them for a cell of several states. `forward` and `step` are the calls.
    torch.jit.script is not supported; torch.compile and torch.export are.
    """

    decisive = attrgetter(*DECISIVE, "cell", "_names")

    def __init__(
        self,
        cell: Cell | str | Callable,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__()
        chosen = as_cell(cell, "Recurrent")
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size)
        _torch_private.check_rnn_arguments(sizes)  # in torch's own words
        if proj_size and not chosen.projected:
            expected = f"0 for the cell {chosen.name}, which has no projection V"
            remedy = 'Use a cell that has one, such as "lstm_projected".'
            raise InputError(phrase("Recurrent", "proj_size", expected, proj_size, remedy))
        given_options = Options.of("Recurrent", options)
        cells = equations(chosen if bias else chosen.without_bias(), given_options, "Recurrent")
        self.cell = precompute_derived(cells[0])
        if cells[1] != cells[0]:
            self._equations = self.cell, precompute_derived(cells[1])
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        groups: list[tuple[str, ...]] = []
        directions = 2 if bidirectional else 1
        width = directions * self.cell.width(self.cell.output_width, input_size, hidden_size, proj_size)
        for k, suffix in enumerate(suffixes(num_layers, bidirectional)):
            shapes = self.cell.parameters(input_size if k < directions else width, hidden_size, proj_size)
            for name in in_torch_order(list(shapes)):
                start = torch.empty(shapes[name], device=device, dtype=dtype)
                self.register_parameter(name + suffix, nn.Parameter(start))
            groups.append(tuple([name + suffix for name in shapes]))
        self._names = tuple(groups)
        if chosen not in _TORCHS and any(len(names) > 1 for names in gate_record(chosen).values()):
            self.gate_order = GateOrder(self.cell)
            self.knows_order = catalogue().get(chosen.name) == chosen
        self._apply_options(given_options, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters: U(-1/√H, 1/√H), the values that the cell names, and those that the options ask."""
        bound = 1 / math.sqrt(self.hidden_size)
        values = {key.replace(".", "_"): value for key, value in self.cell.init.items()}
        for name, parameter in self.named_parameters():
            if name.startswith("initial_"):
                continue
            value = values.get(name.rpartition("_l")[0].removesuffix("_reverse"))
            if value is None:
                nn.init.uniform_(parameter, -bound, bound)
            else:
                nn.init.constant_(parameter, value)
        init.initialize(self)

    def flatten_parameters(self) -> None:
        """Does nothing: kernels read each parameter where it lies. torch.nn's layers have this call, for cuDNN."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for cell in (self.cell, *(self._equations or ())):
            precompute_derived(cell)

    def __repr__(self) -> str:
        own = _torch_private.own_modules(self).keys() <= {"gate_order"}
        return f"{self._get_name()}({self.extra_repr()})" if own else super().__repr__()

    def extra_repr(self) -> str:
        return f"{self.cell.name}, {super().extra_repr()}"

    def _weight_names(self) -> Sequence[Sequence[str]]:
        return self._names
