"""The file of --state: the sequences of a stream of lines, written as a whole or not at all.

Layout: 8 bytes OSTLINES; uint32 version, 1; uint32 length of the header; the header, JSON in UTF-8: the task, the
SHA-256 of the weights, and for each sequence its name, what the task keeps, and how many bytes its states have; these
bytes, as `State.to_bytes` gives them; SHA-256 of all before it. Numbers are little endian.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....errors import InputError, phrase
from ....streaming import State
from ...storage import write_bytes
from ..model import Model
from .records import WHERE, Sequence, Way

MAGIC, VERSION = b"OSTLINES", 1
FLAG = "--state"


class StateFile:
    """The file of a model's stream, read when it is made and written by `save`."""

    def __init__(self, path: Path, opened: Model) -> None:
        self.path = path
        self.model = {"task": opened.task.name, "weights": opened.config.weights_sha256}

    def load(self, way: Way) -> dict[str, Sequence]:
        """The sequences by name; none where there is no file yet.

        Raises InputError for a file of something else, a damaged one, and one of another model.
        """
        content = self._checked()
        if content is None:
            return {}
        header, data = content
        found = {}
        for one in header["sequences"]:
            sequence = way.begin()
            if sequence.stream is not None:
                sequence.stream.load(State.from_bytes(data[: one["bytes"]]))
            sequence.own = one["own"]
            data = data[one["bytes"] :]
            found[str(one["name"])] = sequence
        return found

    def save(self, sequences: Mapping[str, Sequence]) -> None:
        """Writes the file. Raises InputError where another model's has come to its place, StorageError for a full
        disk."""
        self._checked()
        states, listed = [], []
        for name, sequence in sequences.items():
            states.append(b"" if sequence.stream is None else sequence.stream.state().to_bytes())
            listed.append({"name": name, "own": sequence.own, "bytes": len(states[-1])})
        header = json.dumps({**self.model, "sequences": listed}).encode()
        whole = b"".join([MAGIC, struct.pack("<II", VERSION, len(header)), header, *states])
        write_bytes(self.path, whole + hashlib.sha256(whole).digest(), WHERE)

    def _checked(self) -> tuple[dict[str, Any], bytes] | None:
        """(the header, the states) of the file, if there is one and it is this model's."""
        if self.path.exists() and not self.path.is_file() and not self.path.is_dir():
            remedy = "Name a file; a pipe or a device cannot hold states."
            raise InputError(phrase(WHERE, FLAG, "a file", f"{self.path}, which is none", remedy))
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            self._refuse_no_folder()
            return None
        except OSError as error:
            remedy = "Look at its permissions, or name another file."
            raise InputError(phrase(WHERE, FLAG, "a file that can be read", f"{self.path} ({error})", remedy)) from None
        remedy = "Name another file, or delete this one to begin anew; it was left as it is."
        if not content.startswith(MAGIC) or len(content) < 16 + 32:
            raise InputError(phrase(WHERE, FLAG, "a file that ostinato stream wrote", self.path, remedy))
        version, size = struct.unpack_from("<II", content, 8)
        if version > VERSION:
            received = f"{self.path} of version {version}"
            raise InputError(phrase(WHERE, FLAG, f"of a version up to {VERSION}", received, "Update Ostinato."))
        whole, seal = content[:-32], content[-32:]
        if hashlib.sha256(whole).digest() != seal:
            raise InputError(phrase(WHERE, FLAG, "a whole file", f"{self.path}, which is damaged", remedy))
        header: dict[str, Any] = json.loads(whole[16 : 16 + size])
        if any(header[name] != value for name, value in self.model.items()):
            received = f"{self.path} of another model, of the task {header['task']}"
            raise InputError(phrase(WHERE, FLAG, "a file of this model", received, remedy))
        return header, whole[16 + size :]

    def _refuse_no_folder(self) -> None:
        """Refuses a path whose folder is not there, before lines are read whose states would be lost."""
        if not self.path.parent.is_dir():
            remedy = "Make the folder, or name a file elsewhere."
            raise InputError(phrase(WHERE, FLAG, "a file in a folder", f"{self.path}, whose folder is missing", remedy))
