"""One update of the weights: loss, gradient, the sum over all ranks, clipping, Adam."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ...bptt import TruncatedBPTT
from ...errors import NotFiniteError, phrase
from ..options import FitOptions
from ..tasks.task import Batch, Task
from .reduction import Reduction, Signals
from .seeds import derived
from .world import World

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Updater:
    """A network with its optimiser."""

    def __init__(
        self,
        task: Task,
        network: nn.Module,
        options: FitOptions,
        world: World | None = None,
        signals: Signals | None = None,
    ) -> None:
        self.task, self.network, self.options = task, network, options
        self._named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        self._parameters = [p for _, p in self._named]
        self._adam = torch.optim.Adam(
            self._parameters, lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        self._reduction = Reduction(self._parameters, world, signals)
        rank = self._reduction.world.rank
        self._purpose = f"noise of rank {rank}" if rank else "noise"
        self._streams: TruncatedBPTT | None = None

    def step(self, batch: Batch | None, update: int, learning_rate: float) -> tuple[float, int]:
        """Makes the update with this number, counted from 0; returns the loss before it and its units, of all ranks.

        batch  this rank's share; None of an empty one, which takes part nevertheless
        Masks of dropout and other noise are drawn from a seed that the number of the update and the rank give. Raises
        NotFiniteError before the weights change where the loss or its gradient is inf or NaN.
        """
        value, units = self.gradient(batch, update)
        self._check("the loss", value, update)
        norm = clip_grad_norm_(self._parameters, self.options.clip or math.inf)
        self._check("the norm of the gradient", norm.item(), update)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        return value, units

    def gradient(self, batch: Batch | None, update: int) -> tuple[float, int]:
        """Puts the gradients of the mean loss over the shares of all ranks into the parameters.

        Returns that loss and its units.
        """
        return self._reduction(*self._own_gradient(batch, update))

    def _own_gradient(self, batch: Batch | None, update: int) -> tuple[float, int]:
        torch.manual_seed(derived(self.options.seed, self._purpose, update))
        self._adam.zero_grad()
        if batch is None:
            return 0.0, 0
        outputs = self._outputs(batch)
        if not batch.weight and self._reduction.world.size > 1:
            return 0.0, 0  # a mean over nothing, which would be NaN, adds nothing to that of all ranks
        loss = self.task.loss(outputs, batch)
        loss.backward()
        return loss.item(), batch.weight

    def _outputs(self, batch: Batch) -> Any:
        """The network's outputs; of a window of streams with gradients that reach k2 steps back."""
        if batch.resets is None:
            return self.network(batch.x, batch.lengths)
        if self._streams is None:
            self._streams = self._truncated()
        if batch.begins:
            self._streams.restart()
        return self._streams(batch.x, resets=batch.resets)

    def _truncated(self) -> TruncatedBPTT:
        k1 = self.options.k1
        return TruncatedBPTT(self.network, k1, self.options.k2 or k1, batch_first=False)

    def carried(self) -> Mapping[str, Any] | None:
        """What the next window of the streams depends on; None of rows, which carry nothing."""
        return None if self._streams is None else self._streams.state_dict()

    def set_carried(self, saved: Mapping[str, Any] | None) -> None:
        """Goes on with the streams as `carried` gave them; sets torch's generators, as they were then."""
        self._streams = None
        if saved is not None:
            self._streams = self._truncated()
            self._streams.load_state_dict(saved)

    def _check(self, name: str, value: float, update: int) -> None:
        if not math.isfinite(value):
            remedy = (
                f"Lower --learning-rate ({self.options.learning_rate}) or --clip ({self.options.clip}), or look for "
                "extreme values in the data with `ostinato check`; the weights before this update are kept."
            )
            raise NotFiniteError(phrase("fit", f"{name} at update {update + 1}", "finite", value, remedy))

    def moments(self) -> dict[str, Tensor]:
        """Adam's averages [of each weight's shape] and counts of steps, by the name of the average and the weight."""
        state = self._adam.state
        return {f"{kind}/{name}": state[p][kind] for name, p in self._named if p in state for kind in MOMENTS}

    def set_moments(self, found: Mapping[str, Tensor]) -> None:
        """Takes over what `moments` gave; a weight without moments begins at 0."""
        for name, p in self._named:
            if f"step/{name}" in found:
                self._adam.state[p] = {kind: found[f"{kind}/{name}"].clone().to(p.device) for kind in MOMENTS}
