"""Ragged batches beside full ones and beside torch.nn: `python benchmarks/ragged.py`, about four minutes.

Each case is one call on T = 512, B = 32, C = H with lengths=, the same layer's call on the full batch, and torch.nn's
on pack_padded_sequence and back. Values and gradients of the two ragged calls must agree before anything is timed;
then all three take turns. "for its steps" is what a step of a row costs beside one in the full batch:

    (ragged time / full time) / (sum of lengths / (T·B))        the target is at most 1.25

"times torch.nn" is torch.nn's time over ours; the targets are 5 for training an LSTM and 4 for a GRU with H = 256.
"""

import argparse
import gzip
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

import torch
from measure import check, in_turns, pair
from report import fill, markdown_table, measured
from rich.console import Console
from shapes import Kind, Shape
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

STEPS, BATCH = 512, 32
REVIEWS = (
    *(45, 61, 78, 95, 107, 114, 119, 124, 129, 133, 138, 143, 149, 155, 162, 169),
    *(177, 186, 196, 207, 220, 234, 250, 270, 292, 316, 348, 384, 433, 500, 603, 824),
)
"""Words of reviews: 32 quantiles of the 50,000 of the Large Movie Review Dataset v1.0 (A. Maas et al., 2011)."""


def uniform() -> list[int]:
    """Lengths drawn from 1 … T, the longest being T, so that the full batch has no step too many."""
    drawn = torch.randint(1, STEPS + 1, (BATCH,), generator=torch.Generator().manual_seed(0))
    return [STEPS, *drawn[1:].tolist()]


def reviews(words: Sequence[int] = REVIEWS) -> list[int]:
    """Lengths of a batch of reviews cut off at T words, in an order drawn once."""
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1)).tolist()
    return [min(words[k], STEPS) for k in order]


def words_of(path: Path) -> list[int]:
    """32 quantiles of the words of the reviews in a gzipped file of JSON lines, each with a "text"."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        counts = sorted(len(json.loads(line)["text"].split()) for line in lines)
    return [counts[int((k + 0.5) / BATCH * len(counts))] for k in range(BATCH)]


LENGTHS: dict[str, Callable[[], list[int]]] = {
    "uniform": uniform,
    "uniform, sorted": lambda: sorted(uniform(), reverse=True),
    "reviews": reviews,
    "reviews, sorted": lambda: sorted(reviews(), reverse=True),
    "one long row": lambda: [1] * (BATCH - 1) + [STEPS],
}
"""Name → lengths. The last is the worst case: nearly all steps have one row, and a processor is made for many."""


@dataclass(frozen=True)
class Case:
    """One benchmark."""

    kind: Kind
    training: bool
    hidden: int
    lengths: str

    @property
    def shape(self) -> Shape:
        """The full batch."""
        return Shape(self.kind, self.training, STEPS, BATCH, self.hidden, self.hidden)

    @property
    def name(self) -> str:
        """Such as "LSTM train H256 uniform"."""
        return f"{self.kind} {'train' if self.training else 'infer'} H{self.hidden} {self.lengths}"


RAGGED_KINDS: tuple[Kind, ...] = ("LSTM", "GRU")
CASES = [
    Case(kind, training, hidden, lengths)
    for hidden, kind, training, lengths in product((64, 256), RAGGED_KINDS, (True, False), LENGTHS)
]


@dataclass(frozen=True)
class Found:
    """Median seconds of one call, and the share of the full batch's steps that the rows have."""

    ragged: float
    full: float
    torchs: float
    share: float
    calls: int

    @property
    def for_its_steps(self) -> float:
        """What a step of a row costs beside one of the full batch."""
        return self.ragged / self.full / self.share

    @property
    def times_torch(self) -> float:
        """How many times faster than torch.nn."""
        return self.torchs / self.ragged


def jobs(case: Case, lengths: list[int]) -> list[Callable[[], dict[str, Tensor]]]:
    """The three calls as they are timed: ours with lengths, ours on the full batch, torch.nn's on packed rows."""
    ours, theirs = pair(case.shape)
    torch.manual_seed(1)
    x = torch.randn(STEPS, BATCH, case.hidden, requires_grad=case.training)
    above = torch.randn(STEPS, BATCH, case.hidden)
    known = torch.tensor(lengths)
    ready = lengths == sorted(lengths, reverse=True)

    def packed(layer: nn.Module) -> tuple[Tensor, object]:
        output, state = layer(pack_padded_sequence(x, known, enforce_sorted=ready))
        return pad_packed_sequence(output, total_length=STEPS)[0], state

    def job(layer: nn.Module, call: Callable[[nn.Module], tuple[Tensor, object]]) -> Callable[[], dict[str, Tensor]]:
        wanted = [("x", x), *layer.named_parameters()]

        def infer() -> dict[str, Tensor]:
            with torch.inference_mode():
                return {"output": call(layer)[0]}

        def train() -> dict[str, Tensor]:
            for _, tensor in wanted:
                tensor.grad = None
            output, _ = call(layer)
            output.backward(above)
            return {"output": output.detach()} | {f"gradient {n}": t.grad for n, t in wanted if t.grad is not None}

        return train if case.training else infer

    return [job(ours, lambda layer: layer(x, lengths=known)), job(ours, lambda layer: layer(x)), job(theirs, packed)]


def measure(case: Case, seconds: float, least: int = 5) -> Found:
    """Check, then time in turns; raises Unequal where the two ragged calls differ."""
    lengths = LENGTHS[case.lengths]()
    calls = jobs(case, lengths)
    found, expected = ({name: t.clone() for name, t in calls[k]().items()} for k in (0, 2))
    check(case.shape, found, expected)
    turns = in_turns(calls, seconds, least)
    ragged, full, torchs = map(median, turns)
    return Found(ragged, full, torchs, sum(lengths) / (STEPS * BATCH), len(turns[0]))


def rows(found: dict[Case, Found]) -> Iterator[tuple[str, ...]]:
    """For a table."""
    for case, each in found.items():
        times = (f"{t * 1e3:.2f}" for t in (each.ragged, each.full, each.torchs))
        yield case.name, f"{each.share:.3f}", *times, f"{each.for_its_steps:.2f}", f"{each.times_torch:.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table of all cases, the machine and the versions; and write them where --write says."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--only", nargs="*", default=[], metavar="WORD", help="cases whose names have all; writes nothing"
    )
    options.add_argument("--write", type=Path, metavar="PAGE", help="also put the table between the page's markers")
    options.add_argument("--seconds", type=float, default=6.0, help="for each case")
    options.add_argument("--reviews", type=Path, metavar="FILE", help="gzipped JSON lines with texts to count words of")
    chosen = options.parse_args(arguments)
    if chosen.reviews:
        words = words_of(chosen.reviews)
        LENGTHS["reviews"] = lambda: reviews(words)
        LENGTHS["reviews, sorted"] = lambda: sorted(reviews(words), reverse=True)
    console, found = Console(width=160), {}
    headings = ("case", "share of steps", "ragged ms", "full ms", "torch.nn ms", "for its steps", "times torch.nn")
    console.print(*markdown_table(headings, []), sep="\n", highlight=False)
    for case in (c for c in CASES if all(word in c.name for word in chosen.only)):
        found[case] = measure(case, chosen.seconds)
        console.print(markdown_table(headings, rows({case: found[case]}))[-1], highlight=False)
    page = measured(markdown_table(headings, rows(found)))
    console.print(page.splitlines()[-1], highlight=False, soft_wrap=True)
    if chosen.write and not chosen.only:
        fill(chosen.write, "ragged", page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
