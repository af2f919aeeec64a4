"""Music of a model folder: new frames are drawn after those of a prompt, and both are written as MIDI files.

Letters: P frames of the prompt, F new frames, T frames, K keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.examples import Origin
from ..data.findings import many
from ..data.music.rolls import GRID_OF_ROLLS
from ..data.music.write import keys_to_write, midi_of
from ..storage import write_bytes
from ..tasks.stepping import Steps
from ..training.seeds import derived
from .memorised import training_rows
from .model import Model
from .music_request import WHERE, MusicRequest, Prompt, names_of, prompt_of
from .repeated_frames import Repeated, longest_repeated


@dataclass(frozen=True)
class Composed:
    """The files that were written."""

    request: MusicRequest
    files: Sequence[Path]
    rolls: Sequence[np.ndarray]
    """Of each file: uint8 [P + F, K]."""
    prompt: Prompt
    repeated: Repeated | None
    """Of all new frames; None where they cannot be compared with the training."""
    said: Sequence[str]
    """What there is to say, a sentence each."""

    def content(self) -> dict[str, Any]:
        """For --json."""
        frames = len(self.prompt.roll)
        samples = [
            {"file": str(file), "frames": len(roll), "keys_in_a_frame": float(roll[frames:].sum(1).mean())}
            for file, roll in zip(self.files, self.rolls)
        ]
        return {
            "prompt": None if self.request.prompt is None else str(self.request.prompt),
            "prompt_frames": frames,
            "seed": self.request.seed,
            "samples": samples,
            "memorised": None if self.repeated is None else self.repeated.content(),
            "said": " ".join(self.said),
        }


def compose(opened: Model, request: MusicRequest, folder: Path) -> Composed:
    """Writes the files of a request with a model of music; those without a name are named after `folder`, the model's.

    Raises InputError for a prompt that cannot be read, and for names of files that are there already.
    """
    task: Any = opened.task
    grid = opened.config.options.data.grid or GRID_OF_ROLLS  # a model that Python trained on rolls has none
    request.checked()
    keys_to_write(task.keys, WHERE)
    files = names_of(request, folder)
    prompt = prompt_of(request.prompt, task.keys, grid)
    rolls = []
    for number, file in enumerate(files):
        new = list(new_frames(opened.network, prompt.roll, request, number))
        rolls.append(np.concatenate([prompt.roll, np.stack(new)]))
        write_bytes(file, midi_of(rolls[-1], task.keys, grid, WHERE, prompt.tempo), WHERE)
    said = list(prompt.notes)
    silent = sum(not roll[len(prompt.roll) :].any() for roll in rolls)
    if silent:
        said.append(f"{silent} of {many(len(rolls), 'sample')} {'has' if silent == 1 else 'have'} no new note.")
    train, why = training_rows(
        opened.config.options.data, opened.config.sources, "samples are not compared with the pieces of the training"
    )
    repeated = None
    if train is not None:
        names = [_place(origin) for origin in train.origins]
        repeated = longest_repeated([roll[len(prompt.roll) :] for roll in rolls], train.inputs, names)
        said.append(repeated.sentence())
    return Composed(request, files, rolls, prompt, repeated, [*said, *([why] if why else [])])


def _place(origin: Origin) -> str:
    return f"{origin.file}, {origin.place}"


def new_frames(network: nn.Module, prompt: np.ndarray, request: MusicRequest, number: int) -> Iterator[np.ndarray]:
    """F frames, uint8 [K], drawn after a frame of zeros and the prompt [P, K].

    The same seed and number give the same frames, whatever the other samples are.
    """
    drawer: Any = network
    generator = torch.Generator().manual_seed(derived(request.seed, "sample", number))
    device = next(network.parameters()).device
    keys = prompt.shape[1]
    steps: Steps = drawer.steps(1)
    read: Any = None
    with torch.no_grad():
        for frame in (np.zeros(keys, np.uint8), *prompt):
            read = steps.step(torch.from_numpy(frame.copy())[None].float())
        for place in range(request.length):
            numbers = torch.rand((1, keys), generator=generator, dtype=torch.float64).to(device)
            frame = drawer.draw(read, numbers, request.temperature)
            yield frame[0].to("cpu", torch.uint8).numpy()
            if place + 1 < request.length:
                read = steps.step(frame.float())
