"""Which runs of the lab will learn, foretold: correlations task by task, and minutes saved by an early word.

    python benchmarks/foresight.py --train      trains the test set: about 15 minutes on two cores
    python benchmarks/foresight.py --measure    measures all runs: about 5 minutes on two cores
"""

from __future__ import annotations

import argparse
from pathlib import Path

import foresight_runs


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", action="store_true", help="train the runs of the test set")
    parser.add_argument("--measure", action="store_true", help="measure all runs anew")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--folder", type=Path, default=Path("ostinato-lab-lag-test"), help="of unfinished trainings")
    given = parser.parse_args()
    if given.train:
        foresight_runs.train(given.folder, given.workers)
    if given.measure:
        foresight_runs.measure(given.workers)


if __name__ == "__main__":
    main()
