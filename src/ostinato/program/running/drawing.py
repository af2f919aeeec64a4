"""New frames of music, one after another: each is drawn from the network's scores, and read for the next.

Letters: P frames of the prompt, F new frames, K keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from ..training.seeds import derived


def new_frames(
    network: nn.Module, prompt: np.ndarray, length: int, temperature: float = 1.0, seed: int = 0, number: int = 0
) -> Iterator[np.ndarray]:
    """F = `length` frames, uint8 [K], drawn after a frame of zeros and the prompt [P, K].

    The same seed and number of a sample give the same frames, whatever the other samples are.
    """
    drawer: Any = network
    generator = torch.Generator().manual_seed(derived(seed, "sample", number))
    device = next(network.parameters()).device
    keys = prompt.shape[1]
    state: Any = None
    read: Any = None
    with torch.no_grad():
        for frame in (np.zeros(keys, np.uint8), *prompt):
            read, state = drawer.step(torch.from_numpy(frame.copy())[None].float().to(device), state)
        for place in range(length):
            numbers = torch.rand((1, keys), generator=generator, dtype=torch.float64).to(device)
            frame = drawer.draw(read, numbers, temperature)
            yield frame[0].to("cpu", torch.uint8).numpy()
            if place + 1 < length:
                read, state = drawer.step(frame.float(), state)
