"""The states of torch's default random number generators, on the CPU and on the devices of a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

RngStates = dict[str, Tensor]
"""device → the state of torch's default generator of that device."""


class Generators:
    """The default generators of a model's devices. A `torch.Generator` that the model itself holds is not included."""

    def __init__(self, model: nn.Module) -> None:
        devices = {p.device for p in (*model.parameters(), *model.buffers())}
        self.devices = sorted({str(d) for d in devices if d.type not in ("cpu", "meta")})

    def read(self) -> RngStates:
        """The states as they are now."""
        on_devices = {d: torch.get_device_module(torch.device(d).type).get_rng_state(d) for d in self.devices}
        return {"cpu": torch.get_rng_state(), **on_devices}

    def write(self, states: RngStates) -> None:
        """Sets the generators to `states`. Devices that `states` does not name keep theirs."""
        torch.set_rng_state(states["cpu"])
        for device in self.devices:
            if device in states:
                torch.get_device_module(torch.device(device).type).set_rng_state(states[device], device)

    @contextmanager
    def preserve_rng(self) -> Iterator[None]:
        """Restores the generators on exit."""
        states = self.read()
        try:
            yield
        finally:
            self.write(states)


def rng_advanced(before: RngStates, after: RngStates) -> bool:
    """Whether a random number was drawn between two states."""
    return any(not torch.equal(before[device], after[device]) for device in before)
