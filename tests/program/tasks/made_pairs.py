"""Made pairs of texts: a string and the same backwards, or its digits in order."""

import numpy as np

from ostinato.program.data.examples import Examples
from ostinato.program.tasks.translating.translate import Translate
from program.tasks.trained_tasks import trained_task

SMALL = {"hidden": 64, "embedding": 32, "batch": 64, "learning_rate": 0.01, "dropout": 0.0}


def strings(count=400, seed=0, letters="abcdefgh", longest=7):
    """Different strings of 1 to `longest` letters."""
    draw = np.random.default_rng(seed)
    found = {}
    while len(found) < count:
        found["".join(draw.choice(list(letters), int(draw.integers(1, longest + 1))))] = None
    return list(found)


def backwards(texts):
    return Examples("text", texts, "translation", [text[::-1] for text in texts], ("text",), "reversed")


def in_order(texts):
    return Examples("text", texts, "translation", ["".join(sorted(text)) for text in texts], ("text",), "sorted")


def trained(train, valid, updates=300, **options):
    """(task, network, fitted) of pairs."""
    return trained_task(Translate, train, valid, {**SMALL, "updates": updates, **options})
