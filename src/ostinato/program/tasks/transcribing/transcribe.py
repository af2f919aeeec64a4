"""Transcription: a text whose units follow each other as the steps of a recording, a series or symbols do.

Connectionist temporal classification (A. Graves et al. 2006): at every frame the network names a unit or the blank, and
the loss sums over all alignments.

Letters: N rows, B rows of a batch, F frames, V labels without the blank, U labels of a transcript.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....errors import InputError, phrase
from ...data.examples import Examples
from ...data.findings import many
from ...options import NetworkOptions, is_beam
from ..base import ScoredTask
from ..baselines.transcripts import for_transcripts
from ..inputs import SeriesInputs, TextInputs, inputs_from, inputs_of
from ..intervals import Tally
from ..scored import targets_of, truth_of
from ..task import IGNORED, Baseline, Batch, Encoded, Predict, Predictions
from .alignment import aligned, frames_of, needed_frames
from .frames import stacked, steps_of_frame
from .metrics import edits_of_transcripts, tally_of_transcripts
from .network import TranscriptNetwork
from .search import best_paths, best_prefixes
from .units import TranscriptUnits


class Transcribe(ScoredTask):
    """The task of the transcript of each row."""

    name = "transcribe"
    metric = "cer"
    defaults: ClassVar[Mapping[str, Any]] = {"layers": 2, "learning_rate": 6e-3}

    def __init__(
        self, inputs: TextInputs | SeriesInputs, units: TranscriptUnits, steps: int, beam: int, remark: str = ""
    ) -> None:
        self.inputs, self.units, self.steps, self.beam, self.remark = inputs, units, steps, beam, remark
        self.notes = [f"{steps} neighbouring steps are read as one frame."] if steps > 1 else []

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> Transcribe:
        texts = [str(text) for text in targets_of(train, "transcribe")]
        units = TranscriptUnits.of(texts, options)
        inputs = inputs_of(train, replace(options, unit="char"))
        lengths = inputs.encode(train).lengths
        needed = [frames_of(units.encode(text)) for text in texts]
        if not any(n >= least > 0 for n, least in zip(lengths, needed)):
            expected = "rows with as many steps as their transcripts have units, or more"
            remedy = "Inputs that are shorter than their texts are for --task translate."
            raise InputError(phrase("transcribe", "the training rows", expected, "none", remedy))
        steps = steps_of_frame(lengths.tolist(), needed) if isinstance(inputs, SeriesInputs) else 1
        return cls(inputs, units, steps, options.beam)

    def encode(self, examples: Examples) -> Encoded:
        """Rows are (frames of the input, labels of the transcript or None)."""
        rows = [stacked(row, self.steps) for row in self.inputs.encode(examples).rows]
        targets: Sequence[Any] = [None] * len(rows)
        if examples.targets is not None:
            targets = [self.units.encode(str(text)) for text in examples.targets]
        return Encoded(list(zip(rows, targets)), np.array([len(row) for row in rows], np.int64))

    def part_notes(self, examples: Examples, part: str) -> list[str]:
        """How many transcripts no alignment can hold, and how many units have no label: a sentence each."""
        if examples.targets is None:
            return []
        encoded, found = self.encode(examples), []
        long = sum(frames_of(target) > len(row) for row, target in encoded.rows)
        if long:
            noun = f"{many(long, 'row')} of {part} {'has a transcript' if long == 1 else 'have transcripts'}"
            left = "the loss leaves it out, the metrics count it" if long == 1 else "the loss leaves them out"
            left += "" if long == 1 else ", the metrics count them"
            found.append(f"{noun} of more units, and blanks between equal ones, than frames: {left}.")
        unknown = sum(self.units.unknown(str(text)) for text in examples.targets)
        if unknown:
            whole = sum(len(self.units.divide(str(text))) for text in examples.targets)
            noun = f"{many(unknown, self.units.noun)} of {whole:,} in {part} {'is' if unknown == 1 else 'are'}"
            found.append(f"{noun} in no training transcript or not in the vocabulary: the network cannot write them.")
        return found

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        chosen = [encoded.rows[r] for r in rows]
        lengths = torch.from_numpy(encoded.lengths[np.asarray(rows, np.int64)])
        x, labels = self.inputs.tensors([row for row, _ in chosen]), [labels for _, labels in chosen]
        if any(row is None for row in labels):
            return Batch(x, lengths, None, len(chosen))
        target = torch.full((len(labels), max([1, *map(len, labels)])), IGNORED)
        for b, row in enumerate(labels):
            target[b, : len(row)] = torch.from_numpy(row)
        fits = needed_frames(target, IGNORED) <= lengths
        weight = int((target != IGNORED).sum(1).clamp(min=1)[fits].sum())
        return Batch(x, lengths, target, weight)

    def network(self, options: NetworkOptions) -> nn.Module:
        return TranscriptNetwork(self.inputs, self.steps, options, len(self.units))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Nats: the sum over rows of -log p of the transcript, over their units; an empty transcript counts as one.

        Rows whose frames cannot hold their transcript are left out.
        """
        assert batch.target is not None  # only rows with targets are trained on
        target = batch.target.cpu()
        fits = torch.nonzero((needed_frames(target, IGNORED) <= batch.lengths) & (batch.lengths > 0))[:, 0]
        if not len(fits):
            return 0.0 * outputs.sum()
        logs = torch.log_softmax(outputs, -1).index_select(1, fits.to(outputs.device))
        sizes = (target != IGNORED).sum(1)[fits]
        labels = target[fits].clamp(min=0).to(outputs.device)
        losses = F.ctc_loss(logs, labels, batch.lengths[fits], sizes, reduction="none")
        return losses.sum() / max(batch.weight, 1)

    def decode(self, outputs: Tensor, batch: Batch) -> Predictions:
        """The transcript of the most probable path of each row."""
        return self._written(best_paths(self._logs(outputs), batch.lengths.numpy()))

    def answer(self, network: nn.Module, outputs: Tensor, batch: Batch, quick: bool) -> Predictions:
        """The transcript that the search finds, its probability, and where in the input its units are."""
        if quick:
            return self.decode(outputs, batch)
        logs, lengths = self._logs(outputs), batch.lengths.numpy()
        found = best_prefixes(logs, lengths, self.beam) if self.beam > 1 else best_paths(logs, lengths)
        places, log_p = aligned(logs, lengths, found)
        return replace(self._written(found), probabilities=np.exp(log_p)[:, None], alignments=places)

    def search_with(self, network: nn.Module, beam: int, where: str) -> None:
        self.beam = beam

    def calibrate(self, valid: Examples, predict: Predict) -> None:
        """Notes what the search gains over the most probable path on the validation rows; it corrects nothing."""
        if self.beam == 1 or valid.targets is None:
            return
        beam, encoded = self.beam, self.encode(valid)
        self.beam = 1
        path = self.score(valid, predict(encoded))
        self.beam = beam
        found = self.score(valid, predict(encoded))
        self.remark = (
            f"On the {many(len(valid), 'validation row')} the character error rate is {100 * path:.1f} % by the most "
            f"probable path, {100 * found:.1f} % by the beam of {beam}."
        )

    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        """Edits of characters and words by row."""
        return tally_of_transcripts(*self._compared(truth, predictions), truth.groups)

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """Edits of characters and of words by their kind, and the unit of a transcript."""
        remark = {"remark": self.remark} if self.remark else {}
        edits = edits_of_transcripts(*self._compared(truth, predictions))
        return {"by_edit": edits, "unit": self.units.unit, **remark}

    def pieces(self, text: str) -> list[str]:
        return self.units.divide(text)

    def baselines(self) -> list[Baseline]:
        return for_transcripts(self.inputs.kind)

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        own = {**self.units.to_json(), "steps": self.steps, "beam": self.beam, "remark": self.remark}
        return {self.inputs.file: self.inputs.to_json(), "transcripts.json": own}

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> Transcribe:
        own = files["transcripts.json"]
        units = TranscriptUnits.from_json(own)
        steps, beam = int(own["steps"]), int(own["beam"])
        if steps < 1 or not is_beam(beam):
            raise ValueError(f"{steps} steps of a frame and a beam of {beam}")
        return cls(inputs_from(files), units, steps, beam, str(own["remark"]))

    def _logs(self, outputs: Tensor) -> np.ndarray:
        """float64 [F, B, V + 1]: log-probabilities."""
        return torch.log_softmax(outputs.detach().to("cpu", torch.float64), -1).numpy()

    def _written(self, rows: Sequence[np.ndarray]) -> Predictions:
        return Predictions([self.units.decode(labels) for labels in rows])

    def _compared(self, truth: Examples, predictions: Predictions) -> tuple[list[str], list[str]]:
        """Truth and predictions in the form in which they are compared."""
        texts = truth_of(truth, predictions)
        return [self.units.normal(str(t)) for t in texts], [self.units.normal(str(t)) for t in predictions.values]
