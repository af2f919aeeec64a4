"""The folder of a training that has not ended: what it begins with, and what `--resume` reads of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import InputError, StorageError, phrase
from ..data.examples import Source
from ..folder.config import described
from ..folder.names import default_folder, new_folder
from ..folder.save import CONFIG, RESUME
from ..options import DataOptions, TrainOptions
from ..storage import write_bytes
from ..training.world import check_size
from .folder_lock import OPTIONS

WHERE = "ostinato train"
STATE = "state.safetensors"


def started_folder(options: TrainOptions, given: DataOptions, sources: Sequence[Source], processes: int = 1) -> Path:
    """A new folder with what `--resume` needs to begin again; of a private model without the hashes of its files.

    given  the options of the data as the user gave them, without what was inferred
    """
    folder = new_folder(options.run.out or default_folder(options.data.paths, options.data.task))
    (folder / RESUME).mkdir()
    files = [described(source, options.run.private) for source in sources]
    known = {**replace(options, data=given).to_json(), "sources": files}
    known = known if processes == 1 else {**known, "processes": processes}
    content = json.dumps(known, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")
    try:
        write_bytes(folder / RESUME / OPTIONS, content, WHERE)
    except StorageError:
        shutil.rmtree(folder)  # without these nothing could go on there
        raise
    return folder


def drop_unbegun(folder: Path) -> None:
    """Removes a folder of `started_folder` in which no fit has written anything, as its options were refused."""
    if [path.name for path in folder.iterdir()] == [RESUME]:
        if [path.name for path in (folder / RESUME).iterdir()] == [OPTIONS]:
            shutil.rmtree(folder)


def drop_state(folder: Path) -> None:
    """Removes what `--resume` reads, of a private model that is complete: the state of the fit has hashes of rows."""
    shutil.rmtree(folder / RESUME)


def resumed(folder: Path, processes: int = 1) -> tuple[TrainOptions, list[Mapping[str, Any]]]:
    """The options of an unfinished training, and its files as config.json lists them; none where none are recorded.

    Raises InputError for any other folder, and for a training of another number of processes.
    """
    path = folder / RESUME / OPTIONS
    if not path.is_file() or (folder / CONFIG).exists():
        received = f"{folder}, whose training has ended" if path.is_file() else f"{folder}, which holds none"
        remedy = "Give the folder that `ostinato train` began."
        raise InputError(phrase(WHERE, "--resume", "a folder with an unfinished training", received, remedy))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(phrase(WHERE, str(path), "JSON", str(error), "Train again.")) from None
    content = content if isinstance(content, dict) else {}
    check_size(WHERE, content, processes)
    sources: Any = content.get("sources")
    known = isinstance(sources, list) and all(isinstance(source, dict) for source in sources)
    return TrainOptions.from_json(content, str(path)), sources if known else []
