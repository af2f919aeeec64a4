"""`c`: a network as C for another machine: header, object or source, self-test, sizes, and how to link them."""

from __future__ import annotations

import json
import re
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from ...errors import InputError, StorageError, phrase
from ...network import Network
from ...output_files import write_file
from ...streaming.streams import Stream
from ..products import multiply_adds
from .chip import CHIPS, WHERE, Chip, chip
from .emit import Emitted, emit
from .entry import Entry
from .header import header
from .plan import Plan, plan
from .report import CFiles
from .source_text import source
from .tools import test_program, tools

_RESERVED = set(
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while".split()
)


def c(
    model: nn.Module | Stream | Network,
    folder: str | PathLike[str],
    target: str | Chip | None = None,
    *,
    triple: str = "",
    form: str = "object",
    name: str = "net",
    weights: str = "const",
    samples: Any = None,
    max_steps: int | None = None,
) -> CFiles:
    """Writes `model` for another machine: C functions that give, step by step, the bits of `ostinato.stream(model)`.

    model      what `ostinato.stream` takes, or the stream of one; or such a model with layers of two directions, which
               runs on whole sequences alone. The weights are the model's present ones
    folder     gets NAME.h, NAME.o or NAME.c, NAME_tools.c, NAME_test.c, NAME.json, README.txt; made where it is not
               there
    target     a name of `CHIPS`, as "cortex-m4" or "aarch64", or a `Chip` that `chip` made, as with flash and ram
    triple     instead of it, LLVM's name of any other machine
    form       "object": machine code, for which nothing is compiled but what calls it; "source": one file of C99
    name       begins all names in C
    weights    "const": constants of the code; "blob": a file NAME.weights that the caller loads, which is checked, and
               can be exchanged for one of the same network with other weights
    samples    inputs of the self-test, [T, C] or int64 [T] for tokens; 16 drawn ones without
    max_steps  the longest sequence of a model with layers of two directions, for which the workspace has room

    No compiler runs, nothing of the code allocates memory or calls a library. Raises InputError for a machine that does
    not exist (the nearest name is given) or cannot run the model, for models that cannot be exported, for a wrong
    max_steps, and where code, weights, state and stack are larger than the machine; ShapeError for samples of other
    sizes; StorageError where the files cannot be written.
    """
    machine = _machine(target, triple)
    _check_words(form, name, weights, machine)
    blob, as_source = weights == "blob", form == "source"
    planned = plan(model, machine, name, blob=blob, source=as_source, samples=samples, max_steps=max_steps)
    _check_sizes(planned, None)
    y = planned.y  # read here, so that samples are refused before the code is emitted
    files: dict[str, str | bytes] = {f"{name}.h": header(planned)}
    emitted = None if planned.source else emit(Entry(planned).text(), machine)
    _check_sizes(planned, emitted)
    suffix = "c" if emitted is None else "obj" if "windows" in machine.triple else "o"
    files[f"{name}.{suffix}"] = source(planned) if emitted is None else emitted.data
    files[f"{name}_tools.c"], files[f"{name}_test.c"] = tools(planned), test_program(planned)
    if planned.blob:
        files[f"{name}.weights"] = planned.blob_bytes()
    link = f"{machine.link} {name}_test.c {name}_tools.c {name}.{suffix}"
    link += f" /Fe:{name}_test.exe" if machine.link == "cl" else f" -o {name}_test"
    report = CFiles(
        folder=str(folder),
        files=(*files, f"{name}.json", "README.txt"),
        target=machine.name,
        triple="" if emitted is None else machine.triple,
        form=form,
        dtype=planned.kernel.scalar,
        code=emitted.parts.code if emitted else None,
        weights=planned.weight_bytes,
        selftest=(planned.x.numel() * planned.x.itemsize) + y.numel() * planned.itemsize,
        state=planned.state_bytes,
        work=planned.work_bytes,
        stack=emitted.stack if emitted else None,
        saved=planned.saved_bytes,
        max_steps=planned.max_steps,
        multiply_adds=multiply_adds(planned.network),
        states={f.name: f.width for f in planned.network.states},
        fingerprint=planned.identity.hex(),
        link=link,
    )
    files[f"{name}.json"] = json.dumps(report.as_json(), indent=1) + "\n"
    files["README.txt"] = _readme(report, planned)
    _write(Path(folder), files)
    return report


def _machine(target: str | Chip | None, triple: str) -> Chip:
    if (target is None) == (not triple):
        remedy = "Write target='cortex-m4', or triple='aarch64-unknown-linux-gnu'."
        received = "both" if triple else "none"
        raise InputError(phrase(WHERE, "the machine", f"a target ({', '.join(CHIPS)}) or a triple", received, remedy))
    return target if isinstance(target, Chip) else chip(target, triple=triple)


def _check_words(form: str, name: str, weights: str, machine: Chip) -> None:
    if form not in ("object", "source"):
        raise InputError(phrase(WHERE, "form", '"object" or "source"', repr(form)))
    if form == "object" and machine.triple.startswith("wasm"):
        remedy = "ostinato.export.wasm writes a module."
        raise InputError(phrase(WHERE, "the machine", "one whose objects C is linked with", machine.triple, remedy))
    if form == "object" and machine.source_only:
        remedy = "Write form='source'."
        raise InputError(phrase(WHERE, "form", f"'source' for {machine.name}: {machine.note}", repr(form), remedy))
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in _RESERVED:
        remedy = "All functions and files begin with it: name='net'."
        raise InputError(phrase(WHERE, "name", "a name of C: letters, digits and _", repr(name), remedy))
    if weights not in ("const", "blob"):
        raise InputError(phrase(WHERE, "weights", '"const" or "blob"', repr(weights)))


def _check_sizes(plan: Plan, emitted: Emitted | None) -> None:
    """Refuses what the machine cannot hold: first without the code, which takes long to emit for large networks."""
    machine = plan.chip
    code = emitted.parts.code if emitted else 0
    stack = emitted.stack if emitted else 0
    reach = 1 << (machine.bits - 1)
    needs = [
        (
            "flash",
            code + plan.weight_bytes,
            machine.flash,
            f"{code:,} bytes of code and {plan.weight_bytes:,} of weights",
        ),
        (
            "ram",
            plan.state_bytes + plan.work_bytes + stack,
            machine.ram,
            f"a state of {plan.state_bytes:,} bytes, a workspace of {plan.work_bytes:,} and a stack of {stack:,}",
        ),
    ]
    for what, need, limit, parts in needs:
        most = min(reach, limit or reach)
        if need > most:
            remedy = "Choose smaller layers, or a machine with more."
            if what == "flash":
                remedy = "Choose smaller layers, or a machine with more; weights='blob' may lie in other memory."
            expected = f"at most {most:,} bytes on {machine.name}"
            raise InputError(phrase(WHERE, what, expected, f"{need:,}: {parts}", remedy))


def _readme(report: CFiles, plan: Plan) -> str:
    n, flushes = plan.name, not plan.source and not plan.chip.triple.startswith("riscv")
    python = "the same network" if plan.network.whole else "ostinato.stream"
    functions = "run, for whole sequences" if plan.network.whole else "step, run and reset"
    lines = [
        f"{n}: a recurrent network for {report.target}, exported by Ostinato",
        "",
        f"{n}.h          what to include: functions and sizes",
        f"{report.files[1]:14} {functions}" + ("" if plan.blob else ", and the weights as constants"),
        f"{n}_tools.c    {'' if plan.network.whole else 'saved states, '}the self-test; plain C99",
        f"{n}_test.c     a program that runs the self-test and prints its result",
        f"{n}.json       the sizes below for other programs",
    ]
    if plan.blob:
        lines.append(
            f"{n}.weights    initial states and weights, to be read into memory; {n}_weights_check checks them"
        )
    lines += [
        "",
        "The test program:",
        "",
        f"    {report.link}",
        "",
        str(report).split("\n", 1)[1].rsplit("\n", 1)[0],
        "",
        *_notes(plan),
        "",
        f"The bits of the outputs are those of {python} in Python. Two exceptions: the sign of a NaN, and",
        "subnormal numbers, "
        + (
            "which are taken as zero here as in Python."
            if flushes
            else "which Python takes as zero and this code does not."
        ),
    ]
    return "\n".join([*lines, ""])


def _notes(plan: Plan) -> list[str]:
    """What the users of this machine have to know beside."""
    chip, notes = plan.chip, []
    if not plan.source:
        notes.append(
            "The stack is the sum of LLVM's frames along the deepest chain of calls, and 16 bytes for every call."
        )
    if not plan.source and chip.triple.startswith("riscv") and chip.lanes > 1:
        notes.append("It is that of vectors of 128 bits; wider ones are run too, and need more stack.")
    if chip.triple.startswith("thumb"):
        notes.append(
            "The board's own startup file and linker script belong on the command line. The floating point unit"
        )
        notes.append("has to be on (CPACR) before the first call.")
    if not plan.source and "windows" in chip.triple:
        notes.append("The object refers to _fltused, which every C library of Windows has.")
    return notes


def _write(folder: Path, files: dict[str, str | bytes]) -> None:
    """Writes every file beside its place and moves it there, so that none is ever half a file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Give a folder that can be written, on a disk with room."
        received = f"{folder}: {error.strerror}"
        raise StorageError(phrase(WHERE, "folder", "one that can be written", received, remedy)) from error
    for name, content in files.items():
        write_file(WHERE, "folder", folder / name, content)
