"""The commands on users' files: check, train, evaluate, predict, stream, generate, compare, export.

Each calls one function of `program`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from ostinato.errors import InputError, OstinatoError, phrase
from ostinato.layers.options import Options
from ostinato.program.options import DataOptions, ExportOptions, FitOptions, NetworkOptions, RunOptions, WritingOptions
from ostinato.program.packages import require_program
from ostinato.program.spelling import as_flags
from ostinato.program.standard_output import MAKE_ROOM, say
from ostinato.program.terminal import without_controls

from .flags import with_flags

_DATA = typer.Argument(metavar="DATA", help="Files of rows, or a folder of texts or recordings.", show_default=False)
_MODEL = typer.Argument(metavar="MODEL", help="A model folder.", show_default=False)
_JSON = typer.Option("--json", help="Print one JSON document instead of text.")
_QUIET = typer.Option("--quiet", help="Print no progress.")
_ROWS = typer.Argument(metavar="[DATA]", help="A file of rows; - reads lines. [default: the test rows]")


def add_program(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (check, train, evaluate, predict, stream, generate, compare, export):
        app.command()(_with_packages(command))


def _with_packages(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which refuses to run where a package of the extra `program` is missing; --help needs none."""

    @wraps(command)
    def called(**values: Any) -> None:
        try:
            require_program(f"ostinato {command.__name__}")
        except OstinatoError as error:
            if values.get("json"):
                say(dumps({"error": str(error), "status": 2}, indent=1, ensure_ascii=False))
            raise
        command(**values)

    return called


@with_flags([DataOptions], leave_out=["paths"])
def check(data: Annotated[list[Path], _DATA], json: Annotated[bool, _JSON] = False, **given: Any) -> None:
    """Say what would be trained on a file, and what is wrong with the data; trains nothing."""
    from ostinato.program.commands.check import check_data

    _end(json, lambda: check_data({"paths": tuple(data), **given}))


@with_flags([DataOptions, NetworkOptions, FitOptions, RunOptions, Options], leave_out=["paths", "options"])
def train(
    data: Annotated[list[Path] | None, _DATA] = None,
    config: Annotated[Path | None, typer.Option(help="config.json of a model folder, whose run is repeated.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="A model folder whose training was ended before its time.")
    ] = None,
    json: Annotated[bool, _JSON] = False,
    quiet: Annotated[bool, _QUIET] = False,
    **given: Any,
) -> None:
    """Train a network on a file: a model folder, and baselines beside it. The defaults of the network and the fit are
    those of classes; texts and forecasts have some of their own, which their pages name and config.json records."""
    from ostinato.program.commands.train import repeat_training, resume_training, train_on

    if sum(map(bool, (data, config, resume))) != 1:
        received = "none of them" if not (data or config or resume) else "several of them"
        raise InputError(phrase("ostinato train", "DATA, --config or --resume", "given, one of the three", received))
    if resume is not None:
        _alone("--resume", given, ())
        _end(json, lambda: resume_training(resume, quiet))
    if config is not None:
        _alone("--config", given, ("out",))
        _end(json, lambda: repeat_training(config, given.get("out"), quiet))
    _end(json, lambda: train_on({"paths": tuple(data or ()), **given}, quiet))


@with_flags([])
def evaluate(
    model: Annotated[Path, _MODEL],
    data: Annotated[Path | None, _ROWS] = None,
    agreement: Annotated[
        str | None,
        typer.Option(
            help="A treebank, .conllu: whether a language model has verbs agree with subjects; lab: made ones."
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="A new .png, .svg or .pdf file for the picture of --agreement.")
    ] = None,
    json: Annotated[bool, _JSON] = False,
) -> None:
    """Metrics of a model folder with intervals, by class and by length."""
    from ostinato.program.commands.model import evaluate_agreement_of, evaluate_model

    if agreement is not None:
        from ostinato.apps.lab.sentences import made_pairs

        _only_agreement(data)
        _end(json, lambda: evaluate_agreement_of(model, agreement, made_pairs, picture))
    if picture is not None:
        remedy = "Add --agreement lab, say."
        raise InputError(phrase("ostinato evaluate", "--picture", "beside --agreement", "no --agreement", remedy))
    _end(json, lambda: evaluate_model(model, data))


def _only_agreement(data: Path | None) -> None:
    """Refuses DATA beside --agreement."""
    if data is not None:
        remedy = "The sentences are those of --agreement."
        raise InputError(phrase("ostinato evaluate", "DATA", "left out beside --agreement", data, remedy))


@with_flags([])
def predict(
    model: Annotated[Path, _MODEL],
    data: Annotated[str | None, _ROWS] = None,
    out: Annotated[Path | None, typer.Option(help="A new file for the table. [default: printed]")] = None,
    fill: Annotated[str | None, typer.Option(help="A text with ___ for each missing unit; - reads lines.")] = None,
    count: Annotated[int | None, typer.Option(help="Units that are listed for each gap. [default: 5]")] = None,
    beam: Annotated[int | None, typer.Option(help="Hypotheses of the beam search. [default: the training's]")] = None,
    json: Annotated[bool, _JSON] = False,
) -> None:
    """Predict the rows of a file: a table in, a table out. With - lines are answered; a forecast continues series."""
    from ostinato.program.commands.fill import fill_gaps
    from ostinato.program.commands.model import predict_rows

    if fill is not None or count is not None or json:
        _end(json, lambda: fill_gaps(model, fill, {"DATA": data, "--out": out, "--beam": beam}, count, json))
    raise typer.Exit(predict_rows(model, data, out, beam))


@with_flags([])
def stream(
    model: Annotated[Path, _MODEL],
    state: Annotated[
        Path | None, typer.Option(help="A file to go on from, if it is there, and to save the states in at the end.")
    ] = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="Lines begin with an id and a tab; each id is a sequence.")
    ] = False,
    reset_on: Annotated[
        str | None, typer.Option(help="A line that begins a new sequence. [default: an empty line; of texts none]")
    ] = None,
    next: Annotated[
        int | None, typer.Option(help="Number of most probable next units, or keys of music, to print.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first line that cannot be read.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON document on each line.")] = False,
) -> None:
    """Answer the lines of standard input at once, with the state of the network carried from line to line."""
    from ostinato.program.commands.stream import stream_lines
    from ostinato.program.running.streaming.run import Asked

    raise typer.Exit(stream_lines(model, Asked(state, ids, reset_on, next, strict, json)))


@with_flags([WritingOptions])
def generate(
    model: Annotated[Path, _MODEL],
    given: Annotated[
        list[str] | None, typer.Option(help="COLUMN=VALUE of the training, once for each. [default: drawn]")
    ] = None,
    json: Annotated[bool, _JSON] = False,
    **options: Any,
) -> None:
    """Write texts, or MIDI files, with a model of texts, items or music, and say how much is in its training rows."""
    from ostinato.program.commands.generate import write_with

    _end(json, lambda: write_with(model, given or (), options, json))


@with_flags(
    [DataOptions, NetworkOptions, FitOptions, RunOptions, Options], leave_out=["paths", "options", "cell", "out"]
)
def compare(
    data: Annotated[list[Path], _DATA],
    cells: Annotated[
        str, typer.Option(help="Cells of the catalogue or FILE.py:NAME, with commas between.")
    ] = "gru,lstm",
    seeds: Annotated[int, typer.Option(help="Runs of each cell.")] = 1,
    json: Annotated[bool, _JSON] = False,
    quiet: Annotated[bool, _QUIET] = False,
    **given: Any,
) -> None:
    """Train several cells on the same rows: one table, baselines first."""
    from ostinato.program.commands.train import compare_cells

    names = tuple(name.strip() for name in cells.split(",") if name.strip())
    _end(json, lambda: compare_cells({"paths": tuple(data), **given}, names, seeds, quiet))


@with_flags([ExportOptions])
def export(
    model: Annotated[Path, _MODEL],
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX files, which other runtimes execute.")] = False,
    c: Annotated[bool, typer.Option("--c", help="Write C functions for a machine, step by step.")] = False,
    wasm: Annotated[bool, typer.Option("--wasm", help="Write a WebAssembly module and a JavaScript class.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Write a page in which the network runs, offline.")] = False,
    no_check: Annotated[
        bool,
        typer.Option("--no-check", help="With --onnx: do not compare with the network, for which onnxruntime runs."),
    ] = False,
    json: Annotated[bool, _JSON] = False,
    **options: Any,
) -> None:
    """Write the network of a model folder for other programs, with what they need to run it."""
    from ostinato.program.commands.export import export_model

    formats = {"--onnx": onnx, "--c": c, "--wasm": wasm, "--page": page}
    _end(json, lambda: export_model(model, [name for name, asked in formats.items() if asked], not no_check, options))


def _alone(flag: str, given: dict[str, Any], allowed: tuple[str, ...]) -> None:
    """Refuses flags beside one that brings all of them."""
    others = [f"--{name.replace('_', '-')}" for name in given if name not in allowed]
    if others:
        remedy = f"{flag} brings every option of the run."
        raise InputError(phrase("ostinato train", flag, "alone", f"{', '.join(others)} beside it", remedy))


def _end(json: bool, run: Any) -> None:
    """Prints what a command found, as text or as one document, and ends with its status."""
    from ostinato.program.commands.closing import document

    try:
        found = run()
    except OstinatoError as error:
        if json:
            say(document({"error": as_flags(str(error)), "status": 2}))
        raise
    if found.printed:
        remedy = " ".join(filter(None, [found.kept, MAKE_ROOM]))
        say(document(found.content) if json else without_controls(found.text), remedy=remedy)
    raise typer.Exit(found.status)
