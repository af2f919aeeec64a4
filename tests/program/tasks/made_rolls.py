"""Piano rolls that are made: chords in a period, and noise."""

import numpy as np

from ostinato.program.data.examples import Examples
from ostinato.program.options import TrainOptions
from ostinato.program.tasks.music.music import Music
from ostinato.program.training.seeds import new_network
from program.tasks.trained_tasks import trained_task

KEYS = ("59", "60", "62", "64", "67", "69")
CHORDS = ((1, 3, 4), (0, 3), (2, 5), (1,), (1,))
SMALL = {"hidden": 24, "dropout": 0.0, "batch": 8, "learning_rate": 0.04}


def of(rolls):
    return Examples("roll", rolls, "frames", rolls, KEYS)


def periodic(count=16, frames=17):
    """Five chords in turn, the fourth twice as long as the others; every piece begins with the first."""
    roll = np.zeros((frames, len(KEYS)), np.uint8)
    for t in range(frames):
        roll[t, list(CHORDS[t % len(CHORDS)])] = 1
    return of([roll[: frames - k % 3] for k in range(count)])


def noise(lengths, seed=0, share=0.3):
    draw = np.random.default_rng(seed)
    return of([(draw.random((n, len(KEYS))) < share).astype(np.uint8) for n in lengths])


def options(**given):
    return TrainOptions.of("test", {**SMALL, **given}).for_task(Music.defaults)


def untrained(examples, seed=0, **given):
    """(task, network) with the first weights."""
    made = options(**given).network
    task = Music.encode_from(examples, made)
    return task, new_network(task, made, seed).eval()


def trained(examples, updates=120, **given):
    """(task, network, fitted)"""
    return trained_task(Music, examples, examples, {**SMALL, "updates": updates, **given})
