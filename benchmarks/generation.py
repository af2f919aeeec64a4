"""How fast trained networks write: units a second of texts, music and translations, beside another commit.

    .venv/bin/python benchmarks/generation.py [--against COMMIT]

The networks have their first weights, which cost as much as trained ones; every text has the same number of units. Of
each case the medians of both sides are printed, timed in turns in two processes, their ratio, and whether both wrote
the same. Without --against the working tree alone is timed.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sides import two_sides

from ostinato.program.options import NetworkOptions
from ostinato.program.running.compose import new_frames
from ostinato.program.running.music_request import MusicRequest
from ostinato.program.running.writing import Request, Writer
from ostinato.program.tasks.music.network import MusicNetwork
from ostinato.program.tasks.texts.language_model import LanguageModel
from ostinato.program.tasks.texts.units import TextUnits
from ostinato.program.tasks.translating.network import Hypotheses, TranslationNetwork
from ostinato.program.tasks.translating.search import Search, search

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;:!?'-\n"
WORDS = 10_000
SOURCES, STEPS, UNITS = 8_000, 20, 30
"""Of a translation: entries of both vocabularies, units of a source and of an output."""
Call = Callable[[], tuple[int, bytes]]
"""A case: the number of units that it writes, and what identifies them."""


def text(units: TextUnits, cell: str, hidden: int, length: int) -> Call:
    """A language model that writes a text of `length` units."""
    options = NetworkOptions(cell=cell, hidden=hidden, embedding=64, dropout=0.1, both_directions=False)
    task = LanguageModel(units)
    writer = Writer(task, task.network(options).eval(), "benchmark")

    def call() -> tuple[int, bytes]:
        return length, writer.write(Request(length=length, seed=1), 0).text.encode()

    return call


def words() -> TextUnits:
    """A vocabulary of made words."""
    return TextUnits.of([" ".join(f"w{k}" for k in range(WORDS))], NetworkOptions(unit="word"))


def music(hidden: int, chords: str, length: int) -> Call:
    """A model of the 88 keys that writes `length` frames."""
    options = NetworkOptions(cell="lstm", hidden=hidden, chords=chords, both_directions=False)
    network = MusicNetwork(88, options).eval()
    prompt = np.zeros((0, 88), np.uint8)

    def call() -> tuple[int, bytes]:
        frames = list(new_frames(network, prompt, MusicRequest(length=length, seed=1), 0))
        return length, np.stack(frames).tobytes()

    return call


def translation(rows: int, beam: int) -> Call:
    """A search for the outputs of some sources; no hypothesis ends before the limit."""
    options = NetworkOptions(cell="lstm", hidden=256, embedding=256, both_directions=True)
    network = TranslationNetwork(SOURCES, SOURCES + 1, options).eval()
    with torch.no_grad():
        network.bias[SOURCES] = -100.0
    source, lengths = torch.randint(1, SOURCES, (STEPS, rows)), torch.full((rows,), STEPS)

    @torch.no_grad()
    def call() -> tuple[int, bytes]:
        made = network({"source": source}, lengths)
        outputs = search(Hypotheses(made), [UNITS] * rows, Search(SOURCES, (0,), beam))
        return rows * UNITS, repr([output.units for output in outputs]).encode()

    return call


def cases() -> dict[str, Call]:
    """By name; each has weights of its own seed."""
    characters = TextUnits.of([LETTERS], NetworkOptions(unit="char"))
    made: dict[str, Callable[[], Call]] = {
        "characters, LSTM 128": lambda: text(characters, "lstm", 128, 500),
        "characters, LSTM 512": lambda: text(characters, "lstm", 512, 500),
        "characters, GRU 512": lambda: text(characters, "gru", 512, 500),
        "words, LSTM 512": lambda: text(words(), "lstm", 512, 100),
        "music, LSTM 128, keys apart": lambda: music(128, "apart", 300),
        "music, LSTM 128, keys jointly": lambda: music(128, "joint", 50),
        "translation of 1 source, beam 1": lambda: translation(1, 1),
        "translation of 1 source, beam 5": lambda: translation(1, 5),
        "translation of 64 sources, beam 1": lambda: translation(64, 1),
        "translation of 64 sources, beam 5": lambda: translation(64, 5),
    }
    found = {}
    for name, make in made.items():
        torch.manual_seed(0)
        found[name] = make()
    return found


def timed(call: Call) -> tuple[float, str]:
    """(units a second, a digest of what was written)"""
    begin = time.perf_counter()
    units, written = call()
    return units / (time.perf_counter() - begin), hashlib.sha256(written).hexdigest()[:16]


def serve() -> None:
    """As `sides` has it: names, then an answer to each line."""
    known = cases()
    for call in known.values():
        call()
    print("|".join(known), flush=True)
    for line in sys.stdin:
        speed, digest = timed(known[line.strip()])
        print(speed, digest, flush=True)


def compare(commit: str, pairs: int, threads: int) -> None:
    """Prints both sides of each case."""
    with two_sides(commit, [__file__, "--serve", "--threads", str(threads)]) as (before, after):
        for name in after.names:
            answers: list[tuple[Any, ...]] = []
            for _ in range(pairs):
                (old, was), (new, now) = (side.run(name).split() for side in (before, after))
                answers.append((float(old), float(new), was == now))
            olds, news, same = zip(*answers)
            ratio = statistics.median(new / old for old, new in zip(olds, news))
            speeds = f"{statistics.median(olds):,.0f} a second before, {statistics.median(news):,.0f} now"
            print(f"{name}: {speeds}, ratio {ratio:.2f}, {'same' if all(same) else 'OTHER'} units", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against", help="the commit to compare the working tree with")
    parser.add_argument("--pairs", type=int, default=11, help="how often each case is timed")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch and the kernels")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.serve:
        serve()
    elif given.against:
        compare(given.against, given.pairs, given.threads)
    else:
        for name, call in cases().items():
            call()
            speed = statistics.median(timed(call)[0] for _ in range(given.pairs))
            print(f"{name}: {speed:,.0f} a second", flush=True)


if __name__ == "__main__":
    main()
