"""Finished cases, one a line in a file that only grows, and the one case that was put down in the middle."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ostinato.environment import environment
from ostinato.errors import InputError, phrase

from .experiment import Reach, Result
from .settings import WHERE, Case, Training


class Record:
    """A folder with `runs.jsonl`, a line for each finished case, and `unfinished.pt` while a case is put down.

    A line holds the case, its result and the machine, so a folder may serve any number of experiments: a case that is
    asked for again is not trained again. A last line that a crash cut short is taken off.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.finished: dict[Case, Result] = {}
        self.machines: list[dict[str, str | int]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lines, self._unfinished = folder / "runs.jsonl", folder / "unfinished.pt"
            text = self._lines.read_text(encoding="utf-8") if self._lines.exists() else ""
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                self._lines.write_text(whole, encoding="utf-8")
        except OSError as error:
            received = f"{folder}: {error.strerror or error}"
            raise InputError(phrase(WHERE, "--out", "a folder that can be written", received, "Name another.")) from error
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
            raise InputError(phrase(WHERE, f"line {number} of {self._lines}", "a finished run", received, remedy)) from error

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
        self._unfinished.unlink(missing_ok=True)
        self._note(case, result, machine)

    def put_down(self, case: Case, kept: Mapping[str, Any]) -> None:
        """Keep a case that has begun; the one that was kept before is given up."""
        aside = self._unfinished.with_suffix(".new")
        torch.save({"case": json.dumps(asdict(case)), "kept": dict(kept)}, aside)
        aside.replace(self._unfinished)

    def put_down_of(self, case: Case) -> Mapping[str, Any] | None:
        """What `put_down` kept, if it was this very case."""
        if not self._unfinished.exists():
            return None
        found = torch.load(self._unfinished, weights_only=True)
        return found["kept"] if found["case"] == json.dumps(asdict(case)) else None
