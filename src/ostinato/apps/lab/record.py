"""Finished cases, one a line in a file that only grows, and those that were put down in the middle."""

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


class Record:
    """A folder with `runs.jsonl`, a line for each finished case.

    A line holds the case, its result and the machine, so a folder may serve any number of experiments: a case that is
    asked for again is not trained again. A last line that a crash cut short is taken off.
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
            entry = json.loads(line)
            case, result = entry["case"], entry["result"]
            case = Case(**case | {"training": Training(**case["training"])})
            groups = tuple(tuple(group) for group in result["groups"])
            result = Result(**result | {"reach": Reach(**result["reach"]), "groups": groups})
            self._note(case, result, entry["machine"])
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
        """Write a finished case down, for good before this returns."""
        machine = environment()
        line = {"case": asdict(case), "result": asdict(result), "machine": machine}
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Shelf(self.folder).clear(case)
        self._note(case, result, machine)


class Shelf:
    """Cases that have begun, in a folder: `unfinished-….pt`, one file for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _file(self, case: Case) -> Path:
        digest = hashlib.sha256(json.dumps(asdict(case)).encode()).hexdigest()
        return self.folder / f"unfinished-{digest[:16]}.pt"

    def put(self, case: Case, kept: Mapping[str, Any]) -> None:
        """Keep what `Run.put_down` gave; written aside and renamed, so that a crash leaves a whole file."""
        file = self._file(case)
        aside = file.with_suffix(".new")
        torch.save(dict(kept), aside)
        aside.replace(file)

    def take(self, case: Case) -> Mapping[str, Any] | None:
        """What was put last for this case, if anything."""
        file = self._file(case)
        return torch.load(file, weights_only=True) if file.exists() else None

    def clear(self, case: Case) -> None:
        """Give the case's file up."""
        self._file(case).unlink(missing_ok=True)
