"""Finished points in a file of JSON lines: written one by one, so that a run that was cut goes on where it stopped."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from measure import Timing
from shapes import Shape

import ostinato


@dataclass(frozen=True)
class Run:
    """What all points of one run share: machine, versions, peak FLOP/s, and a digest of the code that was timed."""

    number: int
    date: str
    environment: dict[str, Any]
    peak: dict[str, float]
    code: str

    @property
    def circumstances(self) -> str:
        """Equal for two runs whose points may stand for each other."""
        fixed = {key: value for key, value in self.environment.items() if not key.startswith("load")}
        return json.dumps([fixed, self.code], sort_keys=True)


@dataclass(frozen=True)
class Point:
    """One shape as it was timed, or why it was refused; `peers` in seconds."""

    shape: Shape
    run: Run
    timing: Timing | None = None
    refused: str = ""
    peers: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times faster than torch.nn."""
        assert self.timing is not None
        return self.timing.ratio

    @property
    def rate(self) -> float:
        """FLOP/s of our layer, multiply-adds of the products only."""
        assert self.timing is not None
        return self.shape.flops / self.timing.ours

    @property
    def share(self) -> float:
        """Of the peak that the same run measured."""
        return self.rate / self.run.peak["float32"]


class Record:
    """The file. The last line of a shape counts."""

    def __init__(self, path: Path):
        self.path = path
        self.runs: dict[int, Run] = {}
        self.points: dict[str, Point] = {}
        for line in self._lines():
            if "environment" in line:
                self._begun(Run(**line))
            else:
                self._take(line)

    def begin(self, **circumstances: Any) -> Run:
        """A new run, written down with its first point."""
        return Run(number=max(self.runs, default=0) + 1, **circumstances)

    def add(self, point: Point) -> None:
        """Write a point at once."""
        if point.run.number not in self.runs:
            self.runs[point.run.number] = point.run
            self._write(asdict(point.run))
        timing = asdict(point.timing) if point.timing else None
        line = {"run": point.run.number, "shape": asdict(point.shape), "timing": timing}
        line |= {"refused": point.refused} if point.refused else {}
        line |= {"peers": point.peers} if point.peers else {}
        self._write(line)
        self._take(json.loads(json.dumps(line)))

    def raise_peak(self, run: Run, scalar: str, peak: float) -> Run:
        """A burst during the run was faster than all before: the peak of the whole run, for its earlier points too."""
        if peak <= run.peak[scalar]:
            return run
        risen = replace(run, peak={**run.peak, scalar: peak})
        if run.number in self.runs:
            self._write(asdict(risen))
            self._begun(risen)
        return risen

    def finished(self, shape: Shape, run: Run, older: bool) -> bool:
        """Whether the shape was timed under the same circumstances; with `older`, under any."""
        point = self.points.get(shape.name)
        if point is None or point.timing is None:
            return False
        return older or point.run.circumstances == run.circumstances

    def timed(self) -> list[Point]:
        """All points that have a timing."""
        return [point for point in self.points.values() if point.timing]

    def _begun(self, run: Run) -> None:
        self.runs[run.number] = run
        for name, point in self.points.items():
            if point.run.number == run.number:
                self.points[name] = replace(point, run=run)

    def _take(self, line: dict[str, Any]) -> None:
        shape, timing = Shape(**line["shape"]), line["timing"]
        found = Timing(**timing) if timing else None
        self.points[shape.name] = Point(
            shape, self.runs[line["run"]], found, line.get("refused", ""), line.get("peers", {})
        )

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").split("\n")
        if lines[-1]:
            # A run that was killed while it wrote: the half line goes, so that the next one begins on its own.
            self.path.write_text("".join(line + "\n" for line in lines[:-1]), encoding="utf-8")
        yield from map(json.loads, lines[:-1])

    def _write(self, line: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def code_digest() -> str:
    """Changes with any source file that decides what is timed: the cells, the kernels, the layers."""
    package, digest = Path(ostinato.__file__).parent, hashlib.sha256()
    for path in sorted(path for part in ("cells", "kernels", "layers") for path in (package / part).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
