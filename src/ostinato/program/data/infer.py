"""Which task a file is for: a table of rules, each of which gives the readings that fit what was seen.

A new task is a new rule in `RULES`, and its name in `TRAINED`; CONTRIBUTING.md says what else it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import did_you_mean
from ..options import DataOptions
from .columns import SERIES_IDS, Column, is_time
from .examples import InputKind, TargetKind
from .findings import many
from .libraries import polars as pl
from .refusals import listed, refused

TRAINED = (
    "classify",
    "regress",
    "tag",
    "forecast",
    "language-model",
    "fill",
    "generate",
    "translate",
    "transcribe",
    "music",
)
FEW = 20
"""Different whole numbers up to which a target may be classes as well as numbers."""
TAGS = 500
"""Different tags up to which the words of a target column are tags."""


@dataclass(frozen=True)
class Inputs:
    """One choice of the columns that the network reads."""

    kind: InputKind
    columns: Sequence[str]
    flag: str
    """The option that makes this choice."""


@dataclass(frozen=True)
class Seen:
    """What the rules look at."""

    form: str
    """table, rows (a format that gives its own inputs), text or music."""
    file: str
    options: DataOptions
    what: str = ""
    """Of rows: what the file is, in words."""
    inputs: Sequence[Inputs] = ()
    """Every choice of input columns that fits."""
    columns: Mapping[str, Column] = field(default_factory=dict)
    target: Column | None = None
    declared: TargetKind | None = None
    """The kind of target that the format declares."""
    short_lines: str = ""
    """Of a text: why its lines are items of a list, as the end of a sentence; empty where they are not."""


@dataclass(frozen=True)
class Reading:
    """One task that fits."""

    task: str
    inputs: Inputs | None
    target_kind: TargetKind | None
    because: str
    """What was seen, as the end of a sentence that begins with the task."""
    flags: str = ""
    """The options that choose this reading."""


Rule = Callable[[Seen], Iterator[Reading]]


def declared(seen: Seen) -> Iterator[Reading]:
    """Treebanks, .ts files and folders say themselves what their targets are."""
    tasks = {"class": "classify", "labels": "classify", "number": "regress", "tags": "tag"}
    tasks |= {"transcript": "transcribe", "translation": "translate"}
    if seen.form == "rows" and seen.declared:
        yield Reading(tasks[seen.declared], None, seen.declared, seen.what)


def text_alone(seen: Seen) -> Iterator[Reading]:
    """A text without a target is for a language model, or for gaps to fill where this is asked for.

    One of many short lines is a list of items to generate.
    """
    if seen.form != "text":
        return
    if seen.options.task == "fill":
        yield Reading("fill", None, "text", f"--task fill asks for the missing units of {seen.file}")
        return
    asked = seen.options.task == "generate"
    if asked or (seen.short_lines and seen.options.task != "language-model"):
        because = f"{seen.file} is a list of items: {seen.short_lines or 'a line is one'}"
        yield Reading("generate", None, "text", because, "--task generate")
    else:
        yield Reading(
            "language-model", None, "text", f"{seen.file} is a text without a target", "--task language-model"
        )


def notes(seen: Seen) -> Iterator[Reading]:
    """MIDI files and piano rolls are for music."""
    if seen.form == "music":
        yield Reading("music", None, "frames", seen.what or f"{seen.file} holds notes", "--task music")


def several_labels(seen: Seen) -> Iterator[Reading]:
    """A separator of labels makes a row's target a set of them."""
    if seen.target is not None and seen.options.label_separator and seen.target.kind in ("string", "number", "truth"):
        for inputs in choices(seen):
            because = f"{seen.target.name} holds labels divided by {seen.options.label_separator!r}"
            yield Reading("classify", inputs, "labels", because, "--task classify")


def few_values(seen: Seen) -> Iterator[Reading]:
    """A target of few values, each seen about twice or more, is a class; so is everything under --task classify."""
    target = seen.target
    if target is None or seen.options.label_separator or target.kind not in ("string", "number", "truth"):
        return
    forced = seen.options.task == "classify"
    few = target.distinct <= max(50, target.filled // 100) and 2 * target.distinct <= target.filled
    if target.kind == "number":
        few = target.whole and target.distinct <= FEW
    if few or forced or target.kind == "truth":
        for inputs in choices(seen):
            because = f"{target.name} has {many(target.distinct, 'different value')} in {many(target.filled, 'row')}"
            yield Reading("classify", inputs, "class", because, "--task classify")


def numbers(seen: Seen) -> Iterator[Reading]:
    """A target of numbers is for regression."""
    target = seen.target
    if target is not None and target.kind == "number" and not seen.options.label_separator:
        for inputs in choices(seen):
            yield Reading("regress", inputs, "number", f"{target.name} is a number in every row", "--task regress")


def tag_for_each_token(seen: Seen) -> Iterator[Reading]:
    """A target of as many words as its input in every row, of a small vocabulary, is for tagging."""
    target = seen.target
    if target is None or target.kind not in ("string", "tokens", "number", "truth"):
        return
    for inputs in seen.inputs:
        if inputs.kind not in ("text", "tokens"):
            continue
        column = seen.columns[inputs.columns[0]]
        if column.kind not in ("string", "tokens", "number", "truth"):
            continue
        listed_tokens = target.kind == "tokens" and inputs.kind == "tokens"
        if not (listed_tokens or seen.options.task == "tag" or equally_many(column.head(), target.head())):
            continue
        words, tags = column.token_lists(), target.token_lists()
        equal = equally_many(column, target)
        total = sum(map(len, tags))
        small = len({t for row in tags for t in row}) <= min(TAGS, total / FEW)
        several = 2 * sum(len(row) > 1 for row in words) >= len(words)
        if not equal and (listed_tokens or seen.options.task == "tag"):
            row = next(place for place, (a, b) in enumerate(zip(words, tags)) if len(a) != len(b))
            expected = f"of as many words as {inputs.columns[0]}, {len(words[row])} in row {row + 1}"
            raise refused(seen.file, f"the column {target.name}", expected, len(tags[row]), "Correct that row.")
        if equal and (listed_tokens or seen.options.task == "tag" or (small and several)):
            because = f"{target.name} has as many words as {inputs.columns[0]} in every row"
            chosen = Inputs("tokens", inputs.columns, inputs.flag)
            yield Reading("tag", chosen, "tags", because, "--task tag")


def equally_many(words: Column, tags: Column) -> bool:
    """Whether every row has as many words as tags."""
    return all(len(a) == len(b) for a, b in zip(words.token_lists(), tags.token_lists()))


def text_to_text(seen: Seen) -> Iterator[Reading]:
    """A target of many different texts beside an input text is for translation; under --task translate, any target.

    What looks like dates or series is a text, too: a date that is to be written in another form.
    """
    target = seen.target
    if target is None or seen.options.label_separator or target.values.dtype.is_nested():
        return
    asked = seen.options.task == "translate"
    if not asked and (target.kind not in ("string", "time", "series") or target.values.dtype != pl.String):
        return
    texts = target.cells.drop_nulls()
    different, whole = texts.n_unique(), texts.len()
    varied = different > max(50, whole // 100) or 2 * different > whole
    tags = any(True for _ in tag_for_each_token(seen)) if varied and seen.options.task is None else False
    for inputs in seen.inputs:
        if inputs.kind == "text" and (varied or asked) and not tags:
            because = f"{target.name} has {many(different, 'different text')} in {many(whole, 'row')}"
            yield Reading("translate", inputs, "translation", because, "--task translate")


def text_from_values(seen: Seen) -> Iterator[Reading]:
    """A target of many different texts beside numbers is for generation; beside series, for transcription."""
    target = seen.target
    if target is None or target.kind != "string" or seen.options.label_separator:
        return
    most = 2 * target.distinct > target.filled
    varied = most or target.distinct > max(50, target.filled // 100)
    because = f"{target.name} has {many(target.distinct, 'different text')} in {many(target.filled, 'row')}"
    for inputs in seen.inputs:
        if inputs.kind == "features" and most:
            yield Reading("generate", inputs, "text", because, "--task generate")
        if inputs.kind == "series" and varied and not (seen.options.audio or seen.options.task == "transcribe"):
            yield Reading("transcribe", inputs, "transcript", because, "--task transcribe")


def transcripts(seen: Seen) -> Iterator[Reading]:
    """A text beside recordings is their transcript, and so is every target under --task transcribe.

    It stands for the steps of its input in their order. Numbers are texts, too: the digits that were spoken.
    """
    target, audio, asked = seen.target, seen.options.audio, seen.options.task == "transcribe"
    if target is None or not (audio or asked) or target.kind not in ("string", "number", "truth", "time"):
        return
    if seen.options.label_separator or (target.kind not in ("string", "number") and not asked):
        return
    for inputs in seen.inputs:
        if inputs.kind in ("series", "text", "tokens"):
            because = f"--task transcribe asks for {target.name} from {listed(inputs.columns) or inputs.kind}"
            if audio:
                because = f"{target.name} is the text of --audio {audio}"
            yield Reading("transcribe", inputs, "transcript", because, "--task transcribe")


def text_from_given(seen: Seen) -> Iterator[Reading]:
    """A target beside --given, or under --task generate, is a text that is generated."""
    for inputs in seen.inputs:
        if seen.target is not None and inputs.kind in ("given", "features"):
            yield Reading("generate", inputs, "text", f"{seen.target.name} is a text to generate", "--task generate")


def over_time(seen: Seen) -> Iterator[Reading]:
    """A target of numbers beside rising or falling times, or beside times and names of series, is for a forecast.

    It is not where the input columns are named.
    """
    target, options = seen.target, seen.options
    if target is None or target.kind != "number" or options.text or options.audio or options.series or options.features:
        return
    times = [name for name, column in seen.columns.items() if column is not target and is_time(column)]
    names = [name for name in SERIES_IDS if name in seen.columns]
    dates = [name for name, column in seen.columns.items() if column.kind == "time"]
    if names and dates and not times:
        because = f"{target.name} is a number, {dates[0]} holds times and {names[0]} the names of series"
        yield Reading("forecast", None, "future", because, "--task forecast")
    if times:
        because = f"{target.name} is a number and {times[0]} rises or falls from row to row as times do"
        yield Reading("forecast", None, "future", because, "--task forecast")


RULES: Sequence[Rule] = (
    declared,
    text_alone,
    notes,
    several_labels,
    few_values,
    numbers,
    tag_for_each_token,
    text_to_text,
    text_from_values,
    transcripts,
    over_time,
)


def choices(seen: Seen) -> Sequence[Inputs | None]:
    """The choices of input columns of a table; of a format with its own inputs, None."""
    return list(seen.inputs) if seen.form == "table" else [None]


def infer(seen: Seen) -> Reading:
    """The one reading that fits.

    Raises InputError where none or several fit, with each of them and the option that chooses it.
    """
    task = seen.options.task
    if task is not None and task not in TRAINED:
        raise refused("read", "--task", f"one of {listed(TRAINED)}", repr(task), did_you_mean(task, TRAINED))
    asked = seen.options.given or (task == "generate" and seen.form != "text")
    every = [reading for rule in ((text_from_given,) if asked else RULES) for reading in rule(seen)]
    fitting = [reading for reading in every if task in (None, reading.task)]
    if not fitting:
        raise no_reading(seen, every)
    if len(fitting) > 1:
        raise several_readings(seen, fitting)
    return fitting[0]


def no_reading(seen: Seen, every: Sequence[Reading]) -> Exception:
    """The refusal of what no rule fits."""
    target = seen.target
    seen_columns = listed(f"{name} ({column.kind})" for name, column in seen.columns.items()) or seen.what or seen.form
    received = f"columns {seen_columns}" if seen.columns else seen_columns
    if target is not None:
        received += f", target {target.name} with {many(target.distinct, 'different value')}"
    expected = f"for {seen.options.task}" if seen.options.task else f"for one of {listed(TRAINED)}"
    remedy = "Name the columns (--text, --series or --features, --target)"
    remedy += f"; what was found fits --task {every[0].task}." if every else " and the task (--task)."
    return refused(seen.file, "the data", expected, received, remedy)


def several_readings(seen: Seen, fitting: Sequence[Reading]) -> Exception:
    """The refusal of what two or more rules fit: each reading, and the option that chooses it."""
    readings, flags = [], []
    same_task = len({reading.task for reading in fitting}) == 1
    same_inputs = len({reading.inputs.flag for reading in fitting if reading.inputs}) <= 1
    for reading in fitting:
        beside = f" from {listed(reading.inputs.columns, 4)} as {reading.inputs.kind}" if reading.inputs else ""
        readings.append(f"{reading.task}{'' if same_inputs else beside} ({reading.because})")
        parts = [] if same_task else [reading.flags]
        parts += [reading.inputs.flag] if reading.inputs and not same_inputs else []
        flags.append(" ".join(parts))
    remedy = f"Choose by {' or '.join(dict.fromkeys(flag for flag in flags if flag))}."
    return refused(
        seen.file, "the task", "clear from the data", f"{len(fitting)} that fit: {'; '.join(readings)}", remedy
    )
