"""`Meaning`: what the numbers of a network stand for, as its page shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ...errors import InputError, ShapeError, did_you_mean, phrase
from ...network import Network, Softmax

Output = Literal["scores", "separate scores", "probabilities", "log probabilities", "numbers"]
KINDS: tuple[Output, ...] = get_args(Output)
FORMS = ("", "NFC", "NFD", "NFKC", "NFKD")
_WHERE = "Meaning"


@dataclass(frozen=True)
class Meaning:
    """What the inputs and outputs of a network stand for. All of it travels in the page, as text."""

    title: str = "A network, live"
    """The heading of the page."""
    about: str = ""
    """A sentence below it."""
    vocabulary: Sequence[str] | None = None
    """The text of each token, in order: characters, or longer pieces, of which the longest that fits is taken."""
    unknown: str | None = None
    """The piece that characters outside the vocabulary become; None leaves them out, and the page says so."""
    pattern: str | None = None
    """A regular expression of JavaScript with the flag u, whose matches in a text are the tokens; None for the longest
    pieces of the vocabulary that fit."""
    normal_form: str = ""
    """The form of Unicode that a text is put into before, as "NFC"; none by default."""
    lowercase: bool = False
    """Whether a text is put into lower case before."""
    inputs: Sequence[str] | None = None
    """A name for each number of x."""
    scales: Sequence[tuple[float, float]] | None = None
    """For each number of x a mean m and a deviation d: the page shows m + d * x, in the units of the reader."""
    flags: Sequence[int] = ()
    """Numbers of x that are 1 or 0, and begin as 1."""
    low: float = -1.0
    """The least value that an input can be moved to."""
    high: float = 1.0
    """The greatest."""
    labels: Sequence[str] | None = None
    """A name for each output; the vocabulary by default, where there are as many outputs as tokens."""
    output: Output | None = None
    """What an output is; by default what the last node computes, or "scores" where outputs have labels. Of "scores"
    the softmax is shown, of "separate scores" the sigmoid of each."""
    output_scale: tuple[float, float] = (0.0, 1.0)
    """m and d of all outputs that are numbers: the page shows m + d * y."""
    start: str = ""
    """The text that the page begins with."""


def described(meaning: Meaning, network: Network) -> dict[str, Any]:
    """The record `PAGE` of the page's script. Raises InputError and ShapeError where the two do not fit."""
    x, outputs = network.input, network.nodes[network.output].width
    words = _vocabulary(meaning, x.tokens)
    predicts = words is not None and meaning.labels is None and outputs == len(words)
    labels = meaning.labels if meaning.labels is not None else words if predicts else None
    _check_count("labels", labels, outputs, "output")
    _check_count("inputs", meaning.inputs, x.width, "number of x")
    _check_count("scales", meaning.scales, x.width, "number of x", "pairs")
    wrong = next((k for k in meaning.flags if not 0 <= k < x.width), None)
    if wrong is not None:
        raise InputError(phrase(_WHERE, "flags", f"places from 0 to {x.width - 1}", wrong, "Count from 0."))
    if meaning.normal_form not in FORMS:
        raise InputError(phrase(_WHERE, "normal_form", f"one of {', '.join(FORMS[1:])}", repr(meaning.normal_form)))
    if meaning.output is not None and meaning.output not in KINDS:
        hint = did_you_mean(meaning.output, KINDS)
        raise InputError(phrase(_WHERE, "output", f"one of {', '.join(KINDS)}", repr(meaning.output), hint))
    if not meaning.low < meaning.high:
        received = f"{meaning.low} and {meaning.high}"
        raise InputError(phrase(_WHERE, "low and high", "two numbers, the lower one first", received))
    last = network.nodes[network.output]
    computed = None if not isinstance(last, Softmax) else "log probabilities" if last.log else "probabilities"
    names = meaning.inputs if meaning.inputs is not None else _numbered("x", x.width)
    return {
        "vocabulary": words,
        "unknown": meaning.unknown,
        "pattern": meaning.pattern,
        "normalForm": meaning.normal_form,
        "lowercase": meaning.lowercase,
        "predicts": predicts,
        "inputs": [] if words is not None else list(names),
        "scales": list(meaning.scales) if meaning.scales is not None else [(0.0, 1.0)] * x.width,
        "flags": list(meaning.flags),
        "outputScale": list(meaning.output_scale),
        "low": meaning.low,
        "high": meaning.high,
        "labels": list(labels) if labels is not None else _numbered("y", outputs),
        "output": meaning.output or computed or ("scores" if labels is not None else "numbers"),
        "start": meaning.start,
    }


def _vocabulary(meaning: Meaning, tokens: int | None) -> list[str] | None:
    """The text of every token; the token's number and a space where the caller gives none."""
    given = meaning.vocabulary
    if tokens is None:
        if given is not None:
            remedy = "Leave it out, and name the numbers with inputs=."
            raise InputError(phrase(_WHERE, "vocabulary", "None for a network of numbers", "one", remedy))
        return None
    words = [f"{k} " for k in range(tokens)] if given is None else list(given)
    if len(words) != tokens:
        remedy = "Give the text of each token, in the order of the embedding's rows."
        raise ShapeError(phrase(_WHERE, "vocabulary", f"{tokens} texts, one for each token", len(words), remedy))
    doubled = next((w for w, count in Counter(words).items() if count > 1), None)
    if doubled is not None or "" in words:
        raise InputError(phrase(_WHERE, "vocabulary", "texts that differ, none of them empty", repr(doubled or "")))
    if meaning.unknown is not None and meaning.unknown not in words:
        remedy = did_you_mean(meaning.unknown, words) + "Add it, or leave unknown out."
        raise InputError(phrase(_WHERE, "unknown", "a text of the vocabulary", repr(meaning.unknown), remedy))
    return words


def _check_count(name: str, given: Sequence[Any] | None, count: int, of: str, what: str = "names") -> None:
    if given is not None and len(given) != count:
        raise ShapeError(phrase(_WHERE, name, f"{count} {what}, one for each {of}", len(given)))


def _numbered(letter: str, count: int) -> list[str]:
    return [f"{letter}[{k}]" for k in range(count)] if count > 1 else [letter]
