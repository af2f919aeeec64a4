"""Flags of a command from the fields of its records: name, type, default and help are written once, in the record."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from ostinato.errors import InputError, phrase

_NEGATIVE = {"both_directions": "--one-direction"}
"""Flags whose opposite has a word of its own; others have --no- before them."""
_KINDS: dict[str, Any] = {
    "int": int, "float": float, "str": str, "Path": Path,
    "int | None": int | None, "float | None": float | None, "str | None": str | None, "Path | None": Path | None,
}  # fmt: skip
_LAYER_HELP = "Option of the layers; `ostinato.LSTM`'s of the same name."


def with_flags(
    records: Sequence[type], leave_out: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command, whose last parameter is **given, a flag for every field of some records.

    The command is called with the fields that were typed, by name, values as the record takes them.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
        made = {f.name: f for record in records for f in fields(record) if f.name not in leave_out}
        flags = [_parameter(f) for f in made.values()]
        names = {p.name for p in own}

        def called(**values: Any) -> Any:
            typed = {name: _read(made[name], value) for name, value in values.items() if name in made}
            given = {name: value for name, value in typed.items() if value is not None}
            return command(**{name: values[name] for name in names}, **given)

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in (*own, *flags)}
        return called

    return decorate


def _parameter(f: Field[Any]) -> inspect.Parameter:
    """Typed as None where it is not typed, so that the record's own default holds."""
    kind, text = str(f.type), f.metadata.get("help", _LAYER_HELP)
    name = "--" + f.name.replace("_", "-")
    default = None if f.default is MISSING else f.default
    if default not in (None, (), {}) and not isinstance(default, bool):
        shown = ",".join(f"{value:g}" for value in default) if isinstance(default, tuple) else default
        text += f" [default: {shown}]"
    if kind == "bool":
        opposite = _NEGATIVE.get(f.name, "--no-" + name[2:])
        text += f" [default: {name if default else opposite}]"
        option = typer.Option(f"{name}/{opposite}", help=text, show_default=False)
        annotation: Any = Annotated[bool | None, option]
    elif kind in _KINDS:
        base = _KINDS[kind] if "None" in kind else _KINDS[kind] | None
        annotation = Annotated[base, typer.Option(name, help=text, show_default=False)]
    else:
        annotation = Annotated[str | None, typer.Option(name, help=text, show_default=False)]
    return inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _read(f: Field[Any], value: Any) -> Any:
    """A flag's value as the record takes it: lists from commas, numbers and names of an option of the layers."""
    kind = str(f.type)
    if value is None or kind in _KINDS or kind == "bool":
        return value
    if kind.startswith("Sequence"):
        parts = tuple(part.strip() for part in value.split(",") if part.strip())
        return tuple(_number(f"--{f.name}", part) for part in parts) if kind == "Sequence[float]" else parts
    return _layer_value(f.name, value)


def _layer_value(name: str, text: str) -> Any:
    """0.25, or g=0.25,h=0.1, or a word: an option of the layers that takes a number, a mapping or a name."""
    if "=" in text:
        pairs = [part.partition("=") for part in text.split(",")]
        return {key.strip(): _number(f"--{name}", number) for key, _, number in pairs}
    try:
        return _number(f"--{name}", text)
    except InputError:
        return text


def _number(flag: str, text: str) -> float | int:
    try:
        return int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise InputError(phrase("ostinato", flag, "a number", repr(text))) from None
