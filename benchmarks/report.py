"""Tables from timed points: targets beside what was measured, regimes, every point; as Markdown and for a page."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from peers import PEERS
from record import Point, Run
from shapes import GRID, KINDS, Kind

from ostinato.apps.environment import environment

RATIO_FLOOR = 0.97
Family = Callable[[Kind], str]

FACTORS: dict[tuple[str, bool], dict[str, float]] = {
    ("small", True): {"GRU": 8, "RNN": 5, "LSTM": 2},
    ("small", False): {"GRU": 5, "RNN": 3, "LSTM": 2},
    ("middle", True): {"GRU": 4, "RNN": 3, "LSTM": 1.4},
}
"""(regime, training) → family → geometric mean of ratios to torch.nn that is the target."""
SHARES = {False: (0.80, 0.90), True: (0.72, 0.80)}
"""training → (target, aim) as a share of the peak, at every large shape."""
GRU_AIM = 6


def mean(values: Iterable[float]) -> float:
    """The geometric mean; NaN of nothing."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; all columns but the first stand to the right."""
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def mode(training: bool) -> str:
    """As the tables say it."""
    return "training" if training else "inference"


def targets(points: Sequence[Point]) -> list[tuple[str, str, str, str, str]]:
    """(target, what must be, what was measured, met, points of those that it speaks of) of each target and aim."""
    rows = []

    def row(what: str, must: str, found: str, met: bool, count: int, of: int | None) -> None:
        said = "" if not count else ("yes" if met else "no") + ("" if of is None or count == of else ", so far")
        rows.append((what, must, found if count else "not timed", said, f"{count}" + (f" of {of}" if of else "")))

    ratios = [point.ratio for point in points]
    slower = sum(ratio < RATIO_FLOOR for ratio in ratios)
    worst = min(points, key=lambda point: point.ratio, default=None)
    found = f"{worst.ratio:.2f} at {worst.shape.name}; {slower} below" if worst else ""
    row("nowhere slower than torch.nn", f"≥ {RATIO_FLOOR}", found, not slower, len(points), None)
    for (regime, training), families in FACTORS.items():
        for family, factor in families.items():
            chosen = of_grid(points, regime, training, family)
            value, what = mean(p.ratio for p in chosen), f"{regime}, {family}, {mode(training)}: times torch.nn"
            row(what, f"≥ {factor}", f"{value:.2f}", value >= factor, len(chosen), _count(regime, training, family))
    for training, shares in SHARES.items():
        chosen = of_grid(points, "large", training)
        low = min(chosen, key=lambda point: point.share, default=None)
        found = f"{low.share:.0%} at {low.shape.name}; mean {mean(p.share for p in chosen):.0%}" if low else ""
        for word, share in zip(("target", "aim"), shares, strict=True):
            what = f"large, {mode(training)}: share of peak" + (", aim" if word == "aim" else "")
            met = low is not None and low.share >= share
            row(what, f"≥ {share:.0%}", found, met, len(chosen), _count("large", training))
    chosen = [p for p in points if p.shape.kind == "GRU" and p.shape in GRID]
    value, every = mean(p.ratio for p in chosen), sum(shape.kind == "GRU" for shape in GRID)
    row("GRU, all sizes: times torch.nn, aim", f"≥ {GRU_AIM}", f"{value:.2f}", value >= GRU_AIM, len(chosen), every)
    for name, label in PEERS.items():
        chosen = [p for p in points if name in p.peers and p.shape.steps * p.shape.batch >= 20]
        leads = [(p.peers[name] / p.timing.ours, p.shape.name) for p in chosen if p.timing]
        least = min(leads, default=(math.nan, ""))
        found = f"{least[0]:.2f} at {least[1]}; mean {mean(ratio for ratio, _ in leads):.2f}"
        row(f"times {label}, where T·B ≥ 20, aim", "> 1", found, least[0] > 1, len(chosen), None)
    return rows


def of_grid(points: Iterable[Point], regime: str, training: bool, family: str = "") -> list[Point]:
    """The points of the grid in a regime; `family` is the first word of a kind."""
    wanted = [p for p in points if p.shape.regime == regime and p.shape.training == training and p.shape in GRID]
    return [p for p in wanted if p.shape.kind.startswith(family)]


def _count(regime: str, training: bool, family: str = "") -> int:
    chosen = [s for s in GRID if s.regime == regime and s.training == training]
    return sum(s.kind.startswith(family) for s in chosen)


def regimes(points: Sequence[Point]) -> list[str]:
    """Ratio to torch.nn and share of peak: regime and mode by kind, geometric means over the grid."""
    rows = []
    for regime in ("small", "middle", "large", ""):
        for training in (False, True):
            row = [f"{regime or 'between'}, {mode(training)}"]
            for kind in KINDS:
                chosen = of_grid(points, regime, training, kind)
                shown = f"{mean(p.ratio for p in chosen):.2f} · {mean(p.share for p in chosen):.0%}" if chosen else ""
                row.append(shown)
            rows.append(row)
    return markdown_table(["times torch.nn · share of peak", *KINDS], rows)


def every_point(points: Iterable[Point]) -> list[str]:
    """One line for each point, in the order of kind, mode and size."""
    ordered = sorted(points, key=lambda p: (KINDS.index(p.shape.kind), p.shape.training, *_sizes(p)))
    rows = [
        (
            point.shape.name,
            f"{point.timing.ours * 1e3:.3f}",
            f"{point.timing.torchs * 1e3:.3f}",
            f"{point.ratio:.2f}",
            f"{point.rate / 1e9:.0f}",
            f"{point.share:.0%}",
            *(f"{point.peers[name] * 1e3:.3f}" if name in point.peers else "" for name in PEERS),
        )
        for point in ordered
        if point.timing
    ]
    return markdown_table(["shape", "ostinato ms", "torch.nn ms", "ratio", "GFLOP/s", "of peak", *_peers_ms()], rows)


def _peers_ms() -> list[str]:
    return [f"{label} ms" for label in PEERS.values()]


def _sizes(point: Point) -> tuple[int, ...]:
    s = point.shape
    return s.layers, s.directions, s.steps, s.batch, s.hidden


def circumstances(points: Sequence[Point]) -> list[str]:
    """One line for the runs of each machine, versions and sources that points come from, with their dates and peaks."""
    runs = {point.run.number: point.run for point in points}
    alike: dict[str, list[Run]] = {}
    for run in runs.values():
        alike.setdefault(run.circumstances, []).append(run)
    lines = []
    for group in alike.values():
        group.sort(key=lambda run: run.number)
        count = sum(point.run.circumstances == group[0].circumstances for point in points)
        machine = ", ".join(f"{name} {value}" for name, value in group[0].environment.items() if name != "load before")
        loads = ", ".join(str(run.environment["load before"]) for run in group if "load before" in run.environment)
        best = {scalar: max(run.peak[scalar] for run in group) for scalar in group[0].peak}
        peaks = ", ".join(f"{value / 1e9:.0f} GFLOP/s in {scalar}" for scalar, value in best.items())
        numbers = ", ".join(str(run.number) for run in group)
        dates = " and ".join(dict.fromkeys(run.date for run in group))
        lines.append(
            f"Run{'s' if len(group) > 1 else ''} {numbers}, {dates}, {count} points: peak {peaks}; {machine}"
            f"{f', load before {loads}' if loads else ''}; sources {group[0].code}."
        )
    return lines


def summary(points: Sequence[Point], refused: Sequence[Point] = ()) -> str:
    """Targets, regimes, refusals, machine."""
    timed = [point for point in points if point.timing]
    lines = markdown_table(["target", "must be", "measured", "met", "points"], targets(timed))
    lines += ["", *regimes(timed), ""]
    lines += [f"Refused, not timed: {point.refused}\n" for point in refused]
    return "\n".join([*lines, *(line + "\n" for line in circumstances(timed))]).rstrip() + "\n"


def headline(widths: Mapping[str, Sequence[Point]]) -> str:
    """How many times torch.nn, by regime, mode and kind, for a page that has room for one table.

    widths: the points of each vector unit by its name; a cell of the table has a figure for each.
    """
    timed = {name: [p for p in points if p.timing] for name, points in widths.items()}
    rows = [
        [f"{regime or 'between'}, {mode(training)}", *(_figures(timed, regime, training, kind) for kind in KINDS)]
        for regime in ("small", "middle", "large", "")
        for training in (False, True)
    ]
    machines = {}
    for name, points in timed.items():
        for run in (point.run for point in points):
            e = run.environment
            machine = f"{name}: {e['cores']} cores of {e['cpu']}, {e['threads']} threads, torch {e['torch']}"
            machines[machine] = run.date
    table = markdown_table([f"times torch.nn, {' · '.join(timed)}", *KINDS], rows)
    return "\n".join([*table, "", *(f"{m}, {day}.  " for m, day in machines.items())])


def _figures(timed: Mapping[str, Sequence[Point]], regime: str, training: bool, kind: str) -> str:
    chosen = [of_grid(points, regime, training, kind) for points in timed.values()]
    return " · ".join(f"{mean(p.ratio for p in points):.2f}" if points else "–" for points in chosen)


def page(points: Sequence[Point], refused: Sequence[Point]) -> str:
    """The whole of grid.md."""
    timed = [point for point in points if point.timing]
    head = "# Ostinato beside torch.nn, the whole grid\n\nMedians of calls that took turns in one process.\n"
    return "\n".join([head, summary(timed, refused), *every_point(timed), ""])


def measured(table: Sequence[str]) -> str:
    """A table with the day, the machine and the load that it was measured under."""
    load = f", load before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    machine = ", ".join(f"{name} {value}" for name, value in environment().items())
    return "\n".join([*table, "", f"{date.today().isoformat()}: {machine}{load}.", ""])


def fill(path: Path, name: str, content: str) -> None:
    """Put `content` between the markers `<!-- NAME: begin -->` and `<!-- NAME: end -->` of a page."""
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise SystemExit(f"{path.name} must hold the lines {begin.strip()} and {end}, once and in this order.")
    before, rest = text.split(begin)
    path.write_text(f"{before}{begin}\n{content.strip()}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")
