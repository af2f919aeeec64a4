"""README.txt of an export: a Python program that runs the files with numpy and onnxruntime alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..running.model import Model
from ..tasks.inputs import TextInputs
from .readme_texts import BEGIN, Lines, divided, fills, items, numbered, texts, translates
from .readme_values import composes, forecasts


def readme(model: Model) -> str:
    """The program, its first lines comments: the whole file runs."""
    lines = PROGRAMS[model.task.name](model)
    modules = [name for name in ("re", "unicodedata") if any(f"{name}." in line for line in lines)]
    session = [] if model.task.name == "translate" else ['session = onnxruntime.InferenceSession("model.onnx")']
    return "\n".join(
        [
            "# Run this file with Python in its folder: it needs numpy and onnxruntime. model.json says what goes",
            "# into the networks and what comes out, with the vocabularies, classes and scales of the model folder.",
            *(f"import {name}" for name in sorted(["json", *modules])),
            "from pathlib import Path",
            "import numpy as np",
            "import onnxruntime",
            'model = json.loads(Path("model.json").read_text(encoding="utf-8"))',
            *session,
            *lines,
            "",
        ]
    )


def _classes(model: Model) -> Lines:
    task: Any = model.task
    lines = _scores(task.inputs)
    if task.several:
        chances = ["chances = 1 / (1 + np.exp(-scores))"]
        answer = "[name for name, p in zip(classes, chances) if p > 0.5]"
    else:
        chances = ["chances = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()"]
        answer = "classes[chances.argmax()]"
    classes = 'classes = model["files"]["labels.json"]["classes"]'
    return [*lines, *chances, classes, f"answer = {answer}", "print(answer, chances.round(4))"]


def _numbers(model: Model) -> Lines:
    task: Any = model.task
    return [
        *_scores(task.inputs),
        'target = model["files"]["scaling.json"]["target"]',
        'answer = scores[0] * target["deviation"] + target["mean"]',
        "print(answer)",
    ]


def _tags(model: Model) -> Lines:
    task: Any = model.task
    words = [str(word) for word in task.words.vocabulary.entries[:5]]
    lower = ".lower()" if task.words.lowercase else ""
    return [
        f"words = {ascii(words)}",
        'known = {w: k for k, w in enumerate(model["files"]["vocabulary.json"]["entries"], 1)}',
        'of_letter = {c: k for k, c in enumerate(model["files"]["vocabulary.json"]["letters"]["entries"], 1)}',
        "x = np.array([[known.get(w" + lower + ", 0)] for w in words])",
        "letters = np.zeros((max(map(len, words)), len(words)), np.int64)",
        "for k, word in enumerate(words):",
        "    letters[: len(word), k] = [of_letter.get(c, 0) for c in word]",
        'given = {"words": x, "letters": letters, "letter_lengths": np.array([len(w) for w in words])}',
        'given |= {"which": np.arange(len(words))[:, None], "lengths": np.array([len(words)])}',
        "scores = session.run(None, given)[0][:, 0]",
        'answer = [model["files"]["labels.json"]["classes"][k] for k in scores.argmax(-1)]',
        "print(list(zip(words, answer)))",
    ]


def _transcripts(model: Model) -> Lines:
    task: Any = model.task
    network: Any = model.network
    whole = []
    if task.steps > 1:
        whole = [f"x = np.concatenate([x, np.zeros((-len(x) % {task.steps}, *x.shape[1:]), x.dtype)])"]
        whole += [f"x = x.reshape(len(x) // {task.steps}, 1, -1)"]
    if not network.layers.bidirectional:
        whole += BEGIN
    carried = "" if network.layers.bidirectional else ", **state"
    between = "" if task.units.unit == "char" else " "
    return [
        *_scores(task.inputs, whole, carried, "[:, 0]"),
        "path = scores.argmax(-1)",
        "path = path[np.append(True, path[1:] != path[:-1]) & (path != 0)]",
        f'answer = "{between}".join(model["files"]["transcripts.json"]["entries"][k - 1] for k in path)',
        "print(answer)",
    ]


def _scores(inputs: Any, between: Sequence[str] = (), carried: str = "", place: str = "[0]") -> Lines:
    """Lines that make `scores` of one row.

    between  lines after x is made
    carried  more inputs of the network
    place    of the row in the output
    """
    given, name = _rows(inputs)
    call = f'session.run(None, {{"{name}": x, "lengths": np.array([len(x)]){carried}}})'
    return [*given, *between, f"scores = {call}[0]{place}"]


def _rows(inputs: Any) -> tuple[Lines, str]:
    """Lines that make x of one row, [T, 1] or [T, 1, C], and the name of the input."""
    if isinstance(inputs, TextInputs):
        return _entries(inputs), "words"
    place = 'model["files"]["scaling.json"]'
    return [
        f'scaling = {{k: np.array({place}[k]) for k in ("mean", "deviation")}}',
        f'flagged = {place}["flagged"]',
        'series = scaling["mean"] + np.linspace(-1, 1, 6)[:, None] * scaling["deviation"]  # [T, C]; nan is missing',
        'x = np.nan_to_num((series - scaling["mean"]) / scaling["deviation"])',
        "x = np.concatenate([x, ~np.isnan(series)[:, flagged]], 1).astype(np.float32)[:, None]",
    ], "x"


def _entries(inputs: TextInputs) -> Lines:
    some = [str(unit) for unit in inputs.vocabulary.entries[:6]]
    if inputs.kind == "tokens":
        lower = ".lower()" if inputs.lowercase else ""
        lines = [f"units = [unit{lower} for unit in {ascii(some)}]"]
    else:
        text = ("" if inputs.unit == "char" else " ").join(some)
        lines = [f"text = {ascii(text)}", f"units = {divided(inputs.unit, inputs.lowercase, 'input')}"]
    return [
        *lines,
        f"known = {numbered('vocabulary.json')}",
        "x = np.array([[known.get(unit, 0)] for unit in units])",
    ]


PROGRAMS: dict[str, Callable[[Model], Lines]] = {
    "classify": _classes,
    "regress": _numbers,
    "tag": _tags,
    "forecast": forecasts,
    "generate": items,
    "language-model": texts,
    "fill": fills,
    "transcribe": _transcripts,
    "translate": translates,
    "music": composes,
}
"""Task → the lines of its program after the model is read; each sets `answer` and prints it."""
