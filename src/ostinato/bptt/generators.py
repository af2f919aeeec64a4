"""Where torch's random numbers stand, on the CPU and on the devices that a model lives on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Places = dict[str, Tensor]
"""device → the state of torch's own generator there."""


class Generators:
    """The generators that a model's random operations draw from. One that a user made by hand is not among them."""

    def __init__(self, model: nn.Module) -> None:
        found = {p.device for p in (*model.parameters(), *model.buffers())}
        self.devices = sorted({str(d) for d in found if d.type not in ("cpu", "meta")})

    def read(self) -> Places:
        own = {d: torch.get_device_module(torch.device(d).type).get_rng_state(d) for d in self.devices}
        return {"cpu": torch.get_rng_state(), **own}

    def write(self, places: Places) -> None:
        torch.set_rng_state(places["cpu"])
        for device in self.devices:
            if device in places:
                torch.get_device_module(torch.device(device).type).set_rng_state(places[device], device)

    @contextmanager
    def left_alone(self) -> Iterator[None]:
        """What is drawn inside is drawn again afterwards."""
        places = self.read()
        try:
            yield
        finally:
            self.write(places)


def moved(before: Places, after: Places) -> bool:
    """Whether anything was drawn in between."""
    return any(not torch.equal(before[device], after[device]) for device in before)
