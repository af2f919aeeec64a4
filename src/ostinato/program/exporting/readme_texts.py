"""The programs of README.txt that read and write units of a text: language models, items, gaps, translations."""

from __future__ import annotations

from typing import Any

from ..running.model import Model
from ..tasks.texts.units import TextUnits

Lines = list[str]
BEGIN = [
    'states = model["parts"]["model.onnx"]["states"]',
    'state = {s["name"]: np.full((1, s["shape"][1]), s["initial"], np.float32) for s in states}',
]


def texts(model: Model) -> Lines:
    """Goes on from a prompt with the most probable unit each time."""
    task: Any = model.task
    return [
        *_prompt(task.units),
        *BEGIN,
        "read = 0",
        "for _ in range(20):",
        '    scores, *after = session.run(None, {"units": np.array(entries[read:])[:, None], **state})',
        "    state, read = dict(zip(state, after)), len(entries)",
        "    entries.append(int(scores[-1, 0, 1:].argmax()) + 1)  # 0 is the unknown unit",
        *_said(task.units, "entries"),
    ]


def items(model: Model) -> Lines:
    """Writes an item of one condition with the most probable unit each time."""
    task: Any = model.task
    conditions = task.conditions
    if conditions.scaling is not None:
        numbers = [0.0] * len(conditions.columns) + [1.0] * len(conditions.scaling.flagged)
        given = [f'state["numbers"] = np.array([{numbers}], np.float32)  # scaled, then the flags']
    elif conditions.columns:
        given = [f'state["columns"] = np.array([{[1] * len(conditions.columns)}])  # entries of the values, from 1']
    else:
        given = []
    run = [
        'session.run(None, {"units": np.array([entries[-1:]]), **state})',
        'state |= dict(zip((s["name"] for s in states), after))',
    ]
    return [*BEGIN, *given, *_until_the_mark(task.mark, "entries", "< 60", run), *_written(task.units, "entries")]


def fills(model: Model) -> Lines:
    """The most probable unit of a gap."""
    task: Any = model.task
    edge = len(task.units)
    return [
        *_prompt(task.units),
        "gap = len(entries) // 2",
        "entries[gap] = 0",
        f"before, after = [{edge}, *entries[:-1]], [{edge}, *entries[:0:-1]]",
        'given = {"before": np.array(before)[:, None], "after": np.array(after)[:, None]}',
        'scores = session.run(None, {**given, "lengths": np.array([len(entries)])})[0]',
        "best = int(scores[gap, 0, 1:].argmax()) + 1  # 0 is the unknown unit",
        *_said(task.units, "[best]"),
    ]


def translates(model: Model) -> Lines:
    """A translation with the most probable unit each time."""
    task: Any = model.task
    run = [
        'decoder.run(None, {"units": np.array([units[-1:]]), **given})',
        "given |= dict(zip(states, after[-len(states) :]))  # before them come the weights of attention",
    ]
    return [
        'encoder, decoder = map(onnxruntime.InferenceSession, ("encoder.onnx", "decoder_step.onnx"))',
        *_prompt(task.units.source, "source_", "source"),
        'read = encoder.run(None, {"source": np.array(entries)[:, None], "lengths": np.array([len(entries)])})',
        "given = dict(zip((value.name for value in encoder.get_outputs()), read))",
        'states = [s["name"] for s in model["parts"]["decoder_step.onnx"]["states"]]',
        'lengths = model["files"]["lengths.json"]',
        'most = 10 + int(np.ceil(2 * max(lengths["per_unit"] * len(entries), lengths["mean"])))',
        *_until_the_mark(task.mark, "units", "<= most", run),
        *_written(task.units.target, "units"),
    ]


def _until_the_mark(mark: int, name: str, most: str, run: Lines) -> Lines:
    """Lines that append the most probable entry to the list `name` until it is the mark.

    most  compares the length of the list with its limit
    run   the call that gives scores and states, and the line that keeps the states
    """
    call, keep = run
    return [
        f"mark, {name} = {mark}, [{mark}]",
        f"while len({name}) {most} and (len({name}) == 1 or {name}[-1] != mark):",
        f"    scores, *after = {call}",
        f"    {keep}",
        f"    {name}.append(int(scores[0, 0, 1:].argmax()) + 1)  # 0 is the unknown unit",
    ]


def divided(unit: str, lowercase: bool, place: str) -> str:
    """The expression that divides `text` into units, by the pattern of one place of model.json where they are words."""
    text = f'unicodedata.normalize("NFC", text){".lower()" if lowercase else ""}'
    if unit == "char":
        return f"list({text})"
    return f're.findall(model["preprocessing"]["{place}"]["pattern"], {text})'


def numbered(vocabulary: str) -> str:
    """The expression of a dict from the units of a file of the model folder to their entries."""
    return f'{{unit: k for k, unit in enumerate(model["files"]["{vocabulary}"]["entries"], 1)}}'


def _prompt(units: TextUnits, prefix: str = "", name: str = "text") -> Lines:
    """Lines that make `entries` of a text."""
    if units.tokenizer:
        return ["entries = [1, 2, 3]  # the package tokenizers and tokenizer.json make them of a text, + 1"]
    some = "".join(units.entries[:6])
    return [
        f"text = {ascii(some)}",
        f"known = {numbered(f'{prefix}vocabulary.json')}",
        f"entries = [known.get(unit, 0) for unit in {divided(units.unit, units.lowercase, name)}]",
    ]


def _written(units: TextUnits, name: str) -> Lines:
    """Lines that make `answer` of the list of entries `name` without its marks."""
    return _said(units, f"(k for k in {name} if k != mark)")


def _said(units: TextUnits, entries: str) -> Lines:
    """Lines that make `answer` of entries."""
    if units.tokenizer:
        return [f"answer = list({entries})  # tokens of tokenizer.json, + 1", "print(answer)"]
    place = 'model["files"]["vocabulary.json"]["entries"]'
    return [f'answer = "".join({place}[k - 1] for k in {entries})', "print(answer)"]
