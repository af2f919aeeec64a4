"""`ostinato export`: a model folder as ONNX files that are compared with its network, model.json and README.txt."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._version import __version__
from ..folder.names import new_folder
from ..folder.save import as_json
from ..running.model import Model, open_model
from ..storage import write_bytes
from .check import WHERE, Checked, checked, runtime
from .plan import Plan
from .preprocessing import preprocessing
from .readme import readme
from .table import plan_of
from .write import write_plan

FOLDER = "onnx"
"""Within the model folder, where no other is named."""
LETTERS = {
    "T": "steps", "B": "rows, each by itself", "K": "hypotheses of a row, in a translation",
    "K*B": "row k * B + b is hypothesis k of row b", "S": "characters", "W": "words",
}  # fmt: skip


@dataclass(frozen=True)
class ExportedModel:
    """What was written."""

    folder: Path
    sizes: Mapping[str, int]
    """Name of a file → its bytes."""
    plan: Plan
    checked: Checked | None
    """None without a comparison."""

    def text(self) -> str:
        """For the terminal."""
        wide = max(map(len, self.sizes))
        lines = [f"{name:<{wide}}  {size:>11,} bytes" for name, size in self.sizes.items()]
        said = "Not compared with the network." if self.checked is None else self.checked.sentence()
        return "\n".join([f"Written: {self.folder}", *lines, "", self.plan.runs, said])

    def content(self) -> dict[str, Any]:
        """For --json."""
        check = None if self.checked is None else self.checked.content()
        return {"folder": str(self.folder), "files": dict(self.sizes), "runs": self.plan.runs, "check": check}


def export_folder(folder: Path, out: Path | None = None, check: bool = True) -> ExportedModel:
    """Writes the network of a model folder to a new folder: MODEL/onnx, or where it exists MODEL/onnx-2, ….

    Nothing is written where the files give other numbers than the network. Raises InputError for a folder that is no
    model, and for a network that ONNX cannot hold; MissingPackageError without onnx, onnxscript, or onnxruntime for
    the comparison; StorageError where no folder can be made.
    """
    opened = open_model(folder)
    library = runtime() if check else None
    plan = plan_of(opened)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        write_plan(plan, place)
        found = None if library is None else checked(plan, place, library)
        content = {part.file: (place / part.file).read_bytes() for part in plan.parts}
    content["model.json"] = as_json(document(opened, plan, found))
    content["README.txt"] = readme(opened).encode()
    made = new_folder(folder / FOLDER if out is None else out, WHERE)
    for name, data in content.items():
        write_bytes(made / name, data, WHERE)
    return ExportedModel(made, {name: len(data) for name, data in content.items()}, plan, found)


def document(model: Model, plan: Plan, found: Checked | None) -> dict[str, Any]:
    """model.json: what a program needs that has none of this package."""
    network = model.config.options.network
    used: Sequence[str] = [
        str(size) for part in plan.parts for value in (*part.reads, *part.gives) for size in value.shape
    ]
    return {
        "format": "ostinato onnx",
        "version": 1,
        "ostinato": __version__,
        "task": model.task.name,
        "weights_sha256": model.config.weights_sha256,
        "network": {"cell": network.cell, "hidden": network.hidden, "layers": network.layers},
        "runs": plan.runs,
        "letters": {letter: says for letter, says in LETTERS.items() if letter in used},
        "parts": {part.file: part.content() for part in plan.parts},
        "preprocessing": preprocessing(model),
        "files": dict(model.task.to_json()),
        "check": None if found is None else found.content(),
    }
