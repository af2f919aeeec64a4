"""Items of a made grammar: the letter of an item is its condition, its length is from 1 to 3."""

import numpy as np

from ostinato.program.data.examples import Examples
from ostinato.program.options import TrainOptions
from ostinato.program.tasks.texts.generate import Generate
from ostinato.program.training.fit import fit
from ostinato.program.training.records import Part
from ostinato.program.training.seeds import new_network

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
    made = TrainOptions.of("test", {**SMALL, "updates": updates, **options}).for_task(Generate.defaults)
    task = Generate.encode_from(examples, made.network)
    network = new_network(task, made.network, made.fit.seed)
    part = Part(examples, task.encode(examples))
    return task, network, fit(task, network, part, part, made.fit)
