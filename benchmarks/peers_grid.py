"""JAX and ONNX Runtime beside our layers at every shape of the grid with T·B ≥ 20: about twenty minutes.

    python benchmarks/peers_grid.py [--only TEXT] [--seconds 0.1] [--write docs/performance.md]

At each shape our layer is timed first, and then each peer: the threads of a peer wait for work by reading a counter,
which takes a core from whoever is timed beside it. A ratio is the peer's median time of a call over ours. A peer whose
results differ from torch.nn's is not timed. ONNX Runtime runs inference alone; a session of it holds packed weights
that never change, a layer reads its weights at every call.
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

from measure import check, in_turns, job, material, pair
from peers import MAKERS, PEERS, installed
from report import fill, markdown_table, mean, measured
from shapes import GRID, KINDS, Shape

from ostinato.kernels.system.target import host

PAUSE = 0.02
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

    @property
    def ratio(self) -> float:
        """How many times faster than the peer."""
        return self.theirs / self.ours


def shapes(only: str) -> list[Shape]:
    """Those of the grid that are compared, from zero states, which all peers take."""
    chosen = [Shape(**{**asdict(s), "from_state": False}) for s in GRID if s.steps * s.batch >= 20]
    return [s for s in chosen if only.lower() in s.name.lower()]


def lines(shape: Shape, names: Sequence[str], seconds: float) -> Iterator[Line]:
    """Ours beside each peer."""
    ours, theirs = pair(shape)
    right = {name: value.clone() for name, value in job(theirs, shape)().items()}
    own = _milliseconds(job(ours, shape), seconds)
    for name in names:
        peer = MAKERS[name](shape, theirs, material(shape))
        check(shape, peer.read(peer.call()), right)
        yield Line(shape.name, name, shape.kind, shape.training, own, _milliseconds(peer.call, seconds))


def _milliseconds(call: Callable[[], object], seconds: float) -> float:
    """The median of three blocks, each after a pause."""
    blocks = []
    for _ in range(3):
        time.sleep(PAUSE)
        blocks.append(statistics.median(in_turns([call], seconds, 3)[0]))
    return 1e3 * statistics.median(blocks)


def tables(found: Sequence[Line]) -> list[str]:
    """Means by cell and mode, then every shape at which a peer is faster."""
    ways = [(name, training) for name in PEERS for training in (False, True)]
    ways = [way for way in ways if any((x.peer, x.training) == way for x in found)]
    heads = ["times", *(f"{PEERS[name]}, {'training' if training else 'inference'}" for name, training in ways)]
    rows: list[list[str]] = []
    for kind in KINDS:
        row: list[str] = [kind]
        for way in ways:
            ratios = [x.ratio for x in found if x.kind == kind and (x.peer, x.training) == way]
            count = sum(ratio < 1 for ratio in ratios)
            row.append(f"{mean(ratios):.2f}, {count} of {len(ratios)} below 1" if ratios else "")
        rows.append(row)
    slower = sorted((x for x in found if x.ratio < 1), key=lambda x: x.ratio)
    below = [[x.shape, PEERS[x.peer], f"{x.ratio:.2f}", f"{x.ours:.3f}", f"{x.theirs:.3f}"] for x in slower]
    return [
        *markdown_table(heads, rows),
        "",
        *markdown_table(["where a peer is faster", "peer", "ratio", "ostinato ms", "peer ms"], below),
    ]


def main() -> int:
    """Prints each line as it is timed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", help="shapes whose name contains this")
    options.add_argument("--seconds", type=float, default=0.1, help="of each of the six blocks of a shape and peer")
    options.add_argument("--write", type=Path, help="a page with the markers of `peers`")
    chosen = options.parse_args()
    found: list[Line] = []
    for shape in shapes(chosen.only):
        names = [n for n in installed() if n == "jax" or (n == "onnxruntime" and not shape.training)]
        for line in lines(shape, names, chosen.seconds):
            found.append(line)
            print(f"{line.shape}: {line.ratio:.2f} times {PEERS[line.peer]}, {line.ours:.3f} ms", flush=True)
    if chosen.write:
        RECORD.write_text("".join(json.dumps(asdict(line)) + "\n" for line in found), encoding="utf-8")
        versions = ", ".join(f"{PEERS[n]} {v}" for n, v in installed().items() if any(x.peer == n for x in found))
        fill(chosen.write, "peers", measured([*tables(found), "", f"Peers: {versions}."]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
