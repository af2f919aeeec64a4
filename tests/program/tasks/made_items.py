"""Items of a made grammar: the letter of an item is its condition, its length is from 1 to 3."""

import numpy as np

from ostinato.program.data.examples import Examples
from ostinato.program.tasks.texts.generate import Generate
from program.tasks.trained_tasks import trained_task

SMALL = {"hidden": 32, "embedding": 8, "batch": 32, "learning_rate": 0.03, "dropout": 0.0}


def letters(count=400, seed=0, kind="given"):
    """aaa given a, bb given b; or given 1.0 and -1.0."""
    draw = np.random.default_rng(seed)
    names = ["ab"[k % 2] for k in range(count)]
    texts = [name * int(draw.integers(1, 4)) for name in names]
    if kind == "features":
        inputs = [np.array([1.0 if name == "a" else -1.0, 7.0]) for name in names]
        return Examples("features", inputs, "text", texts, ("sign", "same"), "word")
    return Examples("given", [(name,) for name in names], "text", texts, ("letter",), "word")


def trained(examples, updates=300, **options):
    """(task, network, fitted) of items."""
    return trained_task(Generate, examples, examples, {**SMALL, "updates": updates, **options})
