"""The writing half of the main job: the table, the samples, and the files of the result folder."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text as Plain

from ostinato.apps.environment import environment
from ostinato.apps.training import Text

from .experiment import Outcome, Settings

ENOUGH = 300
"""Updates before which a character model has learned little more than how often each character comes."""


def table(outcomes: Sequence[Outcome]) -> Table:
    """One row for each trained cell."""
    made = Table(title="bits per character on held-out text, and speed in training", title_justify="left")
    made.add_column("cell")
    for heading in ("bits/char", "chars/s", "torch.nn chars/s", "ratio", "weights", "steps"):
        made.add_column(heading, justify="right")
    for each in outcomes:
        made.add_row(
            each.cell,
            f"{each.bits:.3f}",
            f"{each.speed:,.0f}",
            "not timed" if each.torch_speed is None else f"{each.torch_speed:,.0f}",
            "" if each.ratio is None else f"{each.ratio:.2f}",
            f"{each.weights:,}",
            f"{each.steps:,}",
        )
    return made


def print_results(console: Console, outcomes: Sequence[Outcome]) -> None:
    """A sample from each model, then the table, so that the table ends the output."""
    for each in outcomes:
        title = f"{each.cell} writes on after the first 100 held-out characters"
        console.print(Panel(Plain(each.sample), title=title, title_align="left"))
    console.print(table(outcomes))
    few = few_updates(outcomes)
    if few:
        console.print(few, highlight=False, soft_wrap=True)


def few_updates(outcomes: Sequence[Outcome]) -> str:
    """One sentence where networks have learned too little to be compared; else ""."""
    short = [each for each in outcomes if each.steps < ENOUGH]
    if not short:
        return ""
    counts = ", ".join(f"{each.cell} {each.steps}" for each in short)
    return (
        f"The training was too short to compare cells or to judge samples (updates: {counts}; at least {ENOUGH} are "
        "needed): give more --seconds or --steps, fewer --hidden units, or run it on a machine that has less to do."
    )


def save_results(folder: Path, outcomes: Sequence[Outcome], source: str, text: Text, settings: Settings) -> None:
    """`results.json`: settings, text, machine, and every number of the run.

    Curves are pairs [step, bits per character]; gradients are lists by lag, in nats per unit of the state.
    """
    whole = text.decode(text.train) + text.decode(text.valid)
    about_text = {
        "source": source,
        "sha256": hashlib.sha256(whole.encode()).hexdigest(),
        "characters": len(whole),
        "distinct characters": len(text.alphabet),
        "held-out characters": len(text.valid),
    }
    content = {
        "settings": {
            name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()
        },
        "text": about_text,
        "environment": environment(),
        "too little training": few_updates(outcomes) or None,
        "cells": {each.cell: asdict(each) | {"ratio": each.ratio} for each in outcomes},
    }
    (folder / "results.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def save_pictures(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """`loss.png` and `gradient-by-lag.png`."""
    # matplotlib takes half a second to import, which a run that is refused at once should not wait for
    from .pictures import loss_picture, reach_picture

    loss_picture(outcomes).savefig(folder / "loss.png")
    reach_picture(outcomes).savefig(folder / "gradient-by-lag.png")
