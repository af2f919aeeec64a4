"""`RNN`, `GRU` and `LSTM`: torch.nn's layers with their constructors, parameters, results and errors, on the kernels.

They derive from torch.nn.RNNBase and take everything from it but forward. Instances hold nothing of their own beyond
what torch's hold, options apart, so an instance of nn.LSTM becomes one of these by its class alone; `convert` relies on
that.

Letters: T steps, B rows of the batch, C input features, H hidden units, P the projection's width, L layers,
D directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .. import _torch_private
from ..caching import bounded_cache
from ..cells import Cell, catalogue
from ..errors import InputError, OstinatoError, phrase
from ..execution import backends
from ..execution.routing import under_functional_transform
from ..ragged.lengths import Lengths, Resets
from . import init
from .arguments import State
from .base import Layer, StackCall, precompute_derived
from .options import LayerOptions, Options, equations, shows_options
from .parameters import suffixes
from .structure import DECISIVE

_NAMES = {
    ("RNN_TANH", False): "elman",
    ("RNN_RELU", False): "elman_relu",
    ("GRU", False): "gru",
    ("LSTM", False): "lstm",
    ("LSTM", True): "lstm_projected",
}
_CELLS: dict[tuple[str, bool, bool], Cell] = {
    (*key, bias): precompute_derived(catalogue()[name] if bias else catalogue()[name].without_bias())
    for key, name in _NAMES.items()
    for bias in (True, False)
}
_TORCH = {"RNN_TANH": torch.rnn_tanh, "RNN_RELU": torch.rnn_relu, "GRU": torch.gru, "LSTM": torch.lstm}


@bounded_cache(1 << 20, size_of=lambda names, *_: 512 * len(names))
def weight_names(
    bias: bool, projected: bool, layers: int, bidirectional: bool, vectors: tuple[str, ...]
) -> tuple[tuple[str, ...], ...]:
    """For each layer and direction the parameters' names in the cell's order, W U V b d p; torch's is W U b d V."""
    stems = ["weight_ih", "weight_hh", *["weight_hr"] * projected, *["bias_ih", "bias_hh"] * bias]
    stems += [f"p_{name}" for name in vectors]
    return tuple([tuple([stem + end for stem in stems]) for end in suffixes(layers, bidirectional)])


@lru_cache(maxsize=1)
def _machine_has_kernels() -> bool:
    return backends.compiled(torch.empty(0, dtype=torch.float32, device="cpu"))


def _runs_here(x: Tensor) -> bool:
    """Whether the kernels run on the device of x. While compiling, every CPU counts: the operator chooses later."""
    kind = x.device.type
    return kind == "meta" or (kind == "cpu" and (torch.compiler.is_compiling() or _machine_has_kernels()))


class TorchLayer(Layer, nn.RNNBase):
    """What the three have in common: torch's module, this package's forward."""

    _original: type[nn.RNNBase]
    decisive = attrgetter(*DECISIVE, "mode", "bias")

    def __init__(self, *arguments: Any, options: Mapping[str, Any], **factory: Any) -> None:
        super().__init__(*arguments, **factory)
        where, plain = type(self).__name__, self.cell
        chosen = Options.of(where, options)
        if chosen.activation is not None and self.mode == "RNN_RELU":
            expected = "None with nonlinearity='relu'"
            remedy = "Both name the activation; leave one of them out."
            raise InputError(phrase(where, "activation", expected, repr(chosen.activation), remedy))
        cells = equations(plain, chosen, where)
        if cells != (plain, plain):
            self._equations = precompute_derived(cells[0]), precompute_derived(cells[1])
            self._register_vectors(**factory)
        self._apply_options(chosen, **factory)
        init.initialize(self)

    def _register_vectors(self, device: Any = None, dtype: torch.dtype | None = None) -> None:
        """The vectors p of the equations, which torch's module does not know of."""
        shapes = self.cell.parameters(self.input_size, self.hidden_size, self.proj_size)
        for suffix in suffixes(self.num_layers, self.bidirectional):
            for name in (n for n in shapes if n.startswith("p_")):
                own = torch.empty(shapes[name], device=device, dtype=dtype)
                self.register_parameter(name + suffix, nn.Parameter(own))

    @property
    def cell(self) -> Cell:  # type: ignore[override]
        """The equations in evaluation: without b and d where bias=False, with the options that are not for training."""
        return self._equations[0] if self._equations is not None else _CELLS[self.mode, self.proj_size > 0, self.bias]

    def forward(  # type: ignore[override]
        self,
        input: Tensor | PackedSequence,
        hx: State = None,
        *,
        state: State = None,
        lengths: Lengths = None,
        resets: Resets = None,
        return_states: bool = False,
    ) -> Any:
        """As torch.nn's: input [T, B, C], [B, T, C] with batch_first, [T, C] or packed → (output, final state).

        `state` is another name for hx; `lengths`, `resets` and `return_states` are those of `Recurrent.forward`.
        """
        if state is not None:
            return super().forward(input, state, hx=hx, lengths=lengths, resets=resets, return_states=return_states)
        return self._sequence(input, hx, lengths, resets, return_states)

    def reset_parameters(self) -> None:
        """Draws all parameters, as torch does and as the options ask."""
        super().reset_parameters()
        init.initialize(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for cell in self._equations or ():
            precompute_derived(cell)

    def _weight_names(self) -> Sequence[Sequence[str]]:
        vectors = () if self._equations is None else self._equations[0].gates.get("p", ())
        names = weight_names.__wrapped__
        return names(self.bias, self.proj_size > 0, self.num_layers, self.bidirectional, vectors)

    def _cached_names(self) -> Sequence[Sequence[str]]:
        vectors = () if self._equations is None else self._equations[0].gates.get("p", ())
        return weight_names(self.bias, self.proj_size > 0, self.num_layers, self.bidirectional, vectors)

    def _layers(self, stack: StackCall) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        if stack.plan is not None:
            return super()._layers(stack)
        x, observers = stack.x, stack.observers
        # torch's layers have none of these
        ours = stack.masks is not None or self._equations is not None or stack.has_padding_rows or stack.histories
        checkpointed = self.checkpoint is not None and torch.is_grad_enabled()  # torch's own save everything
        if ours or checkpointed or _runs_here(x) or under_functional_transform():
            return super()._layers(stack)
        if observers is not None:
            for depth in range(self.num_layers):
                for direction in range(2 if self.bidirectional else 1):
                    observers(depth, direction).not_observed(f"torch's own implementation ran it on {x.device}")
        return self._torch_layers(x, stack.states, stack.sizes)

    def _torch_layers(
        self, x: Tensor, states: Sequence[Tensor], sizes: Tensor | None
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """torch's own implementation: cuDNN and its like, on devices for which there are no kernels."""
        weights = _torch_private.current_flat_weights(self)
        start = tuple(states) if len(states) > 1 else states[0]
        shape = (self.bias, self.num_layers, self.dropout, self.training, self.bidirectional)
        layers: Any = _TORCH[self.mode]
        if sizes is None:
            output, *finals = layers(x, start, weights, *shape, False)
        else:
            output, *finals = layers(x, sizes, start, weights, *shape)
        return output, finals, []

    def _refuse(self, problem: OstinatoError, x: Any, state: State, lengths: Lengths) -> None:
        """Raises torch's own error where torch checks these arguments; where it would merely crash, `problem`."""
        if isinstance(x, PackedSequence):  # checked, not run: nn.LSTM reads packed rows of any width without a check
            _torch_private.current_flat_weights(self)
        try:
            if isinstance(x, PackedSequence):
                if x.batch_sizes.dtype is not torch.int64:
                    self._original.forward(self, x, state)
                self.check_input(x.data, x.batch_sizes)
                if state is not None:
                    self.check_forward_args(x.data, state, x.batch_sizes)
            elif lengths is None:
                self._original.forward(self, x, state)
        except (IndexError, AttributeError):
            raise problem from None
        except TypeError:  # of batch_sizes torch says what is wrong, of a state that is no tensor it does not
            if isinstance(x, PackedSequence):
                raise
            raise problem from None
        raise problem


@shows_options
class RNN(TorchLayer):
    """torch.nn.RNN on compiled kernels: the same constructor, parameters, results and errors.

        h_t = tanh(W x_t + b + U h_{t-1} + d)       or relu, with nonlinearity="relu"

    input [T, B, C] → output [T, B, D·H], final state [D·L, B, H]. Beyond torch.nn: `lengths`, `resets`,
    `return_states`, `step`, and by keyword the options of `ostinato.layers.Options`.
    """

    _original = nn.RNN

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        _without_projection(options)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(f"RNN_{nonlinearity.upper()}", *sizes, device=device, dtype=dtype, options=options)
        self.nonlinearity = nonlinearity


@shows_options
class GRU(TorchLayer):
    """torch.nn.GRU on compiled kernels: the same constructor, parameters, results and errors.

        r = σ(W_r x + b_r + U_r h + d_r)    z = σ(W_z x + b_z + U_z h + d_z)
        n = tanh(W_n x + b_n + r (U_n h + d_n))    h = (1 - z) n + z h

    input [T, B, C] → output [T, B, D·H], final state [D·L, B, H]; gates r z n. Beyond torch.nn: `lengths`,
    `resets`, `return_states`, `step`, and by keyword the options of `ostinato.layers.Options`. The form with the reset
    gate before the product is `Recurrent("gru_reset_before", ...)`.
    """

    _original = nn.GRU

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        _without_projection(options)
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__("GRU", *sizes, device=device, dtype=dtype, options=options)


@shows_options
class LSTM(TorchLayer):
    """torch.nn.LSTM on compiled kernels: the same constructor, parameters, results and errors.

        i, f, o = σ(W x + b + U h + d), each its own    g = tanh(W_g x + b_g + U_g h + d_g)
        c = f c + i g    h = o tanh(c), or V (o tanh(c)) with proj_size

    input [T, B, C] → output [T, B, D·H], final states (h [D·L, B, H or P], c [D·L, B, H]); gates i f g o. Beyond
    torch.nn: `lengths`, `resets`, `return_states`, `step`, and by keyword the options of `ostinato.layers.Options`.
    """

    _original = nn.LSTM
    get_expected_cell_size = nn.LSTM.get_expected_cell_size
    check_forward_args = nn.LSTM.check_forward_args  # type: ignore[assignment]
    permute_hidden = nn.LSTM.permute_hidden  # type: ignore[assignment]

    def __init__(
        self,
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
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size)
        super().__init__("LSTM", *sizes, device=device, dtype=dtype, options=options)


def _without_projection(options: Mapping[str, Any]) -> None:
    if "proj_size" in options:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


CONVERTED: dict[type[nn.RNNBase], type[TorchLayer]] = {layer._original: layer for layer in (RNN, GRU, LSTM)}
"""torch.nn's class → the class here that takes its place."""
