"""A folder of recordings, each with its text beside it: a.wav and a.txt, or lines of a file such as 84-121.trans.txt.

A folder that holds folders named train, test (and valid) gives the split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import bounded
from ..decoding import decode, unified
from ..examples import Origin
from ..findings import many
from ..folders import files_below
from ..parts import FOLDER_PARTS
from ..refusals import refused
from .clips import AUDIO, Clip, Clips

LIST = ".trans.txt"
"""The end of the name of a file with the name of a recording and its text on each line, as LibriSpeech has them."""
REMEDY = "Write what each says into a .txt file of its name, or give a table with --audio and --target."


def is_recording(path: Path) -> bool:
    """Whether the name, without .gz, ends as recordings do."""
    return bounded.ending(path) in AUDIO


def holds_recordings(folder: Path, with_target: bool) -> bool:
    """Whether a folder is one of recordings: it has some, with their texts, or no text at all."""
    found = files_below(folder)
    recordings = [path for path in found if is_recording(path)]
    texts = {path for path in found if _is_text(path)}
    if not recordings or not (texts and with_target):
        return bool(recordings)
    return any(_beside(path) in texts for path in recordings) or any(p.name.endswith(LIST) for p in texts)


def clips_of_folder(folder: Path, encoding: str | None, with_target: bool) -> Clips:
    """The recordings of a folder and of those in it, in the order of their names.

    Raises InputError where no recording has a text, and rows are read with texts.
    """
    found = files_below(folder)
    recordings = [path for path in found if is_recording(path)]
    listed = [path for path in found if path.name.endswith(LIST)]
    texts: dict[Path, str] = {}
    digests: list[str] = []
    if with_target:
        for path in listed:
            texts |= {path.parent / name: text for name, text in _lines(path, encoding, digests).items()}
        for path in recordings:
            if _beside(path).is_file():
                texts[_stem(path)] = _text(_beside(path), encoding, digests)
    kept = [path for path in recordings if not with_target or _stem(path) in texts]
    if not kept:
        received = f"{many(len(recordings), 'recording')} and no text of theirs"
        raise refused(folder, "the folder", "of recordings with their texts", received, REMEDY)
    stems = {_stem(path) for path in recordings}
    alone = [path for path in found if _is_text(path) and path not in listed and _stem(path) not in stems]
    notes = _notes(folder, len(recordings) - len(kept), len(alone) + len(texts.keys() - stems))
    names = [path.relative_to(folder).as_posix() for path in kept]
    clips = [Clip(path, name, folder.name, f"the recording {name}") for path, name in zip(kept, names)]
    origins = [Origin(name, 1, row) for row, name in enumerate(names, 1)]
    what = f"{folder.name} holds {many(len(kept), 'recording')}, each with its text"
    said = [texts[_stem(path)] for path in kept] if with_target else None
    return Clips(folder, clips, said, what, origins, _parts(names), digests, notes)


def one_clip(path: Path, encoding: str | None, with_target: bool) -> Clips:
    """A recording that the command names, with the text beside it.

    Raises InputError where there is none, and rows are read with texts.
    """
    digests: list[str] = []
    clip = Clip(path, path.name, path.name, "the recording")
    if with_target and not _beside(path).is_file():
        remedy = f"Write what it says into {_beside(path).name} beside it, or give a table with --audio and --target."
        raise refused(path, "the data", "recordings with what they say", "a recording alone", remedy)
    said = [_text(_beside(path), encoding, digests)] if with_target else None
    what = f"{path.name} is a recording with its text beside it"
    return Clips(path, [clip], said, what, [Origin(path.name, 1, 1)], None, digests)


def _is_text(path: Path) -> bool:
    return path.name.lower().endswith(".txt")


def _stem(path: Path) -> Path:
    name = path.name[: -len(".gz")] if path.name.lower().endswith(".gz") else path.name
    return path.parent / Path(name).stem


def _beside(path: Path) -> Path:
    return path.parent / f"{_stem(path).name}.txt"


def _text(path: Path, encoding: str | None, digests: list[str]) -> str:
    """The text of a file, its line breaks as spaces."""
    data, digest = bounded.read_bytes(path)
    digests.append(f"{path.name} {digest}")
    return " ".join(decode(data, path, encoding)[0].split())


def _lines(path: Path, encoding: str | None, digests: list[str]) -> Mapping[str, str]:
    """{name of a recording: its text} of a file with one on each line."""
    data, digest = bounded.read_bytes(path)
    digests.append(f"{path.name} {digest}")
    rows = [line.split(maxsplit=1) for line in unified(decode(data, path, encoding)[0]).split("\n") if line.strip()]
    return {row[0]: " ".join(row[1].split()) if len(row) > 1 else "" for row in rows}


def _notes(folder: Path, recordings: int, texts: int) -> list[str]:
    """How many recordings have no text, and how many texts no recording."""
    notes = [f"{folder.name}: {many(recordings, 'recording')} without a text left out."] if recordings else []
    return [*notes, f"{folder.name}: {many(texts, 'text')} without a recording left out."] if texts else notes


def _parts(names: Sequence[str]) -> list[str] | None:
    """[N] parts of a split where the outer folders are train and the like, else None."""
    tops = [name.split("/")[0].lower() if "/" in name else "" for name in names]
    parts = "train" in tops and set(tops) <= FOLDER_PARTS.keys()
    return [FOLDER_PARTS[top] for top in tops] if parts else None
