"""JAX and ONNX Runtime beside our layers at every shape of the grid with T·B ≥ 20: about half an hour.

    python benchmarks/peers_grid.py [--only TEXT] [--seconds 0.1] [--peers jax] [--write docs/performance.md]

At each shape our layer is timed first, and then each peer: the threads of a peer wait for work by reading a counter,
which takes a core from whoever is timed beside it. A ratio is the peer's median time of a call over ours. A peer whose
results differ from torch.nn's is not timed; rows in which a ReLU's sum is 0 but for rounding have no gradient, as in
the grid. ONNX Runtime runs inference alone; a session of it holds packed weights that never change, while a layer packs
its weights at every call. So inference is timed in both ways: as any call, and inside `ostinato.prepacked`, which holds
packed weights as a session does. Each shape is recorded when it is timed, and the same command goes on where it was
stopped; delete the record to time all of them again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from measure import check, in_turns, job, material, pair, turned
from peers import MAKERS, PEERS, installed
from report import fill, markdown_table, mean, measured
from shapes import GRID, KINDS, Shape

import ostinato
from ostinato.kernels.system.target import host

PAUSE = 0.02
MODES = ("inference", "prepacked inference", "training")
RECORD = Path(__file__).parent / "results" / f"peers-{host().name}.jsonl"


@dataclass(frozen=True)
class Line:
    """One shape and one peer: milliseconds of a call."""

    shape: str
    peer: str
    kind: str
    training: bool
    ours: float
    theirs: float
    prepacked: float | None = None
    """Ours inside `ostinato.prepacked`; None in training."""

    @property
    def ratio(self) -> float:
        """How many times faster than the peer."""
        return self.theirs / self.ours

    @property
    def prepacked_ratio(self) -> float:
        """The same inside `ostinato.prepacked`; in training `ratio`."""
        return self.ratio if self.prepacked is None else self.theirs / self.prepacked


def shapes(only: str) -> list[Shape]:
    """Those of the grid that are compared, from zero states, which all peers take."""
    chosen = [Shape(**{**asdict(s), "from_state": False}) for s in GRID if s.steps * s.batch >= 20]
    return [s for s in chosen if only.lower() in s.name.lower()]


def lines(shape: Shape, names: Sequence[str], seconds: float) -> Iterator[Line]:
    """Ours beside each peer."""
    ours, theirs = pair(shape)
    right = {name: value.clone() for name, value in job(theirs, shape)().items()}
    own, held = _milliseconds(job(ours, shape), seconds), None
    if not shape.training:
        with ostinato.prepacked(ours):
            check(shape, job(ours, shape)(), right)
            held = _milliseconds(job(ours, shape), seconds)
    for name in names:
        peer = MAKERS[name](shape, theirs, material(shape))
        found = peer.read(peer.call())
        if unseen := turned(shape, found, right):
            given = material(shape)
            given.from_above[:, unseen] = 0
            checked = MAKERS[name](shape, theirs, given)
            check(shape, checked.read(checked.call()), job(theirs, shape, unseen)())
        else:
            check(shape, found, right)
        theirs_ms = _milliseconds(peer.call, seconds)
        yield Line(shape.name, name, shape.kind, shape.training, own, theirs_ms, held)


def _milliseconds(call: Callable[[], object], seconds: float) -> float:
    """The median of three blocks, each after a pause."""
    blocks = []
    for _ in range(3):
        time.sleep(PAUSE)
        blocks.append(statistics.median(in_turns([call], seconds, 3)[0]))
    return 1e3 * statistics.median(blocks)


def tables(found: Sequence[Line]) -> list[str]:
    """Means by cell and mode, then every shape at which a peer is faster."""
    ways = [(name, mode) for name in PEERS for mode in MODES]
    ways = [way for way in ways if any(way in of_line(x) for x in found)]
    heads = ["times", *(f"{PEERS[name]}, {mode}" for name, mode in ways)]
    rows: list[list[str]] = []
    for kind in KINDS:
        row: list[str] = [kind]
        for way in ways:
            ratios = [of_line(x)[way] for x in found if x.kind == kind and way in of_line(x)]
            count = sum(ratio < 1 for ratio in ratios)
            row.append(f"{mean(ratios):.2f}, {count} of {len(ratios)} below 1" if ratios else "")
        rows.append(row)
    slower = sorted((x for x in found if min(x.ratio, x.prepacked_ratio) < 1), key=lambda x: x.prepacked_ratio)
    heads_below = ["where a peer is faster", "peer", "ratio", "prepacked", "ostinato ms", "prepacked ms", "peer ms"]
    below = [
        [
            *(x.shape, PEERS[x.peer], f"{x.ratio:.2f}", "" if x.prepacked is None else f"{x.prepacked_ratio:.2f}"),
            *(f"{x.ours:.3f}", "" if x.prepacked is None else f"{x.prepacked:.3f}", f"{x.theirs:.3f}"),
        ]
        for x in slower
    ]
    return [*markdown_table(heads, rows), "", *markdown_table(heads_below, below)]


def of_line(line: Line) -> dict[tuple[str, str], float]:
    """(peer, one of MODES) → ratio."""
    if line.prepacked is None:
        return {(line.peer, "training"): line.ratio}
    return {(line.peer, "inference"): line.ratio, (line.peer, "prepacked inference"): line.prepacked_ratio}


def recorded() -> list[Line]:
    """The lines of the record."""
    if not RECORD.exists():
        return []
    return [Line(**json.loads(line)) for line in RECORD.read_text(encoding="utf-8").splitlines()]


def main() -> int:
    """Prints each line as it is timed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", help="shapes whose name contains this")
    options.add_argument("--seconds", type=float, default=0.1, help="of each of the six blocks of a shape and peer")
    options.add_argument("--peers", default="jax,onnxruntime", help="which of them")
    options.add_argument("--write", type=Path, help="a page with the markers of `peers`")
    chosen = options.parse_args()
    found = recorded()
    known = {(line.shape, line.peer) for line in found}
    for shape in shapes(chosen.only):
        names = [n for n in installed() if n in chosen.peers.split(",") and (n == "jax" or not shape.training)]
        names = [n for n in names if (shape.name, n) not in known]
        if not names:
            continue
        for line in lines(shape, names, chosen.seconds):
            found.append(line)
            with RECORD.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(line)) + "\n")
            held = "" if line.prepacked is None else f", prepacked {line.prepacked_ratio:.2f}"
            print(f"{line.shape}: {line.ratio:.2f} times {PEERS[line.peer]}{held}, {line.ours:.3f} ms", flush=True)
    if chosen.write:
        versions = ", ".join(f"{PEERS[n]} {v}" for n, v in installed().items() if any(x.peer == n for x in found))
        fill(chosen.write, "peers", measured([*tables(found), "", f"Peers: {versions}."]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
