"""Proves that a change to the code changes no bit: `python benchmarks/bits.py --against COMMIT`.

Prints `sha256  case` for outputs, states, gradients, records of the lens, files and texts, over cells, options and
layouts of a batch (`bit_cases/`). With --against, the same cases run on the working tree and on another commit, on this
machine, each with an empty cache of kernels, and what differs is printed; the exit status is then 1.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from bit_cases import Result

ROOT = Path(__file__).resolve().parent.parent
ABSENT = ("AttributeError", "ImportError", "ModuleNotFoundError", "TypeError")
"""What a case raises on a commit that does not have a name or an argument of it yet."""


@dataclass
class Comparison:
    """same: number of cases, `raised` those among them that raise; differs: lines on what is not the same; missing and
    new: names of cases without a result on one side."""

    same: int = 0
    raised: int = 0
    differs: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether anything that the older side had is not the same now."""
        return bool(self.differs or self.missing)

    def __str__(self) -> str:
        lines = [f"differs  {line}" for line in self.differs]
        lines += [f"missing  {name}" for name in self.missing] + [f"new      {name}" for name in self.new]
        same = f"{self.same} the same" + f" ({self.raised} of them an error)" * bool(self.raised)
        counts = f"{same}, {len(self.differs)} differ, {len(self.missing)} missing, {len(self.new)} new"
        return "\n".join([*lines, counts])


def compare(older: "Mapping[str, Result]", newer: "Mapping[str, Result]") -> Comparison:
    """Case by case; of a case that differs, the parts."""
    found = Comparison(missing=[name for name in older if name not in newer])
    for name, now in newer.items():
        then = older.get(name)
        if then is None or (then["error"].partition(":")[0] in ABSENT and not now["error"]):
            found.new.append(name)
        elif then["sha256"] == now["sha256"]:
            found.same += 1
            found.raised += bool(now["error"])
        elif then["error"] or now["error"]:
            found.differs.append(f"{name}: {then['error'] or 'a result'}, now {now['error'] or 'a result'}")
        else:
            every = dict.fromkeys([*then["parts"], *now["parts"]])
            parts = [part for part in every if then["parts"].get(part) != now["parts"].get(part)]
            found.differs.append(f"{name}: {', '.join(parts) or 'the order of its parts'}")
    return found


def run_share(pattern: str, share: int, shares: int, file: Path) -> None:
    """Runs every `shares`-th group of the cases that the pattern finds, in this process, and writes the results."""
    from bit_cases import cases, result

    import ostinato

    chosen = {name: case for name, case in cases().items() if re.search(pattern, name)}
    groups = list(dict.fromkeys(map(_group, chosen)))[share::shares]
    places = [(k, name) for k, name in enumerate(chosen) if _group(name) in groups]
    results = [(k, name, result(chosen[name])) for k, name in places]
    file.write_text(json.dumps({"package": ostinato.__file__, "results": results}), encoding="utf-8")


def _group(name: str) -> str:
    """What stands before the colon: cases that share kernels run in one process."""
    return name.partition(":")[0]


def run(source: Path, pattern: str, jobs: int) -> "dict[str, Result]":
    """The results with the package in `source`, from `jobs` processes with an empty cache of kernels."""
    with tempfile.TemporaryDirectory() as folder:
        paths = os.pathsep.join(filter(None, (str(source), os.environ.get("PYTHONPATH", ""))))
        environment = {**os.environ, "PYTHONPATH": paths, "OSTINATO_CACHE": str(Path(folder) / "kernels")}
        files = [Path(folder) / f"{share}.json" for share in range(jobs)]
        commands = [
            [sys.executable, __file__, "--only", pattern, "--share", f"{k}/{jobs}", "--json", str(file)]
            for k, file in enumerate(files)
        ]
        running = [subprocess.Popen(command, env=environment) for command in commands]
        try:
            failed = [process.wait() for process in running]
        finally:
            for process in running:
                process.kill()
                process.wait()
        if any(failed):
            refuse(f"a process with the package in {source} must end with status 0, got {failed}.")
        told = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    for each in told:
        if not Path(each["package"]).is_relative_to(source):
            refuse(f"the package must be the one in {source}, got {each['package']}.")
    ordered = sorted((each for share in told for each in share["results"]), key=lambda each: each[0])
    return {name: each for _, name, each in ordered}


def refuse(why: str) -> NoReturn:
    """Ends with status 2, which is no comparison's."""
    print(f"bits: {why}", file=sys.stderr)
    raise SystemExit(2)


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A working tree of a commit in a temporary folder, which is gone afterwards, whatever happens inside."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve() / "tree"
        added = _git("worktree", "add", "--detach", str(place), commit)
        if added.returncode:
            said = added.stderr.strip()
            refuse(f"--against must be a commit of this repository, got {commit}. git says: {said}")
        try:
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the hashes, or compare them with those of a commit."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", metavar="PATTERN", help="cases whose name this regular expression finds")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the results, part by part")
    options.add_argument("--against", metavar="COMMIT", help="compare the working tree with a commit")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; as many as there are cores")
    options.add_argument("--share", help=argparse.SUPPRESS)  # K/N: what a process of `run` is started with
    chosen = options.parse_args(arguments)
    if chosen.share:
        share, shares = map(int, chosen.share.split("/"))
        run_share(chosen.only, share, shares, chosen.json)
        return 0
    if not chosen.against:
        results = run(ROOT / "src", chosen.only, chosen.jobs)
        for name, each in results.items():
            print(f"{each['sha256']}  {name}" + (f"  raised {each['error']}" if each["error"] else ""))
    else:
        with checked_out(chosen.against) as tree:
            older = run(tree / "src", chosen.only, chosen.jobs)
        results = run(ROOT / "src", chosen.only, chosen.jobs)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if not chosen.against:
        return 0
    found = compare(older, results)
    print(found)
    return int(found.failed)


if __name__ == "__main__":
    # As Ctrl-C does: what was checked out is removed then too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
