"""Tables of `streaming_steps.py` from what was recorded: times, targets, single steps, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from report import markdown_table
from streaming_calls import OURS, PEERS

Record = Mapping[str, Any]
"""`sizes` (`Size` of streaming_steps as a dict), `environment`, `date`, `load`, `clock`, with --million `memory`."""

SHARE, SHARE_NUMPY = 2.0, 6.0
"""µs: the most that Python may add to the compiled step, with tensors or bound buffers and with NumPy arrays."""
AIMS = {("LSTM", 64): 4.0, ("LSTM", 16): 2.0, ("GRU", 16): 2.0}
"""µs of a step with bound buffers."""


def most_of_binding(hidden: int) -> float:
    """The most that a step may take of io-binding's time."""
    return 1 / 3 if hidden <= 64 else 1 / 2 if hidden <= 128 else 1.0


def name_of(size: Mapping[str, Any]) -> str:
    return f"{size['kind']} {size['hidden']}"


def targets(record: Record) -> list[tuple[str, str, str, str]]:
    """(what, the most it may be, what was measured, met) of every target and aim."""
    rows, sizes = [], record["sizes"]

    def row(what: str, found: list[tuple[float, float, str]], unit: str, digits: int) -> None:
        """found: (measured, most, size); the one that is nearest to its most is told."""
        if found:
            value, most, where = max(found, key=lambda one: one[0] / one[1])
            met = all(value <= most for value, most, _ in found)
            rows.append((what, f"≤ {most:.{digits}f}{unit}", f"{value:.{digits}f}{unit} at {where}", _yes(met)))

    for low, high, words in ((0, 64, "up to 64 units"), (65, 128, "128 units"), (129, 10**6, "from 256 units on")):
        for way in ("bound", "out"):
            chosen = [s for s in sizes if low <= s["hidden"] <= high]
            found = [(s["ratios"][way]["binding"], most_of_binding(s["hidden"]), name_of(s)) for s in chosen]
            row(f"{OURS[way]}: of io-binding's time, {words}", found, "", 2)
    for way in ("bound", "out"):
        others = [(s["ratios"][way][peer], 1.0, f"{name_of(s)}, {PEERS[peer]}") for s in sizes for peer in PEERS]
        row(f"{OURS[way]}: of any other's time", others, "", 2)
    for way, label in OURS.items():
        most = SHARE_NUMPY if way == "numpy" else SHARE
        # From 256 units on the other ways drive the weights out of the cache, which costs a call more than Python does.
        found = [(s["shares"][way], most, name_of(s)) for s in sizes if s["hidden"] <= 128]
        row(f"Python's share up to 128 units, {label}", found, " µs", 1)
    for (kind, hidden), most in AIMS.items():
        named = [s for s in sizes if (s["kind"], s["hidden"]) == (kind, hidden)]
        row(f"a step of {kind} {hidden}, aim", [(s["micros"]["bound"], most, name_of(s)) for s in named], " µs", 1)
    if memory := record.get("memory"):
        what = f"{memory['steps']:,} steps: memory of the process"
        rows.append((what, "+1 %, nothing left by a step", f"{memory['growth']:+.2%}", _yes(memory["flat"])))
    return rows


def times(record: Record) -> list[str]:
    """Microseconds of a step: sizes by ways."""
    columns = {"compiled": "compiled step alone", **OURS, **PEERS}
    rows = [[name_of(s), *(f"{s['micros'][way]:.1f}" for way in columns)] for s in record["sizes"]]
    return markdown_table(["µs a step", *columns.values()], rows)


def singles(record: Record) -> list[str]:
    """Percentiles of steps that were timed one by one."""
    rows = []
    for s in record["sizes"]:
        cells = (f"{value:.1f}" for way in ("bound", "binding") for value in s["single"][way])
        rows.append([name_of(s), *cells])
    labels = (OURS["bound"], PEERS["binding"])
    headings = [f"{label}: {part}" for label in labels for part in ("p50", "p99", "p99.9")]
    return markdown_table(["µs of a single step", *headings], rows)


def circumstances(record: Record) -> str:
    """Day, machine, versions, load."""
    machine = ", ".join(f"{name} {value}" for name, value in record["environment"].items())
    return f"{record['date']}: {machine}, load before {record['load']:.1f}."


def page(records: Sequence[Record]) -> str:
    """What stands in the page of the documents: a section for each machine."""
    return "\n".join(line for record in records for line in _section(record)).strip()


def _section(record: Record) -> Iterator[str]:
    count = record["sizes"][0]["counted"]
    yield f"### {record['environment']['vector unit']}"
    yield ""
    yield from times(record)
    yield ""
    yield from markdown_table(["target", "must be", "measured", "met"], targets(record))
    yield ""
    yield f"Single steps, {count:,} of each, with about {record['clock']:.2f} µs of the clock in every one:"
    yield ""
    yield from singles(record)
    yield ""
    yield circumstances(record)
    yield ""


def _yes(met: bool) -> str:
    return "yes" if met else "no"
