"""The tasks of `results.py` on made data, where no open data set is at hand: recordings of tones, scenes with captions.

Both are drawn from a seed, the same on every machine.
"""

import math
import wave
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from real_task import Aim, Asked, Given, Published, RealTask

RATE = 8000
LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477)
TONES = {key: (LOW[k // 3], HIGH[k % 3]) for k, key in enumerate("123456789*0#")}
"""The two frequencies of each key of a telephone (ITU-T Q.23)."""
CALLS, NOISE = 2000, 0.1


def calls(data: Path, made: Path, count: int = CALLS) -> Given:
    """calls.csv and its recordings: numbers of 4 to 9 digits, tones of 60 to 150 ms, pauses of 25 to 100 ms, noise."""
    random = np.random.default_rng(0)
    lines = ["path,number"]
    (made / "calls").mkdir(exist_ok=True)
    for call in range(count):
        number = "".join(random.choice(list("0123456789"), random.integers(4, 10)))
        sound = np.concatenate([pressed(key, random) for key in number])
        samples = np.rint(32767 * np.clip(sound + NOISE * random.standard_normal(len(sound)), -1, 1))
        with wave.open(str(made / "calls" / f"{call}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(samples.astype("<i2").tobytes())
        lines.append(f"calls/{call}.wav,{number}")
    (made / "calls.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"paths": [made / "calls.csv"], "audio": "path", "target": "number", "task": "transcribe"}


def pressed(key: str, random: np.random.Generator) -> np.ndarray:
    """float64 [N]: the tones of a key, then a pause."""
    times = np.arange(random.integers(480, 1200)) / RATE
    loud = random.uniform(0.05, 0.25)
    tones = [loud * np.sin(2 * math.pi * hertz * times + random.uniform(0, 6)) for hertz in TONES[key]]
    return np.concatenate([sum(tones), np.zeros(random.integers(200, 800))])


COLOURS, SIZES, SHAPES = ("red", "green", "blue", "yellow"), ("small", "large"), ("circle", "square", "triangle")
SIDES = ("left of", "right of", "above", "below")
SCENES = 4000


def scenes(data: Path, made: Path, count: int = SCENES) -> Given:
    """scenes.csv: two things and how they are placed, as seven columns, and the sentence. One combination in five is
    only in the test part, so every sentence there is new."""
    things = list(product(SIZES, COLOURS, SHAPES))
    every = [(a, side, b) for a in things for side in SIDES for b in things if a != b]
    order = np.random.default_rng(0).permutation(len(every))[:count]
    lines = ["size,colour,shape,side,other_size,other_colour,other_shape,caption,split"]
    for place, number in enumerate(order.tolist()):
        first, side, second = every[number]
        sentence = f"a {' '.join(first)} is {side} a {' '.join(second)}"
        part = "test" if place % 5 == 0 else "valid" if place % 5 == 1 else "train"
        lines.append(",".join([*first, side, *second, sentence, part]))
    (made / "scenes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    given = "size,colour,shape,side,other_size,other_colour,other_shape"
    return {"paths": [made / "scenes.csv"], "target": "caption", "given": given, "unit": "word"}


def nothing_more(data: Path, made: Path) -> Given:
    """`ostinato evaluate MODEL` has no option here: it judges the test rows."""
    return {}


def written(document: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The share of captions that are written exactly."""
    return {"network": {"exact_match": document["metrics"]["exact_match"]["value"]}}


MADE_TASKS = (
    RealTask(
        "captions",
        "Captions of made scenes, two things of 24 kinds and their places, no combination in two parts",
        scenes,
        2.0,
        3,
        (Aim("exact_match", 1.0),),
        (Published("a network that has learned the sentence", "0", "made data: the columns determine the caption"),),
        "Nothing is published on made data. The file is made by benchmarks/real_made.py.",
        ("nats_per_word",),
        Asked(nothing_more, written),
    ),
    RealTask(
        "tones",
        "Telephone numbers from recordings of tones in noise, 4 to 9 digits",
        calls,
        5.0,
        3,
        (Aim("cer", 0.01, lower_is_better=True),),
        (Published("a network that names every key right", "0", "made data: the tones determine the number"),),
        "Nothing is published on made data. The recordings are made by benchmarks/real_made.py.",
        ("cer", "wer", "exact_match"),
    ),
)
