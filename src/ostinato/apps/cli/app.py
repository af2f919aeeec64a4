"""The commands and their options."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ostinato._start_up import over
from ostinato._version import __version__
from ostinato.errors import InputError, OstinatoError, phrase
from ostinato.program.spelling import as_flags
from ostinato.program.standard_output import MAKE_ROOM, say
from ostinato.program.terminal import without_controls

from .printable import make_printable
from .program import add_program
from .versions import version_document

app = typer.Typer(
    help="Recurrent networks, written as equations and compiled.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


add_program(app)


def main() -> None:
    """The console script: a refusal is one message on stderr and exit status 2, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        make_printable(stream)
    over()
    try:
        app()
    except OstinatoError as error:
        print(without_controls(as_flags(str(error))), file=sys.stderr)
        sys.exit(2)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print it and stop.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="With --version: as JSON, with the machine and the packages, for a report.")
    ] = False,
) -> None:
    if version:
        say(version_document() if json else f"ostinato {__version__}")
        raise typer.Exit
    if json:
        remedy = "Write `ostinato --version --json`, or --json after the name of a command."
        raise InputError(phrase("ostinato", "--json", "beside --version", "no --version", remedy))


@app.command()
def demo(
    text: Annotated[Path | None, typer.Option(help="A UTF-8 text file. [default: Python's language reference]")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; a number is added if it exists.")] = Path(
        "ostinato-demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the initial weights and the samples.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps of training for each cell, at most.")] = 2000,
    seconds: Annotated[float, typer.Option(help="Seconds for all of it, roughly; fewer steps are taken to fit.")] = 230,
    hidden: Annotated[int, typer.Option(help="Hidden units of each cell.")] = 256,
) -> None:
    """Train a plain RNN, a GRU and an LSTM on the same text, beside torch.nn, and look inside."""
    from ostinato.apps.demo import Settings, run

    raise typer.Exit(run(Settings(text=text, out=out, seed=seed, steps=steps, seconds=seconds, hidden=hidden)))


@app.command()
def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model folder, a file that `demo` saved, or MODULE:FUNCTION, which returns (model, batch, loss).",
        ),
    ],
    text: Annotated[
        Path | None, typer.Option(help="For a saved file: a UTF-8 text file. [default: Python's language reference]")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="For a folder: rows with targets. [default: the validation rows of its training]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new .html, .json, .png or .svg file. [default: the model's name .html]")
    ] = None,
    rows: Annotated[int, typer.Option(help="Windows of the text, or rows of a folder's data, that are read.")] = 16,
    steps: Annotated[int, typer.Option(help="For a saved file: characters of a window.")] = 100,
) -> None:
    """Look into a model: a verdict, and a page with everything that was measured."""
    from ostinato.apps.inspection import inspect as look

    report, written = look(model, text=text, data=data, out=out, rows=rows, steps=steps)
    say(f"{report}\n\nWritten: {written}", remedy=f"The page {written} is written. {MAKE_ROOM}")


@app.command()
def cells(
    name: Annotated[str | None, typer.Argument(help="A cell of the catalogue.", show_default=False)] = None,
    kernel: Annotated[bool, typer.Option("--kernel", help="Print the code emitted for this machine.")] = False,
) -> None:
    """List the catalogue, or describe one cell: equations, shapes, gates, weights, source."""
    from .cards import show

    say(show(name, kernel))


lab = typer.Typer(
    help="Experiments about recurrent networks, from settings to tables and pictures.", no_args_is_help=True
)
app.add_typer(lab, name="lab")


@lab.callback()
def _lab() -> None:
    pass


@lab.command()
def lag(
    task: Annotated[str | None, typer.Option(help="Tasks, with commas between. [default: all but distractors]")] = None,
    cells: Annotated[str | None, typer.Option(help="Cells of the catalogue; rnn is elman. [default: four]")] = None,
    lags: Annotated[str, typer.Option(help="Steps from the cue to the answer.")] = "10,30,100",
    init: Annotated[
        str | None,
        typer.Option(help="torch, orthogonal, identity, chrono, forget-1. [default: those that suit each cell]"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of everything, each with other weights and sequences.")] = 1,
    minutes: Annotated[
        float, typer.Option(help="Minutes at most; the same command continues an experiment later.")
    ] = 10,
    workers: Annotated[int | None, typer.Option(help="Cases at a time. [default: one for each core]")] = None,
    updates: Annotated[int, typer.Option(help="Updates of each network, at most.")] = 2500,
    batch: Annotated[int, typer.Option(help="Sequences for an update.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 5e-3,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient.")] = 1.0,
    hidden: Annotated[int, typer.Option(help="Units of an LSTM; other cells get as many weights.")] = 32,
    sequences: Annotated[
        int | None, typer.Option(help="Different sequences to learn from. [default: always new]")
    ] = None,
    decay: Annotated[bool, typer.Option("--decay", help="The learning rate falls to 0 at the last update.")] = False,
    to_the_end: Annotated[bool, typer.Option("--to-the-end", help="Train on when the lag is bridged.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the results; finished runs in it are kept.")] = Path(
        "ostinato-lab-lag"
    ),
) -> None:
    """Which cell bridges which lag, beside how far its gradient reached before training."""
    from ostinato.apps.environment import cores
    from ostinato.apps.lab import Settings, run
    from ostinato.apps.lab.settings import Training, names, numbers

    training = Training(updates, batch, learning_rate, clip, hidden, sequences, decay, to_the_end)
    options = {"tasks": names(task), "cells": names(cells), "inits": names(init)}
    given = {name: value for name, value in options.items() if value is not None}
    count = cores() if workers is None else workers
    raise typer.Exit(
        run(
            Settings(
                **given, lags=numbers(lags), seeds=seeds, minutes=minutes, workers=count, training=training, out=out
            )
        )
    )


@lab.command()
def sentences(
    out: Annotated[Path, typer.Option(help="A new text file.")] = Path("agreement.txt"),
    count: Annotated[int, typer.Option(help="Sentences, one a line.")] = 20_000,
    longest: Annotated[int, typer.Option(help="Words from the subject to the verb at most.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same sentences.")] = 0,
) -> None:
    """Write made sentences whose verbs agree with distant subjects, as a text to train a language model on."""
    from ostinato.apps.lab.sentences import write_sentences

    write_sentences(out, count, longest, seed)
    say(f"Written: {out}", remedy=f"The file {out} is written. {MAKE_ROOM}")
