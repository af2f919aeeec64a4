"""How much of generated text is also in the training text: runs of units that a model may have memorised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import OstinatoError
from ..data.examples import Examples
from ..options import DataOptions
from .evaluate import rows_again

CHARACTERS, WORDS = 8, 4
"""Of a run: characters where the units are characters, else words."""


@dataclass(frozen=True)
class Memorised:
    """What of N samples is in the training texts; None where that cannot be said."""

    runs: int
    """Runs of the samples, each as often as it is there."""
    inside: int
    """Those of them that the training texts have."""
    noun: str
    """Of a run: 8 characters, 4 words."""
    items: int | None = None
    """Samples that are, whole, items of the training rows; None where rows are no items."""
    samples: int = 0

    def sentence(self) -> str:
        """What was found, in words."""
        parts = []
        if self.items is not None:
            parts.append(f"{self.items} of {self.samples} samples are items of the training rows")
        if self.runs:
            share = 100 * self.inside / self.runs
            parts.append(f"{self.inside} of {self.runs} runs of {self.noun} ({share:.0f} %) are in the training text")
        elif self.items is None:
            parts.append(f"no sample has a run of {self.noun} to look for in the training text")
        return "; ".join(parts) + "."

    def content(self) -> dict[str, Any]:
        """The same for --json."""
        share = self.inside / self.runs if self.runs else None
        return {
            "run": self.noun,
            "runs": self.runs,
            "in_training": self.inside,
            "share": share,
            "items_in_training": self.items,
        }


def training_rows(
    options: DataOptions,
    sources: Sequence[Mapping[str, Any]],
    without: str = "samples are not compared with the training text",
) -> tuple[Examples | None, str]:
    """The training rows, read again and compared by hash, and what there is to say: why there are none, or a limit.

    without  what is not done where there are none
    """
    missing = [Path(path) for path in options.paths if not Path(path).exists()]
    if missing:
        return None, f"{missing[0]} is not there any more, so {without}."
    try:
        examples, parts = rows_again(options, sources)
    except OstinatoError as error:
        return None, f"{without[0].upper()}{without[1:]}: {error}"
    hashed = all(known.get("sha256") for known in sources)
    said = (
        ""
        if hashed
        else "The folder keeps no hash of the training file, so the samples are compared with the file as it is now."
    )
    return examples.take(parts.train), said


def memorised(samples: Sequence[str], train: Examples, unit: str) -> Memorised:
    """Runs of the samples that training texts have; runs do not cross from one text to the next."""
    letters = unit == "char"
    runs = [run for sample in samples for run in _runs(sample, letters)]
    sought, found = set(runs), set()
    items = train.kind in ("given", "features")
    texts = train.targets if items else [passage.text for passage in train.inputs]
    for text in texts or ():
        whole = str(text) if letters else f" {' '.join(str(text).split())} "
        found |= {run for run in sought if run in whole}
        sought -= found
        if not sought:
            break
    noun = f"{CHARACTERS} characters" if letters else f"{WORDS} words"
    known = set(map(str, train.targets or ())) if items else set()
    count = sum(sample in known for sample in samples) if items else None
    return Memorised(len(runs), sum(run in found for run in runs), noun, count, len(samples))


def _runs(text: str, letters: bool) -> list[str]:
    if letters:
        return [text[k : k + CHARACTERS] for k in range(len(text) - CHARACTERS + 1)]
    words = text.split()
    return [f" {' '.join(words[k : k + WORDS])} " for k in range(len(words) - WORDS + 1)]
