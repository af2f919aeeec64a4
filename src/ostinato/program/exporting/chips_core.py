"""Networks of the tasks as they run on other machines: one input, one output, and what both mean.

Letters: T steps, C numbers of a step, E numbers of a word, K outputs, V entries of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import InputError, phrase
from ...export import Meaning
from ..running.model import Model
from ..tasks.inputs import SeriesInputs, TextInputs, padded
from ..tasks.music.heads import ApartHead
from ..tasks.stepping import Core
from ..tasks.stepwise import RowSteps
from ..tasks.texts.passage_units import FIRST
from ..tasks.texts.units import TextUnits
from .check import WHERE
from .chips_steps import EXPECTED, Steps
from .chips_text import SPACED, page_texts, pattern_of

SAMPLES = 24
"""Steps of the self-test."""


def steps_of(model: Model) -> Steps:
    """A model as it runs step by step, or on whole sequences. Raises InputError for one that does neither."""
    make = MADE[model.task.name]
    if isinstance(make, tuple):
        raise InputError(phrase(WHERE, "MODEL", EXPECTED, *make))
    return make(model)


def _rows(model: Model) -> Steps:
    task: Any = model.task
    network: Any = model.network
    own = _begun(model, "row")
    part = "of the whole row" if own["whole"] else "of the row up to this step"
    if task.name == "classify":
        scores = "sigmoid of each score" if task.several else "softmax of the scores"
        own["y"] = f"A score of each class, {part}; the probabilities are the {scores}."
        own["classes"] = [str(c) for c in task.classes]
        shown = {"labels": own["classes"], "output": "separate scores" if task.several else "scores"}
    else:
        own["y"] = f"The number {part}, scaled: number = mean + deviation * y."
        own["target"] = (task.mean, task.deviation)
        shown = {"labels": ["number"], "output_scale": own["target"]}
    about = "What the network says of everything that it has read since the reset."
    given = _given(task.inputs)
    page = Meaning(title=_title(model), about=about, **given.pop("page"), **shown)
    return Steps(network=RowSteps(network), each=False, page=page, **given, **own)


def _transcripts(model: Model) -> Steps:
    task: Any = model.task
    network: Any = model.network
    given = _given(task.inputs, task.steps)
    labels = ["(blank)", *(str(entry) for entry in task.units.entries)]
    y = (
        "A score of the blank, then of each label. The transcript has the label of the largest score of each step, "
        "without repetitions, then without the blank."
    )
    about = "The label of each step, or the blank where there is none."
    page = Meaning(title=_title(model), about=about, **given.pop("page"), labels=labels, output="scores")
    core = Core(network.layers, network.embedding, network.head)
    return Steps(network=core, page=page, y=y, classes=labels, **_begun(model, "row"), **given)


def _tags(model: Model) -> Steps:
    """The vectors of the vocabulary's words, which their letters make together with their embedding, are a table."""
    task: Any = model.task
    network: Any = model.network
    # No text has this character: its spelling is one unknown letter.
    words = ["\ufffd", *map(str, task.words.vocabulary.entries)]
    letters = [task.letters.numbers(list(word)) for word in words]
    x = {
        "words": torch.arange(len(words))[:, None],
        "letters": torch.from_numpy(padded(letters, np.int64)),
        "letter_lengths": torch.tensor([len(word) for word in words]),
        "which": torch.arange(len(words))[:, None],
    }
    with torch.no_grad():
        table = network.vectors(x)[:, 0]
    core = Core(network.layers, nn.Embedding.from_pretrained(table), network.head)
    given = _given(task.words)
    given["x"] += " The spelling of an unknown word is not read: it is one unknown letter."
    classes = [str(c) for c in task.classes]
    about = "The tag of the last word, after all words before it."
    page = Meaning(title=_title(model), about=about, **given.pop("page"), labels=classes, output="scores")
    begun = _begun(model, "sentence")
    word = "each word" if begun["whole"] else "this word"
    y = f"A score of each tag of {word}; the probabilities are the softmax of the scores."
    return Steps(network=core, page=page, y=y, classes=classes, **begun, **given)


def _language(model: Model) -> Steps:
    task: Any = model.task
    network: Any = model.network
    reset = "where a text begins, and then the entry of the line break is read first"
    return _writer(model, network.core(), task.units, FIRST + "The ", reset)


def _items(model: Model) -> Steps:
    network: Any = model.network
    task: Any = model.task
    if network.language.given:
        received = "one of the task generate, whose condition is read beside every unit"
        remedy = "Use ostinato export MODEL --onnx, or train without --given and --features."
        raise InputError(phrase(WHERE, "MODEL", EXPECTED, received, remedy))
    reset = f"where an item begins, and then the mark, entry {task.mark}, is read first; the mark ends an item too"
    return _writer(model, network.core(), task.units, "", reset, mark=True)


def _writer(model: Model, core: nn.Module, units: TextUnits, start: str, reset: str, mark: bool = False) -> Steps:
    """Of a network that reads entries of texts and scores the next one."""
    texts = None if units.tokenizer else page_texts([*units.entries, *([_mark(units)] if mark else [])])
    count = len(units) + mark
    known = set(texts or [])
    start = "".join(c for c in start if c in known) if units.unit == "char" else ""
    noun = units.noun
    page = Meaning(
        title=_title(model),
        about=f"Type a text: the bars are the probabilities of the {noun} after it.",
        vocabulary=texts,
        unknown=None if texts is None else texts[0],
        pattern=pattern_of(units.unit, writes=True),
        normal_form="NFC",
        lowercase=units.lowercase,
        start=start,
    )
    made = torch.randint(1, count, (SAMPLES,), generator=torch.Generator().manual_seed(0))
    x = f"The entry of a {noun}, int64; 0 is unknown."
    y = f"A score of each entry as the next {noun}; the probabilities are the softmax of the scores."
    none = "" if texts is not None else "one of sub-word units, which need the tokenizers library"
    return Steps(core, made, x, y, reset, page, texts=texts, no_page=none)


def _mark(units: TextUnits) -> str:
    """The text of the mark, which no unit has."""
    text = "\u2402"
    while text in units.entries:
        text += "\u2402"
    return text


def _music(model: Model) -> Steps:
    network: Any = model.network
    task: Any = model.task
    if not isinstance(network.head, ApartHead):
        received = "one of the task music that decides the keys of a frame one after another"
        remedy = "Train with --chords apart, or use ostinato export MODEL --onnx."
        raise InputError(phrase(WHERE, "MODEL", EXPECTED, received, remedy))
    keys = [str(key) for key in task.keys]
    generator = torch.Generator().manual_seed(0)
    made = (torch.rand(SAMPLES, len(keys), generator=generator) < 0.1).float()
    page = Meaning(
        title=_title(model), about="Keys that are down, and the probability of each key in the next frame.",
        inputs=keys, low=0.0, high=1.0, flags=range(len(keys)), labels=keys, output="separate scores",
    )  # fmt: skip
    y = "A score of each key in the next frame; the probability is its sigmoid."
    x = "The keys of a frame, 1 where a key is down and 0 where not."
    reset = "where a piece begins, and then a frame of zeros is read first"
    return Steps(Core(network.layers, head=network.head.scores), made, x, y, reset, page, classes=keys)


def _given(inputs: TextInputs | SeriesInputs, steps: int = 1) -> dict[str, Any]:
    """Fields of `Steps` that the inputs decide, and those of the page under "page".

    steps  neighbouring steps of a series that lie side by side in x
    """
    if isinstance(inputs, TextInputs):
        texts = page_texts(map(str, inputs.vocabulary.entries))
        unit = "token" if inputs.kind == "tokens" else "character" if inputs.unit == "char" else "word"
        made = torch.randint(1, len(texts), (SAMPLES,), generator=torch.Generator().manual_seed(0))
        pattern = SPACED if inputs.kind == "tokens" else pattern_of(inputs.unit, writes=False)
        page: dict[str, Any] = {
            "vocabulary": texts, "unknown": texts[0], "pattern": pattern,
            "normal_form": "" if inputs.kind == "tokens" else "NFC", "lowercase": inputs.lowercase,
        }  # fmt: skip
        return {"samples": made, "x": f"The entry of a {unit}, int64; 0 is unknown.", "texts": texts, "page": page}
    scaling = inputs.scaling
    drawn = np.random.default_rng(0).normal(size=(SAMPLES * steps, len(scaling.mean)))
    series = scaling.mean + scaling.deviation * drawn
    series[len(series) // 2, list(scaling.flagged)] = np.nan
    made = torch.from_numpy(scaling.apply(series)).reshape(SAMPLES, -1)
    names = [str(c) for c in inputs.channels] or [f"channel {k + 1}" for k in range(len(scaling.mean))]
    names += [f"{names[k]} is there" for k in scaling.flagged]
    scales = [*zip(scaling.mean.tolist(), scaling.deviation.tolist()), *[(0.0, 1.0)] * len(scaling.flagged)]
    flags = [len(scaling.mean) + k for k in range(len(scaling.flagged))]
    x = "(value - mean) / deviation of each channel, computed in float64 and rounded to float32, 0 where it is missing"
    if scaling.flagged:
        x += "; then for each flagged channel 1 where its value is there, else 0"
    x += "."
    if steps > 1:
        x = f"{steps} neighbouring steps side by side, zeros after the last. Of each: {x}"
        flags = [k * len(names) + flag for k in range(steps) for flag in flags]
        names, scales = [f"{name}, step {k + 1}" for k in range(steps) for name in names], scales * steps
    page = {"inputs": names, "scales": scales, "flags": flags, "low": -2.0, "high": 2.0}
    return {"samples": made, "x": x, "scaling": scaling, "page": page}


def _begun(model: Model, sequence: str) -> dict[str, Any]:
    """The fields of `Steps` that say where a sequence begins."""
    if model.config.options.network.both_directions:
        return {"reset": "", "whole": sequence}
    return {"reset": f"at the beginning of every {sequence}", "whole": ""}


def _title(model: Model) -> str:
    network = model.config.options.network
    names = {
        "classify": "A classifier", "regress": "A network that predicts a number", "tag": "A tagger",
        "transcribe": "A transcriber", "language-model": "A language model", "generate": "A writer of items",
        "music": "A model of music",
    }  # fmt: skip
    return f"{names[model.task.name]}: {network.cell}, {network.hidden} units"


MADE: dict[str, Callable[[Model], Steps] | tuple[str, str]] = {
    "classify": _rows,
    "regress": _rows,
    "tag": _tags,
    "transcribe": _transcripts,
    "language-model": _language,
    "generate": _items,
    "music": _music,
    "forecast": (
        "one of the task forecast, which reads a whole window and then computes all steps of the future from one state",
        "Use ostinato export MODEL --onnx.",
    ),
    "fill": (
        "one of the task fill, whose units depend on those after them",
        "Use ostinato export MODEL --onnx, or train a language model, ostinato train TEXT.txt.",
    ),
    "translate": (
        "one of the task translate, whose decoder reads the whole source at every step",
        "Use ostinato export MODEL --onnx.",
    ),
}
"""Task → how its models run step by step; or what they are instead, and what to do."""
