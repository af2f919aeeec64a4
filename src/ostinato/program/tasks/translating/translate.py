"""Translation: a text for a text, unit by unit, as long as the network makes it.

Letters: N rows, B rows of a batch, T units of a source, U of a target with its end, V entries of the target's
vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ...data.examples import Examples
from ...data.findings import many
from ...data.spaces import plain_spaces
from ...options import NetworkOptions
from ..base import ScoredTask
from ..baselines.translations import for_translations
from ..inputs import padded
from ..intervals import Tally
from ..scored import targets_of, truth_of
from ..task import IGNORED, Baseline, Batch, Encoded, Predictions
from ..texts.units import UNKNOWN, TextUnits
from .metrics import details_of_translations, tally_of_translations
from .network import Hypotheses, Translated, TranslationNetwork
from .pair_units import LONGEST, PairUnits
from .search import Output, Search, search

MOST_SCORES = 1 << 26
"""Scores of hypotheses that a search has in memory at once, 256 MiB; the rows of a batch are searched in parts that
have no more."""


class Translate(ScoredTask):
    """The task of a text for a text."""

    name = "translate"
    metric = "chrf"
    channels: Sequence[str] = ()
    defaults: ClassVar[Mapping[str, Any]] = {
        "hidden": 256,
        "embedding": 256,
        "dropout": 0.2,
        "learning_rate": 6e-3,
        "batch": 64,
    }

    def __init__(self, units: PairUnits, notes: Sequence[str] = ()) -> None:
        self.units, self.notes = units, notes
        self.mark = len(units.target)
        """The entry that begins an output, and ends it."""

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> Translate:
        targets = [str(text) for text in targets_of(train, "translate")]
        units = PairUnits.of([str(text) for text in train.inputs], targets, options)
        return cls(units, units.notes())

    @property
    def most_judged(self) -> int | None:
        """A search takes longer than a loss."""
        return 500

    @property
    def passes(self) -> int:
        """A search of five hypotheses takes twice as long as the quick one, or up to five times with many entries."""
        return 3

    def encode(self, examples: Examples) -> Encoded:
        """Rows are (source, target or None): a source has a mark where it is empty, a target has one at its end."""
        empty, end = np.array([len(self.units.source)], np.int32), np.array([self.mark], np.int32)
        sources = [_entries(self.units.source, text) for text in examples.inputs]
        sources = [row[:LONGEST] if len(row) else empty for row in sources]
        targets: list[Any] = [None] * len(sources)
        if examples.targets is not None:
            found = [_entries(self.units.target, text) for text in examples.targets]
            targets = [np.concatenate([row, end]) if len(row) <= LONGEST else row[:LONGEST] for row in found]
        rows = list(zip(sources, targets))
        lengths = np.array([len(row) for row in sources], np.int64)
        if examples.targets is None:
            return Encoded(rows, lengths)
        steps = np.array([len(row) for row in targets], np.int64)
        return Encoded(rows, lengths, training=Encoded(rows, lengths + steps))

    def part_notes(self, examples: Examples, part: str) -> list[str]:
        """What is cut or unknown on either side of a part, a sentence each."""
        sides = [("source", self.units.source, examples.inputs)]
        sides += [("target", self.units.target, examples.targets)] if examples.targets is not None else []
        found = []
        for side, units, texts in sides:
            # Sub-word units spell every text, and one of them has a byte or more.
            some = texts if not units.tokenizer else [t for t in texts if len(str(t).encode()) > LONGEST]
            rows = [_entries(units, text) for text in some]
            cut = sum(len(row) > LONGEST for row in rows)
            unknown, whole = sum(int((row == UNKNOWN).sum()) for row in rows), sum(map(len, rows))
            if cut:
                noun = f"{many(cut, side)} of {part} {'is' if cut == 1 else 'are'}"
                found.append(f"{noun} cut after {LONGEST:,} {units.noun}s.")
            if unknown:
                noun = f"{many(unknown, units.noun)} of {whole:,} in the {side}s of {part}"
                found.append(f"{noun} {'is' if unknown == 1 else 'are'} not in the vocabulary.")
        return found

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        chosen = [encoded.rows[r] for r in rows]
        sources, targets = [source for source, _ in chosen], [target for _, target in chosen]
        lengths = torch.tensor([len(row) for row in sources])
        x = {"source": torch.from_numpy(padded(sources, np.int64))}
        if targets[0] is None:
            return Batch(x, lengths, None, len(chosen))
        steps = torch.tensor([len(row) for row in targets])
        target = torch.from_numpy(padded(targets, np.int64))
        units = torch.cat([torch.full((1, len(rows)), self.mark), target[:-1]])
        target[torch.arange(len(target))[:, None] >= steps] = IGNORED
        return Batch({**x, "units": units, "steps": steps}, lengths, target, int(steps.sum()))

    def network(self, options: NetworkOptions) -> nn.Module:
        return TranslationNetwork(len(self.units.source) + 1, self.mark + 1, options)

    def loss(self, outputs: Translated, batch: Batch) -> Tensor:
        """Nats: the mean over the units and ends of targets of -log p."""
        assert outputs.read is not None and batch.target is not None  # only rows with targets are trained on
        return outputs.read.nats(batch.target).sum() / batch.weight

    def decode(self, outputs: Translated, batch: Batch) -> Predictions:
        """The translations that the most probable unit at each step makes."""
        found, which = self._found(outputs, batch, 1)
        return Predictions([self._text(found[k]) for k in which])

    def answer(self, network: nn.Module, outputs: Translated, batch: Batch, quick: bool) -> Predictions:
        """The translations that a beam finds, with their alignments [U, T]; with `quick` what `decode` gives."""
        if quick:
            return self.decode(outputs, batch)
        found, which = self._found(outputs, batch, outputs.network.beam)
        aligned = self._alignments(outputs, batch, found, which)
        values = [self._text(found[k]) for k in which]
        return Predictions(values, alignments=None if aligned is None else [aligned[k] for k in which])

    def search_with(self, network: Any, beam: int, where: str) -> None:
        """The number is an attribute of the network."""
        network.beam = beam

    def _text(self, output: Output) -> str:
        """A translation as it is compared with its references: the space before its first word is no part of it."""
        return self.units.target.decode(output.units).strip()

    def _found(self, outputs: Translated, batch: Batch, beam: int) -> tuple[list[Output], list[int]]:
        """The outputs of the different sources of a batch, and the place among them of each row's."""
        source = batch.x["source"].T.cpu().numpy()
        place: dict[bytes, int] = {}
        lengths = batch.lengths.tolist()
        which = [place.setdefault(row[:n].tobytes(), len(place)) for row, n in zip(source, lengths)]
        first = [which.index(k) for k in range(len(place))]
        limits = [self.units.limit(lengths[row]) for row in first]
        how = Search(self.mark, (UNKNOWN,), beam, outputs.network.length_penalty)
        most = max(1, MOST_SCORES // (beam * (self.mark + 1)))
        found: list[Output] = []
        for begin in range(0, len(first), most):
            some = torch.tensor(first[begin : begin + most])
            found += search(Hypotheses(outputs.of(some)), limits[begin : begin + most], how)
        return found, which

    def _alignments(
        self, outputs: Translated, batch: Batch, found: Sequence[Output], which: Sequence[int]
    ) -> list[np.ndarray] | None:
        """float32 [U, T] of each output: the weights of the units of its source; None without attention."""
        first = torch.tensor([which.index(k) for k in range(len(found))])
        steps = torch.tensor([max(1, len(output.units)) for output in found])
        rows = [np.array([self.mark, *output.units[:-1]], np.int64) for output in found]
        weights = outputs.of(first).weights(torch.from_numpy(padded(rows, np.int64)), steps)
        if weights is None:
            return None
        lengths = batch.lengths[first].tolist()
        return [weights[: len(o.units), :n, k].detach().cpu().numpy() for k, (o, n) in enumerate(zip(found, lengths))]

    def pieces(self, text: str) -> list[str]:
        """[U] the units of a translation, as a page shows them."""
        return self.units.target.pieces(_entries(self.units.target, text))

    def source_pieces(self, text: str) -> list[str]:
        """[T] the units of a source, as a page shows them; of an empty one its mark, an empty text."""
        return self.units.source.pieces(_entries(self.units.source, text)) or [""]

    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        targets = [str(text) for text in truth_of(truth, predictions)]
        sources = [str(text) for text in truth.inputs]
        return tally_of_translations(sources, targets, predictions.values, truth.groups)

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """Counts of sources and references, how the metrics are defined, and the units of both sides."""
        targets = [str(text) for text in truth_of(truth, predictions)]
        units = {"source_unit": self.units.source.unit, "target_unit": self.units.target.unit}
        return {**details_of_translations([str(text) for text in truth.inputs], targets), **units}

    def baselines(self) -> list[Baseline]:
        return for_translations()

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        return self.units.to_json()

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> Translate:
        return cls(PairUnits.from_json(files))


def _entries(units: TextUnits, text: object) -> np.ndarray:
    """int32 [N], with spaces of fixed width as plain ones."""
    return units.encode(plain_spaces(str(text)))
