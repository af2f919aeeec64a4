"""The results of finished cases in an append-only file, and checkpoints of unfinished ones."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ostinato.apps.environment import environment
from ostinato.errors import InputError, phrase

from .experiment import Reach, Result
from .settings import WHERE, Case, Training


def finished_run(line: str) -> tuple[Case, Result, dict[str, str | int]]:
    """(case, result, machine) of a line of a record; ValueError, KeyError or TypeError for any other."""
    entry = json.loads(line)
    case, result = entry["case"], entry["result"]
    case = Case(**case | {"training": Training(**case["training"])})
    groups = tuple(tuple(group) for group in result["groups"])
    result = Result(**result | {"reach": Reach(**result["reach"]), "groups": groups})
    return case, result, entry["machine"]


class Record:
    """A folder with `runs.jsonl`, a line for each finished case.

    A line holds the case, its result and the machine, so one folder may hold any number of experiments: a finished
    case is not trained again. An incomplete last line, left by a crash, is removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.finished: dict[Case, Result] = {}
        self.machines: list[dict[str, str | int]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lines = folder / "runs.jsonl"
            text = self._lines.read_text(encoding="utf-8") if self._lines.exists() else ""
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                self._lines.write_text(whole, encoding="utf-8")
        except OSError as error:
            received = f"{folder}: {error.strerror or error}"
            raise InputError(
                phrase(WHERE, "--out", "a folder that can be written", received, "Name another.")
            ) from error
        for number, line in enumerate(whole.splitlines(), 1):
            self._read(line, number)

    def _read(self, line: str, number: int) -> None:
        try:
            self._note(*finished_run(line))
        except (ValueError, KeyError, TypeError) as error:
            received = f"{str(error) or type(error).__name__} there"
            remedy = "Take the line out, or name another --out."
            raise InputError(
                phrase(WHERE, f"line {number} of {self._lines}", "a finished run", received, remedy)
            ) from error

    def _note(self, case: Case, result: Result, machine: dict[str, str | int]) -> None:
        self.finished[case] = result
        if machine not in self.machines:
            self.machines.append(machine)

    def add(self, case: Case, result: Result) -> None:
        """Appends a finished case; it is on disk when this returns."""
        machine = environment()
        line = {"case": asdict(case), "result": asdict(result), "machine": machine}
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        CheckpointStore(self.folder).delete(case)
        self._note(case, result, machine)


class CheckpointStore:
    """Checkpoints of unfinished cases in a folder, one file `unfinished-….pt` for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _file(self, case: Case) -> Path:
        digest = hashlib.sha256(json.dumps(asdict(case)).encode()).hexdigest()
        return self.folder / f"unfinished-{digest[:16]}.pt"

    def save(self, case: Case, kept: Mapping[str, Any]) -> None:
        """Saves `TrainingRun.state_dict()`: into a new file, then renamed, so that a crash leaves a whole file."""
        file = self._file(case)
        new = file.with_suffix(".new")
        torch.save(dict(kept), new)
        new.replace(file)

    def load(self, case: Case) -> Mapping[str, Any] | None:
        """The last saved state of a case, None where there is none."""
        file = self._file(case)
        return torch.load(file, weights_only=True) if file.exists() else None

    def delete(self, case: Case) -> None:
        """Deletes the checkpoint of a case, if there is one."""
        self._file(case).unlink(missing_ok=True)
