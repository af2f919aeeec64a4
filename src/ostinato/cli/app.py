"""The commands and their options."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ostinato._version import __version__
from ostinato.errors import OstinatoError

app = typer.Typer(
    help="Recurrent networks, written as equations and compiled.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


def main() -> None:
    """The console script: a refusal is one message on stderr and exit status 2, never a traceback."""
    try:
        app()
    except OstinatoError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _version(asked: bool) -> None:
    if asked:
        print(f"ostinato {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and stop.")] = False,
) -> None:
    pass


@app.command()
def demo(
    text: Annotated[Path | None, typer.Option(help="A UTF-8 text file. [default: Python's language reference]")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results; a number is added if it exists.")] = Path(
        "ostinato-demo"
    ),
    seed: Annotated[int, typer.Option(help="Of the initial weights and the samples.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps of training for each cell, at most.")] = 2000,
    seconds: Annotated[float, typer.Option(help="Time for all of it, roughly; fewer steps are taken to fit.")] = 230,
    hidden: Annotated[int, typer.Option(help="Hidden units of each cell.")] = 256,
) -> None:
    """Train a plain RNN, a GRU and an LSTM on the same text, beside torch.nn, and look inside."""
    from ostinato.demo import Settings, run

    raise typer.Exit(run(Settings(text=text, out=out, seed=seed, steps=steps, seconds=seconds, hidden=hidden)))


@app.command()
def cells(
    name: Annotated[str | None, typer.Argument(help="A cell of the catalogue.", show_default=False)] = None,
    kernel: Annotated[bool, typer.Option("--kernel", help="Print the code emitted for this machine.")] = False,
) -> None:
    """List the catalogue, or describe one cell: equations, shapes, gates, weights, source."""
    from .cards import show

    print(show(name, kernel))
