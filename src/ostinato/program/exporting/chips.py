"""`ostinato export --c`, `--wasm` and `--page`: networks as C, WebAssembly and pages."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import export
from ..._version import __version__
from ...errors import InputError, NoKernelsError, phrase
from ...kernels.system.target import host
from ..folder.names import new_folder
from ..folder.save import as_json
from ..options import ExportOptions
from ..running.model import Model, open_model
from ..storage import write_bytes
from .check import WHERE
from .chips_core import steps_of
from .chips_readme import c_readme, page_readme, wasm_readme
from .chips_steps import Steps, taken
from .chips_values import values_header
from .preprocessing import preprocessing

NAME = "net"
"""Of the functions in C, and of the module."""
PAGE = "index.html"


@dataclass(frozen=True)
class Written:
    """What was written."""

    folder: Path
    sizes: Mapping[str, int]
    """Name of a file → its bytes."""
    said: str
    """Sizes, and what to do next."""
    document: Mapping[str, Any]
    """The same for --json."""

    def text(self) -> str:
        """For the terminal."""
        wide = max(map(len, self.sizes))
        lines = [f"{name:<{wide}}  {size:>11,} bytes" for name, size in self.sizes.items()]
        return "\n".join([f"Written: {self.folder}", *lines, "", self.said])

    def content(self) -> dict[str, Any]:
        """For --json."""
        return {"folder": str(self.folder), "files": dict(self.sizes), **self.document}


def export_steps(folder: Path, kind: str, options: ExportOptions) -> Written:
    """Writes the network of a model folder to a new folder: MODEL/c, wasm or page, or where it exists MODEL/c-2, ….

    kind  c, wasm or page

    Nothing is written where the network cannot be. Raises InputError for a folder that is no model, for a network that
    the format does not take and for a machine that does not exist or cannot run it; StorageError where no folder can be
    made.
    """
    opened = open_model(folder)
    steps = taken(steps_of(opened), opened.task.name, kind, options.max_steps)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        said, own = KINDS[kind](opened, steps, place, options)
        content = {path.name: path.read_bytes() for path in sorted(place.iterdir())}
    content["model.json"] = as_json(document(opened, steps, kind, own))
    made = new_folder(folder / kind if options.out is None else options.out, WHERE)
    for name, data in content.items():
        write_bytes(made / name, data, WHERE)
    return Written(made, {name: len(data) for name, data in content.items()}, said.replace("MADE", str(made)), own)


def document(model: Model, steps: Steps, kind: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """model.json: what a program needs that has none of this package."""
    network = model.config.options.network
    stored = dict(model.task.to_json())
    encoding = {}
    if steps.page.pattern is not None:
        encoding["javascript"] = steps.page.pattern
    return {
        "format": f"ostinato {kind}",
        "version": 1,
        "ostinato": __version__,
        "task": model.task.name,
        "weights_sha256": model.config.weights_sha256,
        "network": {"cell": network.cell, "hidden": network.hidden, "layers": network.layers},
        "x": steps.x,
        "y": steps.y,
        **({"run": steps.reads} if steps.whole else {"reset": steps.reset}),
        "classes": list(steps.classes),
        "preprocessing": {**preprocessing(model), **({"units": encoding} if encoding else {})},
        "files": stored,
        **own,
    }


def this_machine() -> str:
    """The name of the target that the program runs on; "c99" where its processor has no object of its own."""
    try:
        found = host().name
    except NoKernelsError:
        return "c99"
    system = {"darwin": "-macos", "win32": "-windows"}.get(sys.platform, "")
    return ("aarch64" if found == "aarch64" else "x86-64-v3") + system


def _c(model: Model, steps: Steps, place: Path, options: ExportOptions) -> tuple[str, dict[str, Any]]:
    chip = export.chip(options.target or this_machine())
    form = options.form or ("source" if chip.source_only else "object")
    report = export.c(
        steps.network, place, chip, form=form, name=NAME, samples=steps.samples, max_steps=steps.max_steps
    )
    (place / f"{NAME}_values.h").write_text(values_header(NAME, steps), encoding="ascii")
    readme = place / "README.txt"
    readme.write_text(readme.read_text(encoding="utf-8") + c_readme(NAME, steps), encoding="utf-8")
    sizes = str(report).partition("\n")[2]
    said = f"{report.target} ({report.form}, {report.dtype})\n{sizes}"
    own: dict[str, Any] = {"target": report.target, "form": report.form, "link": report.link}
    if report.max_steps is not None:
        own["max_steps"] = report.max_steps
    return (
        f"{said}\nThe last line makes the self-test, in the folder; README.txt says how the functions are called.",
        own,
    )


def _wasm(model: Model, steps: Steps, place: Path, options: ExportOptions) -> tuple[str, dict[str, Any]]:
    made = export.wasm(steps.network, place / f"{NAME}.wasm", samples=steps.samples)
    (place / "README.txt").write_text(wasm_readme(NAME, steps), encoding="utf-8")
    said = (
        f"{made.code_bytes:,} bytes of code, {made.weights_bytes:,} of weights, {made.state_bytes:,} of state; a step "
        f"has {made.multiply_adds:,} multiply-adds. README.txt says how the class is called."
    )
    return said, {"arithmetic": made.arithmetic}


def _page(model: Model, steps: Steps, place: Path, options: ExportOptions) -> tuple[str, dict[str, Any]]:
    if steps.no_page:
        remedy = "Train with --unit char or --unit word, or use ostinato export MODEL --wasm, whose inputs are entries."
        raise InputError(phrase(WHERE, "MODEL", "one whose units a page can find in a text", steps.no_page, remedy))
    export.page(steps.network, place / PAGE, steps.page, samples=steps.samples)
    (place / "README.txt").write_text(page_readme(PAGE, steps), encoding="utf-8")
    return f"Open MADE/{PAGE} in a browser: the network runs in it, offline.", {}


KINDS: dict[str, Callable[[Model, Steps, Path, ExportOptions], tuple[str, dict[str, Any]]]] = {
    "c": _c, "wasm": _wasm, "page": _page,
}  # fmt: skip
"""Format → writes its files into a folder, and gives back what is printed and the fields of --json."""
