"""Music: the keys of each frame of a piano roll from the frames before it.

Letters: N pieces, B rows of a batch, T frames, K keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from ....errors import InputError, phrase
from ...data.examples import Examples
from ...data.findings import many
from ...data.music.rolls import bits
from ...options import NetworkOptions
from ..base import ScoredTask
from ..baselines.rolls import for_rolls
from ..inputs import padded
from ..intervals import Tally
from ..scored import targets_of, truth_of
from ..task import Baseline, Batch, Encoded, Predictions
from .metrics import by_octave, tally_of_rolls
from .network import MusicNetwork

SPAN = 512
"""Frames of a row of a training at most: longer pieces are cut into runs of about equal length, each of which is read
from the frame before it on, without the state."""


class Music(ScoredTask):
    """The task of the next frame of a piano roll."""

    name = "music"
    metric = "nats_per_frame"
    defaults: ClassVar[Mapping[str, Any]] = {
        "cell": "lstm",
        "both_directions": False,
        "hidden": 200,
        "dropout": 0.4,
        "batch": 16,
        "learning_rate": 1e-2,
    }

    def __init__(self, keys: Sequence[str], joint: bool) -> None:
        self.keys = list(keys)
        """[K]: their names, for which MIDI has whole numbers."""
        self.joint = joint
        """Whether a key of a frame may depend on other keys of that frame."""

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> Music:
        if train.kind != "roll":
            remedy = "Give MIDI files, or piano rolls in .mat or .npz."
            raise InputError(phrase("music", "the training rows", "piano rolls", train.kind, remedy))
        targets_of(train, "music")
        return cls(train.channels, options.chords == "joint")

    def encode(self, examples: Examples) -> Encoded:
        """Pieces as rows, each after a frame of zeros; and the runs of them that a training reads."""
        if examples.kind != "roll" or list(examples.channels) != self.keys:
            received = f"{examples.kind} of {len(examples.channels)} keys"
            remedy = "Give rolls with the keys of the training, in its order."
            raise InputError(phrase("music", "the rows", f"piano rolls of {len(self.keys)} keys", received, remedy))
        rows = [np.concatenate([np.zeros((1, len(self.keys)), np.uint8), roll]) for roll in map(bits, examples.inputs)]
        runs = [run for row in rows if len(row) > 1 for run in _runs(row)]
        return Encoded(rows, _lengths(rows), training=Encoded(runs, _lengths(runs)))

    def part_notes(self, examples: Examples, part: str) -> list[str]:
        """Pieces without a frame that counts, and those that a training reads in runs."""
        short = sum(len(roll) < 2 for roll in examples.inputs)
        long = sum(len(roll) > SPAN for roll in examples.inputs)
        found = []
        if short:
            verb = "has" if short == 1 else "have"
            found.append(f"{many(short, 'piece')} of {part} {verb} fewer than 2 frames, and so none that is judged.")
        if long and part == "train":
            noun = f"{many(long, 'piece')} of {part} {'is' if long == 1 else 'are'} longer than {SPAN} frames"
            found.append(f"{noun}; the training reads them in runs, each of which begins without a memory.")
        return found

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        chosen = [encoded.rows[r] for r in rows]
        lengths = torch.tensor([len(row) - 1 for row in chosen], dtype=torch.int64)
        frames, target = (padded(part, np.float32) for part in ([r[:-1] for r in chosen], [r[1:] for r in chosen]))
        if not len(frames):  # layers read one step at least
            frames = target = np.zeros((1, *frames.shape[1:]), np.float32)
        return Batch({"frames": torch.from_numpy(frames)}, lengths, torch.from_numpy(target), int(lengths.sum()))

    def network(self, options: NetworkOptions) -> nn.Module:
        return MusicNetwork(len(self.keys), options)

    def loss(self, outputs: Any, batch: Batch) -> torch.Tensor:
        """Nats: the mean over frames, the first of a piece among them, of -log p of all keys together."""
        return outputs.nats(batch.target, _there(batch)).sum() / max(1, batch.weight)

    def decode(self, outputs: Any, batch: Batch) -> Predictions:
        """The nats of every frame of each piece, float64 [T], and the probabilities of its keys, float32 [T, K]."""
        return self._answer(outputs, batch, False)

    def answer(self, network: nn.Module, outputs: Any, batch: Batch, quick: bool) -> Predictions:
        return self._answer(outputs, batch, quick)

    def _answer(self, outputs: Any, batch: Batch, quick: bool) -> Predictions:
        """quick: without probabilities, which the metric that chooses the weights does not need."""
        there = _there(batch)
        rows = torch.nonzero(there)[:, 1].cpu().numpy()
        each = range(len(batch.lengths))
        nats = outputs.nats(batch.target, there).detach().double().cpu().numpy()
        values = [nats[rows == row] for row in each]
        if quick:
            return Predictions(values)
        said = outputs.said(there).detach().float().cpu().numpy()
        return Predictions(values, [said[rows == row] for row in each])

    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        """Sums over pieces."""
        rolls: Any = truth_of(truth, predictions)
        return tally_of_rolls(rolls, predictions.values, predictions.probabilities, truth.groups)

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """By octave; how many pieces and frames are judged, and how many keys are down in one."""
        rolls: Any = truth_of(truth, predictions)
        frames = sum(max(0, len(roll) - 1) for roll in rolls)
        down = sum(int((np.asarray(roll)[1:] > 0).sum()) for roll in rolls)
        found = {"pieces": len(rolls), "frames": frames, "keys_down": down / frames if frames else 0.0}
        return {**found, "by_octave": by_octave(rolls, predictions.probabilities, self.keys)}

    def baselines(self) -> list[Baseline]:
        return for_rolls(self.joint)

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        return {"keys.json": {"keys": self.keys, "joint": self.joint}}

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> Music:
        content = files["keys.json"]
        return cls([str(key) for key in content["keys"]], bool(content["joint"]))


def _runs(row: np.ndarray) -> list[np.ndarray]:
    """Runs of a framed piece [T + 1, K], each with the frame before its first one; their targets are all T frames."""
    frames = len(row) - 1
    bounds = [len(part) for part in np.array_split(np.arange(frames), -(-frames // SPAN))]
    ends = np.cumsum([0, *bounds])
    return [row[low : high + 1] for low, high in zip(ends, ends[1:])]


def _lengths(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([len(row) - 1 for row in rows], np.int64)


def _there(batch: Batch) -> torch.Tensor:
    """bool [T, B]: where a row has a frame."""
    assert batch.target is not None  # a piece is its own target
    steps = torch.arange(len(batch.target))
    return (steps[:, None] < batch.lengths[None, :]).to(batch.target.device)
