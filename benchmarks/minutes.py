"""Whether `ostinato train --minutes M` ends in M minutes: on a quiet machine and beside processes that use every core.

    python benchmarks/minutes.py [--minutes 0.5,1,2] [--load 0,2,4]

Every run is a process of its own on made texts, imports, compiling, baselines and report included. It is kept where it
takes at most 10 % or 10 s, whichever is more, longer than asked.
"""

from __future__ import annotations

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ostinato.apps.environment import environment

WORDS = [f"word{k}" for k in range(2000)]
ROWS = 4000


@dataclass(frozen=True)
class Timed:
    """One run."""

    minutes: float
    load: int
    """Processes that used a core each meanwhile."""
    seconds: float
    status: int

    @property
    def late(self) -> float:
        """Seconds beyond what was asked."""
        return self.seconds - 60 * self.minutes

    @property
    def kept(self) -> bool:
        return self.late <= max(10.0, 0.1 * 60 * self.minutes)


def made_file(folder: Path) -> Path:
    """Texts of 20 to 200 words, whose class is the one of the words "good" and "bad" that comes last."""
    draw = random.Random(0)
    path = folder / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for _ in range(ROWS):
            words = draw.choices(WORDS, k=draw.randint(20, 200))
            for word in draw.sample(["good", "bad"], 2):
                words.insert(draw.randrange(len(words)), word)
            last = max(("good", "bad"), key=lambda w: max(k for k, v in enumerate(words) if v == w))
            writer.writerow([" ".join(words), last])
    return path


def timed(path: Path, minutes: float, load: int) -> Timed:
    """One run beside `load` busy processes."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(load)]
    try:
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "ostinato", "train", str(path), "--target", "label", "--text", "text"]
            command += ["--minutes", str(minutes), "--out", str(Path(out) / "model"), "--quiet"]
            began = time.monotonic()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return Timed(minutes, load, time.monotonic() - began, done.returncode)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def report(runs: list[Timed]) -> str:
    """The table."""
    lines = ["| asked, s | busy processes beside | took, s | late, s | kept |", "|---:|---:|---:|---:|---|"]
    for r in runs:
        kept = "yes" if r.kept else "no"
        lines.append(f"| {60 * r.minutes:.0f} | {r.load} | {r.seconds:.1f} | {r.late:+.1f} | {kept} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", default="0.5,1,2")
    parser.add_argument("--load", default="0,2,4")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = made_file(Path(folder))
        runs = []
        for load in map(int, chosen.load.split(",")):
            for minutes in map(float, chosen.minutes.split(",")):
                runs.append(timed(path, minutes, load))
                print(report(runs[-1:]).splitlines()[-1], flush=True)
    print()
    print(report(runs))
    print("\n" + ", ".join(f"{k}: {v}" for k, v in environment().items()))
    sys.exit(0 if all(r.kept and r.status in (0, 1) for r in runs) else 1)


if __name__ == "__main__":
    main()
