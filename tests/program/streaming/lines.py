"""Lines of numbers for `ostinato stream`, and small trainings."""

import json

from program import made_files as made

SMALL = (*made.SMALL, "--one-direction", "--no-lens", "--no-baselines", "--quiet", "--out", "model")


def sequences(place, count=4):
    """The series of the file, each a list of steps."""
    rows = [json.loads(line) for line in (place / "sensors.jsonl").read_text().splitlines()[:count]]
    return [list(zip(row["left"], row["right"])) for row in rows]


def lines_of(steps):
    return "".join(f"{left},{right}\n" for left, right in steps)
