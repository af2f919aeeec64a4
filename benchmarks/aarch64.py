"""The library itself on aarch64, under emulation: kernels compiled and run there, training too.

    python benchmarks/aarch64.py [--only PATTERN] [--setup-only] [--write docs/design/bit-equal.md]

Needs qemu-aarch64 and mmdebstrap, and asks for nothing: what is missing of the emulated Python is installed, 80 MB of
Debian and 180 MB of wheels, 800 MB on disk, in $OSTINATO_EMULATED, else ostinato/emulated in the user's cache folder.
Deleting that folder undoes it. Then the same layers and streams run here and there (`aarch64_cases.py`), which takes
some minutes: the SHA-256 of every output and gradient is compared, and the distance from torch.nn or the reference is
held to its bound. A whole run is recorded in benchmarks/results/. Fails where a bit differs or a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from aarch64_python import emulator, folder, refuse, run, set_up
from record import code_digest
from report import fill, markdown_table

BENCHMARKS = Path(__file__).resolve().parent
RECORD = BENCHMARKS / "results" / "emulated-aarch64.json"
HEAD = ["layer or stream", "tensors", "equal in every bit", "error of outputs", "of gradients"]


@dataclass(frozen=True)
class Row:
    """One case: tensors compared, names of those that differ, errors on aarch64 and their bounds."""

    name: str
    tensors: int
    differs: list[str]
    errors: list[float | None]
    bounds: list[float]

    @property
    def good(self) -> bool:
        """Whether every bit is equal and every error within its bound."""
        return not self.differs and all(e is None or e <= b for e, b in zip(self.errors, self.bounds, strict=True))

    @property
    def line(self) -> list[str]:
        """Its line of the table."""
        errors = ["–" if e is None else f"{e:.1e} of {b:.0e}" for e, b in zip(self.errors, self.bounds, strict=True)]
        return [self.name, f"{self.tensors}", f"{self.tensors - len(self.differs)}", *errors]


def compare(here: dict[str, Any], there: dict[str, Any]) -> list[Row]:
    """Case by case; `there` is what aarch64 gave."""
    if list(here) != list(there):
        refuse(f"both sides must compute {', '.join(here)}; aarch64 computed {', '.join(there)}.")
    rows = []
    for name, found in there.items():
        parts = here[name]["parts"]
        differs = [part for part in {**parts, **found["parts"]} if parts.get(part) != found["parts"].get(part)]
        rows.append(Row(name, len(parts), differs, found["errors"], found["bounds"]))
    return rows


def computed(place: Path, pattern: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What this machine and the emulated one computed."""
    script, paths = str(BENCHMARKS / "aarch64_cases.py"), (BENCHMARKS.parent / "src", BENCHMARKS)
    with tempfile.TemporaryDirectory() as temporary:
        files = [Path(temporary) / name for name in ("here.json", "there.json")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        command = [sys.executable, script, pattern, str(files[0])]
        status = [subprocess.run(command, env=environment, check=False).returncode]
        status.append(run(place, paths, [script, pattern, str(files[1])]))
        if any(status):
            refuse(f"both sides must end with status 0, got {status[0]} here and {status[1]} on aarch64.")
        here, there = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    return here, there


def told(record: dict[str, Any]) -> str:
    """The page's part: the table, and under what it was made."""
    rows = [Row(**row) for row in record["rows"]]
    sides = [
        f"{side['machine']} ({side['target']}, {side['lanes']} lanes of float32), torch {side['torch']}, "
        f"llvmlite {side['llvmlite']}, numpy {side['numpy']}, Python {side['python']}"
        for side in (record["here"], record["there"])
    ]
    lines = [*markdown_table(HEAD, [row.line for row in rows]), ""]
    lines.append(f"{record['date']}, run under emulation, not on hardware: {record['emulator']}. Here: {sides[0]}.")
    lines.append(f"There: {sides[1]}. Sources {record['code']}.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Sets up, runs, prints and records; 1 where something differs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--setup-only", action="store_true", help="install what is missing, and run nothing")
    options.add_argument("--only", default="", metavar="PATTERN", help="cases whose name it finds; records nothing")
    options.add_argument("--write", type=Path, metavar="PAGE", help="also put the table between the page's markers")
    chosen = options.parse_args(arguments)
    place = folder()
    set_up(place)
    if chosen.setup_only:
        return 0
    here, there = computed(place, chosen.only)
    rows = compare(here["cases"], there["cases"])
    if not rows:
        refuse(f"--only must be found in the name of a case, got {chosen.only!r}.")
    record = {
        "date": date.today().isoformat(),
        "emulator": emulator(),
        "code": code_digest(),
        "here": here["environment"],
        "there": there["environment"],
        "rows": [vars(row) for row in rows],
    }
    if not chosen.only:
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        if chosen.write:
            fill(chosen.write, "aarch64", told(record))
    wrong = [f"{row.name}: {', '.join(row.differs) or 'an error past its bound'}" for row in rows if not row.good]
    print("\n".join(["", told(record), "", *wrong, f"{len(wrong)} of {len(rows)} differ"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
