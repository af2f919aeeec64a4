"""What `ostinato check` does, and the record that every command ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..data.describe import describe
from ..data.found import read_data
from ..options import TrainOptions
from .launched import one_process


@dataclass(frozen=True)
class Ended:
    """A command's result."""

    text: str
    content: Mapping[str, Any]
    """The same for --json."""
    status: int = 0
    printed: bool = True
    """Whether it is printed; of several processes rank 0's is."""
    kept: str = ""
    """A sentence about what is written, where the text cannot be printed."""


def check_data(given: Mapping[str, Any]) -> Ended:
    """`ostinato check`: the inferred task and the findings; status 2 where no network can be trained on the data."""
    one_process("ostinato check")
    data = read_data(TrainOptions.of("ostinato check", given).data)
    found = [{"severity": f.severity, "sentence": f.sentence, "count": f.count} for f in data.findings]
    rows = {name: len(getattr(data.split, name)) for name in ("train", "valid", "test")}
    content = {
        "task": data.dataset.task,
        "because": data.dataset.because,
        "rows": rows,
        "findings": found,
        "notes": [*data.dataset.notes, *data.split.notes],
    }
    status = 2 if any(f.severity == "error" for f in data.findings) else 0
    return Ended(describe(data.dataset, data.split, data.findings), content, status)
