"""What a user can set, in one place: each field is a flag of the commands and a keyword of `ostinato.train`.

A field's `help` is what `--help` prints of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, did_you_mean, phrase

_BPE = re.compile(r"bpe:[1-9]\d{2,6}")
MOST_BEAM = 1000
"""Hypotheses of a search; the memory that it takes grows with them."""
MOST_PENALTY = 10
"""Power of a length: no length of an output to this power is beyond a float."""
BEAMS = f"a whole number from 1 to {MOST_BEAM:,}"
ONE_HYPOTHESIS = "1 follows the most probable unit each time."


def _flag(default: Any, help: str) -> Any:
    if isinstance(default, dict):
        return field(default_factory=dict, metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which files, which columns, which task, and how rows are split."""

    paths: Sequence[Path] = _flag((), "Files of rows, or a folder of texts or recordings.")
    valid: Path | None = _flag(None, "A file of validation rows; without it a share of the rows.")
    test: Path | None = _flag(None, "A file of test rows; without it a share of the rows.")
    valid_share: float = _flag(0.1, "Share of the rows that choose the weights and end the training.")
    test_share: float = _flag(0.1, "Share of the rows that only the final metrics are computed on; 0: none.")
    target: str | None = _flag(None, "The column to predict.")
    text: str | None = _flag(None, "The column of texts to read.")
    series: Sequence[str] = _flag((), "Columns of series to read, with commas between.")
    features: Sequence[str] = _flag((), "Columns of numbers to read, with commas between.")
    columns: Sequence[str] = _flag((), "Names of the columns of a file without a header, with commas between.")
    group: str | None = _flag(None, "A column whose equal values stay in one part of the split.")
    encoding: str | None = _flag(None, "Encoding of text files that are neither UTF-8 nor UTF-16, such as latin-1.")
    label_separator: str | None = _flag(None, "Separator of the labels of one cell, where a row may have several.")
    task: str | None = _flag(None, "The task, where the file does not say, such as classify or forecast.")
    given: Sequence[str] = _flag((), "Columns that a target text is generated from, with commas between.")
    time: str | None = _flag(None, "The column of times of a forecast.")
    id: str | None = _flag(None, "The column that names the series of a forecast, where a file holds several.")
    horizon: int | None = _flag(None, "Steps to forecast.")
    future: Sequence[str] = _flag((), "Columns whose values are known ahead, with commas between.")
    origins: int | None = _flag(None, "The last origins, which are the test part of a forecast.")
    audio: str | None = _flag(None, "The column of paths of recordings, relative to the file.")
    rate: int | None = _flag(None, "Samples a second at which recordings are read. [default: the training's first]")
    mels: int = _flag(40, "Bands of the mel spectrum of a recording.")
    grid: int | None = _flag(None, "Frames of a beat of music. [default: 4 with MIDI files, 1 of piano rolls alone]")
    split_seed: int = _flag(0, "Seed of the split by hash; the same seed puts a row into the same part.")


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The network."""

    cell: str = _flag("gru", "A cell of the catalogue, or FILE.py:NAME.")
    hidden: int = _flag(128, "Hidden units.")
    layers: int = _flag(1, "Recurrent layers.")
    both_directions: bool = _flag(True, "Whether the layers also read from the end.")
    embedding: int = _flag(64, "Size of the vector of a word, or of a character.")
    dropout: float = _flag(0.3, "Share of the numbers between layers that training sets to 0.")
    unit: str = _flag("auto", "word, char, bpe:8000, or auto: char where most texts have at most two words.")
    lowercase: bool = _flag(False, "Whether capitals are read as small letters.")
    vocabulary: int = _flag(50_000, "Most frequent words of the training rows with a vector; others share one.")
    vectors: Path | None = _flag(None, "Word vectors to begin with: a word and its numbers on each line.")
    context: int | None = _flag(None, "Steps that a forecast reads. [default: by the period of the series]")
    levels: Sequence[float] = _flag((80.0, 95.0), "Percent that the bands of a forecast cover, with commas between.")
    scale: str = _flag("auto", "none, log or auto: log where a forecast's series grows with its amplitude.")
    attention: str = _flag("additive", "Attention of a translation: additive, multiplicative or none.")
    beam: int = _flag(
        5, "Hypotheses of the beam search of a translation or transcript; 1: the most probable unit each time."
    )
    length_penalty: float = _flag(1.0, "A translation's score is divided by its length to this power; 0: not divided.")
    chords: str = _flag(
        "joint", "Keys of a frame of music: joint, each decided after the lower ones, or apart, each by itself."
    )
    options: Mapping[str, Any] = _flag({}, "Options of the layers by name: zoneout, layer_norm, ...")


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How long, how fast, from which seed."""

    minutes: float = _flag(10.0, "Minutes for the whole command, at most.")
    updates: int | None = _flag(None, "Exactly so many updates, whatever time they take.")
    batch: int | None = _flag(None, "Rows of an update. [default: 32; up to 256 where rows are short and many]")
    learning_rate: float = _flag(3e-3, "Adam's learning rate at the start; it falls to 0 at the last update.")
    clip: float = _flag(1.0, "Largest norm of the gradient.")
    weight_decay: float = _flag(0.0, "L2: the weights times this are added to their gradient.")
    patience: int = _flag(8, "Evaluations, of 300 updates or more, without a better metric that end the training.")
    k1: int = _flag(64, "Steps of a text between two updates of a language model.")
    k2: int | None = _flag(None, "Steps that gradients of a language model reach back. [default: k1]")
    class_weights: str = _flag("none", "none, or balanced: rows of rare classes have larger weights in the loss.")
    seed: int = _flag(0, "Seed of the split, the initial weights, the order of rows and dropout.")
    device: str = _flag("cpu", "Where the network runs, as torch names it.")
    threads: int | None = _flag(None, "Threads of the kernels. [default: torch's, or one where that is faster]")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What is written where."""

    out: Path | None = _flag(None, "Folder of the model; a number is added if it exists. [default: NAME-model]")
    private: bool = _flag(False, "Leave rows, texts and hashes of the data out of the folder.")
    baselines: bool = _flag(True, "Whether baselines are fitted beside the network.")
    lens: bool = _flag(True, "Whether the report has gradients and gates of the network.")
    from_model: Path | None = _flag(None, "A model folder whose weights training begins with.")


@dataclass(frozen=True, kw_only=True)
class WritingOptions:
    """What a trained model of texts or of music writes."""

    prompt: str | None = _flag(None, "The beginning of the text, - from standard input; of music a MIDI file.")
    out: Path | None = _flag(None, "A new MIDI file for music. [default: NAME-1.mid]")
    count: int = _flag(1, "Texts, or files of music, that are written.")
    length: int = _flag(300, "Units of a text at most, as in the training: characters, words, sub-words; new frames.")
    temperature: float = _flag(1.0, "Number that divides the scores; 0: always the most probable unit.")
    top_k: int | None = _flag(None, "Draw among so many of the most probable units.")
    top_p: float | None = _flag(None, "Draw among the fewest units whose probabilities add up to this share.")
    stop: str | None = _flag(None, "A text that ends the writing, and is not written.")
    seed: int = _flag(0, "Seed of the draws; the same seed gives the same texts.")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Where the files of an export go, and for which machine they are."""

    target: str | None = _flag(None, "With --c: the machine, such as cortex-m4. [default: this one]")
    form: str | None = _flag(None, "With --c: object or source. [default: object, where the machine has one]")
    max_steps: int | None = _flag(None, "With --c: steps of the longest sequence, for layers of both directions.")
    out: Path | None = _flag(None, "A new folder. [default: MODEL/onnx, c, wasm or page; a number is added]")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """All options of a training."""

    data: DataOptions = field(default_factory=DataOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    fit: FitOptions = field(default_factory=FitOptions)
    run: RunOptions = field(default_factory=RunOptions)
    chosen: frozenset[str] = field(default=frozenset(), compare=False)
    """The options that the user gave by name; a task has defaults of its own for others."""

    @classmethod
    def of(cls, where: str, given: Mapping[str, Any]) -> TrainOptions:
        """The options by name, whichever record they belong to; options of the layers by their own names too.

        Raises InputError for an unknown name, with the nearest known one.
        """
        from ..layers.options import Options

        layer_options = {f.name for f in fields(Options)}
        parts: dict[str, dict[str, Any]] = {part: {} for part in _RECORDS}
        found = given.get("options") or {}
        if not isinstance(found, Mapping):
            raise InputError(phrase(where, "options", "a mapping of names and values", repr(found)))
        options: dict[str, Any] = dict(found)
        for name, value in given.items():
            value = value.item() if isinstance(value, np.generic) else value
            part = _PART_OF.get(name)
            if part is not None:
                parts[part][name] = value
            elif name in layer_options:
                options[name] = value
            else:
                known = [*_PART_OF, *sorted(layer_options)]
                raise InputError(phrase(where, "an option", "a known one", repr(name), did_you_mean(name, known)))
        parts["network"]["options"] = options
        Options.of(where, options)
        made = cls(**{name: _RECORDS[name](**values) for name, values in parts.items()}, chosen=frozenset(given))
        _check(where, made)
        return made

    def for_task(self, defaults: Mapping[str, Any]) -> TrainOptions:
        """The same with a task's own defaults for the options that the user has not given."""
        return self.but(**{name: value for name, value in defaults.items() if name not in self.chosen})

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it: paths as text."""
        return {name: _plain(asdict(getattr(self, name))) for name in _RECORDS}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], where: str) -> TrainOptions:
        """What `to_json` gave. Raises InputError for anything else."""
        given: dict[str, Any] = {}
        for name, record in _RECORDS.items():
            part = content.get(name)
            if not isinstance(part, Mapping):
                raise InputError(phrase(where, f"the options under {name!r}", "a JSON object", type(part).__name__))
            paths = {f.name for f in fields(record) if "Path" in str(f.type) and f.name != "paths"}
            for key, value in part.items():
                if isinstance(value, list):
                    given[key] = tuple(value)  # JSON has no tuples
                else:
                    given[key] = Path(value) if key in paths and isinstance(value, str) else value
        if isinstance(given.get("paths"), tuple):
            given["paths"] = tuple(Path(p) if isinstance(p, str) else p for p in given["paths"])
        return cls.of(where, given)

    def but(self, **changes: Any) -> TrainOptions:
        """The same with other values of some options, by name."""
        parts: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            parts.setdefault(_PART_OF[name], {})[name] = value
        return replace(self, **{part: replace(getattr(self, part), **values) for part, values in parts.items()})


_RECORDS: dict[str, Any] = {"data": DataOptions, "network": NetworkOptions, "fit": FitOptions, "run": RunOptions}
_PART_OF = {f.name: part for part, record in _RECORDS.items() for f in fields(record)}


def several(value: Any) -> tuple[Any, ...]:
    """The values of an option that may have several: a list, or one value alone."""
    return (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _check_kinds(where: str, part: Any) -> None:
    """Refuses values of another kind than the fields of a record have."""
    for option in fields(part):
        kind, _, none = str(option.type).partition(" | ")
        value = getattr(part, option.name)
        expected, types, several = _KINDS[kind]
        good = isinstance(value, Sequence) and not isinstance(value, str) if several else True
        values = value if several and good else (value,)
        good = good and all(isinstance(v, types) and (bool in types or not isinstance(v, bool)) for v in values)
        if not good and not (none and value is None):
            raise InputError(phrase(where, option.name, expected, repr(value)))


_KINDS: Mapping[str, tuple[str, tuple[type, ...], bool]] = {
    "int": ("a whole number", (int,), False),
    "float": ("a number", (int, float), False),
    "str": ("a text", (str,), False),
    "bool": ("True or False", (bool,), False),
    "Path": ("a path", (Path, str), False),
    "Mapping[str, Any]": ("a mapping of names and values", (Mapping,), False),
    "Sequence[Path]": ("a list of paths", (Path, str), True),
    "Sequence[str]": ("a list of texts", (str,), True),
    "Sequence[float]": ("a list of numbers", (int, float), True),
}
"""The type of a field → how it is said, the types of Python, whether it is a list of them."""


def is_beam(value: Any) -> bool:
    """Whether a search can follow so many hypotheses."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(1 <= value <= MOST_BEAM)


def _check(where: str, made: TrainOptions) -> None:
    """Refuses numbers that no training can use."""
    network, fit, data = made.network, made.fit, made.data
    whole: list[tuple[Any, str]] = [(network, name) for name in ("hidden", "layers", "embedding", "vocabulary")]
    whole += [(fit, "patience"), (fit, "k1"), (data, "mels")]
    optional = [
        (data, "rate"),
        (data, "grid"),
        (fit, "batch"),
        (fit, "k2"),
        (fit, "threads"),
        (data, "horizon"),
        (data, "origins"),
        (network, "context"),
    ]
    for record, name in [*whole, *(pair for pair in optional if getattr(*pair) is not None)]:
        value = getattr(record, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(phrase(where, name, "a whole number of 1 or more", repr(value)))
    levels: Any = network.levels
    if isinstance(levels, str) or not isinstance(levels, Sequence):
        raise InputError(phrase(where, "levels", "a list of percents", repr(levels), "Write (80, 95)."))
    for level in network.levels:
        if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 100:
            remedy = "Write --levels 80,95."
            raise InputError(phrase(where, "levels", "percent above 0 and below 100", repr(level), remedy))
    if len(set(network.levels)) < len(network.levels):
        received = ",".join(f"{level:g}" for level in network.levels)
        raise InputError(phrase(where, "levels", "different percents", received, "Write each once."))
    if network.scale not in ("auto", "none", "log"):
        raise InputError(phrase(where, "scale", "auto, none or log", repr(network.scale)))
    if network.attention not in ("additive", "multiplicative", "none"):
        expected = "additive, multiplicative or none"
        raise InputError(phrase(where, "attention", expected, repr(network.attention)))
    if network.chords not in ("joint", "apart"):
        raise InputError(phrase(where, "chords", "joint or apart", repr(network.chords)))
    if not is_beam(network.beam):
        raise InputError(phrase(where, "beam", BEAMS, repr(network.beam), ONE_HYPOTHESIS))
    if not isinstance(network.length_penalty, int | float) or not 0 <= network.length_penalty <= MOST_PENALTY:
        expected = f"a number from 0 to {MOST_PENALTY}"
        raise InputError(phrase(where, "length_penalty", expected, repr(network.length_penalty)))
    for name, number in (("minutes", fit.minutes), ("learning_rate", fit.learning_rate), ("clip", fit.clip)):
        if not isinstance(number, int | float) or not 0 < number < float("inf"):
            raise InputError(phrase(where, name, "a number above 0", repr(number)))
    if not isinstance(fit.weight_decay, int | float) or not 0 <= fit.weight_decay < float("inf"):
        raise InputError(phrase(where, "weight_decay", "a number of 0 or more", repr(fit.weight_decay)))
    for part in (data, network, fit, made.run):
        _check_kinds(where, part)
    if fit.updates is not None and fit.updates < 1:
        raise InputError(phrase(where, "updates", "1 or more", fit.updates, "Leave it out to plan them from minutes."))
    if not 0 <= network.dropout < 1:
        raise InputError(phrase(where, "dropout", "a share from 0 up to, not including, 1", network.dropout))
    if network.unit not in ("auto", "word", "char") and not _BPE.fullmatch(network.unit):
        expected = "auto, word, char, or bpe: with a number of entries such as bpe:8000"
        raise InputError(phrase(where, "unit", expected, repr(network.unit)))
    if fit.class_weights not in ("none", "balanced"):
        raise InputError(phrase(where, "class_weights", "none or balanced", repr(fit.class_weights)))
    if not 0 < data.valid_share < 1:
        raise InputError(phrase(where, "valid_share", "a share between 0 and 1", data.valid_share))
    if not 0 <= data.test_share < 1:
        raise InputError(phrase(where, "test_share", "a share from 0 up to, not including, 1", data.test_share))
    if data.valid_share + data.test_share >= 1:
        remedy = "Leave rows to train on."
        raise InputError(
            phrase(where, "valid_share + test_share", "below 1", data.valid_share + data.test_share, remedy)
        )
