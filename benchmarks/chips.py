"""Networks on other machines, under emulators: whether their bits are those of the stream, and how large they are.

    python benchmarks/chips.py [--only aarch64 cortex-m4] [--quick] [--write docs/chips.md]

For each machine: cells (every one on aarch64, four and the LSTM elsewhere; the LSTM alone with --quick), a model of
tokens with its weights in a file, and an LSTM as C source; source alone where there is no object. Step by step, whole
sequences, and states saved and loaded: all bits of all outputs are compared. Emulators count no cycles: nothing here
says how fast a machine is. Fails where one bit differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from emulated import MACHINES, SOFT, Outcome, run
from report import fill, markdown_table
from torch import Tensor, nn

import ostinato
from ostinato.cells import catalogue
from ostinato.export import CFiles, c
from ostinato.streaming.read import read

FOUR = ("gru", "elman", "slstm", "lstm_projected")
STEPS, INPUTS, HIDDEN, TOKENS = 20, 13, 24, 31
ALL = MACHINES | SOFT
HEAD = ["machine", "run by", "equal", "code", "weights", "state", "workspace", "stack"]


class Model(nn.Module):
    """Tokens [T, B] → log-probabilities [T, B, 7]: embedding, LSTM, GRU, a residual connection, LayerNorm, Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, 20)
        self.first, self.second = ostinato.LSTM(20, 24), ostinato.GRU(24, 24)
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 7)

    def forward(self, tokens: Tensor) -> Tensor:
        """One step for each token."""
        x, _ = self.first(self.embedding(tokens))
        y, _ = self.second(x)
        return torch.log_softmax(self.head(self.norm(x + y)), -1)


def layer(name: str) -> nn.Module:
    """A layer of the catalogue's cell `name`, with drawn weights."""
    torch.manual_seed(1)
    options: dict[str, Any] = {"proj_size": HIDDEN // 2} if catalogue()[name].projected else {}
    return ostinato.Recurrent(name, INPUTS, HIDDEN, **options)


def cells_of(target: str, quick: bool) -> list[str]:
    """The cells that are run on a machine."""
    if quick:
        return ["lstm"]
    if target == "aarch64":
        return [name for name, cell in catalogue().items() if not cell.random]
    return ["lstm", *FOUR]


def outcomes(target: str, quick: bool) -> Iterator[tuple[str, CFiles, Outcome]]:
    """(what, its report, what the program said) of everything that is run on one machine."""
    draw = torch.Generator().manual_seed(3)
    x, tokens = torch.randn(STEPS, INPUTS, generator=draw), torch.randint(0, TOKENS, (STEPS,), generator=draw)
    form = "source" if target in SOFT else "object"
    models: list[tuple[str, nn.Module, Tensor, str, str]] = [
        (name, layer(name), x, "const", form) for name in cells_of(target, quick)
    ]
    if not quick:
        torch.manual_seed(2)
        models.append(("model", Model().eval(), tokens, "blob", form))
        if target not in SOFT:
            models.append(("lstm in C", layer("lstm"), x, "const", "source"))
    for name, model, given, weights, form in models:
        with tempfile.TemporaryDirectory() as folder:
            report = c(model, folder, target, weights=weights, form=form)
            yield name, report, run(report, read(model), given, ALL[target])


def row(target: str, quick: bool) -> tuple[list[str], list[str]]:
    """(the machine's line of the table, what differs)."""
    machine = ALL[target]
    by = machine.run[0] + (f" {machine.run[2]}" if "-M" in machine.run else "") if machine.run else "this machine"
    if machine.missing():
        return [target, by, f"not run: {machine.missing()} is not here", *["–"] * (len(HEAD) - 3)], []
    equal, wrong, shown = 0, [], None
    found = list(outcomes(target, quick))
    for name, report, outcome in found:
        equal += outcome.equal
        if not outcome.equal:
            wrong.append(f"{target}, {name}: {outcome}")
        if name == "lstm":
            shown = report, outcome
    assert shown is not None
    report, outcome = shown
    stack = f"{report.stack:,}" if report.stack else "C"
    stack += f" ({outcome.stack:,} used)" if outcome.stack else ""
    code = f"{report.code:,}" if report.code else "C"
    sizes = [code, *(f"{n:,}" for n in (report.weights, report.state, report.work))]
    return [target, by, f"{equal} of {len(found)}", *sizes, stack], wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs, prints and writes; 1 where a bit differs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", default=list(ALL), choices=list(ALL), help="part writes nothing")
    options.add_argument("--quick", action="store_true", help="an LSTM on each; writes nothing")
    options.add_argument("--write", type=Path, metavar="PAGE", help="also put the table between the page's markers")
    chosen = options.parse_args(arguments)
    rows, wrong = [], []
    for target in chosen.only:
        line, differs = row(target, chosen.quick)
        rows.append(line)
        wrong += differs
        print("  ".join(line), flush=True)
    table = markdown_table(HEAD, rows)
    if chosen.write and not chosen.quick and chosen.only == list(ALL):
        fill(chosen.write, "machines", "\n".join(table))
    print("\n".join(["", *table, "", *wrong, f"{len(wrong)} differ"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
