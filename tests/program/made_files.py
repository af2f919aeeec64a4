"""Small files with a known answer, as users have them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

WORDS = ("the", "film", "was", "long", "loud", "plain", "short", "bright", "slow", "new")
SMALL = ("--hidden", "8", "--embedding", "8", "--batch", "16", "--learning-rate", "0.02", "--dropout", "0")
"""Options of a network that learns one of these rules in a second."""


def write_table(path: Path, heading, rows) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([heading, *rows])
    return path


def reviews(path: Path, count=240, seed=0, labels=("bad", "good"), end="") -> Path:
    """Texts of six words: the label says whether `yes` stands before `no`, so only order can tell."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(count):
        words = list(rng.choice(WORDS, 6))
        first, second = sorted(rng.choice(6, 2, replace=False))
        words[first], words[second] = ("yes", "no") if k % 2 else ("no", "yes")
        rows.append((" ".join(words) + end, labels[k % 2]))
    return write_table(path, ("review", "label"), rows)


def noise(path: Path, count=200) -> Path:
    """Texts and labels that have nothing to do with each other."""
    rng = np.random.default_rng(1)
    rows = [(" ".join(rng.choice(WORDS, 6)), ("bad", "good")[int(rng.integers(2))]) for _ in range(count)]
    return write_table(path, ("review", "label"), rows)


def topics(path: Path, count=240) -> Path:
    """Texts with zero to three labels, one for each of three words that the text has."""
    rng = np.random.default_rng(2)
    rows = []
    for _ in range(count):
        found = [name for name in ("sport", "music", "law") if rng.random() < 0.5] or ["law"]
        words = [*rng.choice(WORDS, 4), *(f"a{name}" for name in found)]
        rows.append((" ".join(rng.permutation(words)), ";".join(found)))
    return write_table(path, ("text", "topics"), rows)


def sensors(path: Path, count=200) -> Path:
    """JSON lines of series of 3 to 8 steps of two channels: the label is the sign of the first value of one."""
    rng = np.random.default_rng(3)
    lines = []
    for k in range(count):
        series = rng.normal(size=(int(rng.integers(3, 9)), 2)).round(3)
        series[0, 0] = (1.5 if k % 2 else -1.5) + 0.2 * rng.normal()
        lines.append({"left": series[:, 0].tolist(), "right": series[:, 1].tolist(), "state": ("off", "on")[k % 2]})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def flowers(path: Path, count=200) -> Path:
    """Rows of three numbers: the class is the sign of the sum of two of them."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=(count, 3)).round(3)
    values[:, 0] += np.where(np.arange(count) % 2, 2.0, -2.0)
    rows = [(*v, "rose" if k % 2 else "iris") for k, v in enumerate(values.tolist())]
    return write_table(path, ("petal", "leaf", "stem", "species"), rows)


def loads(path: Path, count=240) -> Path:
    """An .npz file of series [N, 5, 1] whose target is twice the sum of the steps, plus one."""
    rng = np.random.default_rng(5)
    series = rng.uniform(-1, 1, size=(count, 5, 1))
    np.savez(path, series=series, y=2 * series.sum((1, 2)) + 1)
    return path


def sentences(path: Path, count=160) -> Path:
    """Two columns: a word is V after `to` and N after anything else; `to` is P."""
    rng = np.random.default_rng(6)
    blocks = []
    for _ in range(count):
        words = [str(w) for w in rng.choice(("to", "run", "walk", "play", "work", "rest"), int(rng.integers(4, 9)))]
        tags = ["P" if w == "to" else "V" if k and words[k - 1] == "to" else "N" for k, w in enumerate(words)]
        blocks.append("".join(f"{w}\t{t}\n" for w, t in zip(words, tags)))
    path.write_text("\n".join(blocks), encoding="utf-8")
    return path
