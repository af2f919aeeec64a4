"""How a message spells an option: `--valid-share 0.2` on the command line, `valid_share=0.2` from Python.

The same code raises for both. The command line spells the option that a message is about as a flag; `ostinato.train`
and the estimators spell every flag of a message as a keyword.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import OstinatoError
from ..layers.options import Options
from .options import DataOptions, FitOptions, NetworkOptions, RunOptions, WritingOptions

_P = ParamSpec("_P")
_R = TypeVar("_R")

_RECORDS = (DataOptions, NetworkOptions, FitOptions, RunOptions, WritingOptions, Options)
_NAMES = {f.name for record in _RECORDS for f in fields(record)}
WORDS = (
    "classify", "regress", "tag", "forecast", "language-model", "fill", "generate", "transcribe", "translate", "music",
    "balanced", "none", "log", "word", "char", "apart", "all", "cpu", "latin-1", "utf-16-le",
)  # fmt: skip
"""Values that messages write after a flag; the names of all tasks are among them."""
_VALUE = r"[A-Z]{2,}|\w[\w-]*(?:[=:.,][\w-]+)+|\d+|" + "|".join(sorted(WORDS, key=len, reverse=True))
_FLAG = re.compile(rf"(?<![\w-])--(no-)?([a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?: ({_VALUE})(?![\w-]))?")
_COMMAND = re.compile(r"`[^`]*`|\bostinato [a-z]+ [A-Z][^;]*")
"""Parts of a message that are commands to type, in which flags stay."""
_SUBJECT = re.compile(r"((?:ostinato [a-z]+|fit): )([a-z_0-9]+(?: \+ [a-z_0-9]+)*)(?= must be )")


def as_flags(message: str) -> str:
    """`ostinato train: valid_share must be …` → `ostinato train: --valid-share must be …`, as it was typed."""
    found = _SUBJECT.match(message)
    names = found[2].split(" + ") if found else []
    if found is None or not all(name in _NAMES for name in names):
        return message
    return found[1] + " + ".join("--" + name.replace("_", "-") for name in names) + message[found.end() :]


def as_keywords(message: str) -> str:
    """`Write --updates 1000, say.` → `Write updates=1000, say.`; commands in a message stay as they are."""
    parts, end = [], 0
    for command in _COMMAND.finditer(message):
        parts += [_FLAG.sub(_keyword, message[end : command.start()]), command[0]]
        end = command.end()
    return "".join([*parts, _FLAG.sub(_keyword, message[end:])])


def _keyword(flag: re.Match[str]) -> str:
    name, value = flag[2].replace("-", "_"), flag[3]
    if name == "one_direction":
        return "both_directions=False"
    if name not in _NAMES:
        return flag[0]
    if flag[1]:
        return f"{name}=False"
    return name if value is None else f"{name}={_python(value)}"


def _python(value: str) -> str:
    """A typed value as Python writes it."""
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return value
    if "=" in value:
        key, _, given = value.partition("=")
        return f'{{"{key}": {_python(given)}}}'
    if "," in value:
        return f"[{', '.join(map(_python, value.split(',')))}]"
    return f'"{value}"'


def keyword_errors(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function of the Python interface: errors that it raises spell options as keywords."""

    @wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except OstinatoError as error:
            error.args = (as_keywords(str(error)), *error.args[1:])
            raise

    return called
