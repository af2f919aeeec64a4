"""Small files of every format, and readings of them, for the tests of this folder."""

import os
import re
from pathlib import Path

import pytest

from ostinato.errors import InputError
from ostinato.program.data.check import check
from ostinato.program.data.read import read
from ostinato.program.data.split import split
from ostinato.program.options import DataOptions

REAL = Path(os.environ.get("OSTINATO_DATA", Path(__file__).parents[3].parent / "shared" / "data"))


def real(name):
    """A file of the folder of real data; the test is skipped where the folder is not there."""
    if not (REAL / name).exists():
        pytest.skip(f"real data are not here: {REAL / name} (set OSTINATO_DATA)")
    return REAL / name


def write(folder, name, content):
    """A file of text or bytes."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def options(*paths, **named):
    return DataOptions(paths=paths, **named)


def read_made(folder, name, content, **named):
    """The data set of one made file."""
    return read(options(write(folder, name, content), **named))


def refusal(folder, name, content, with_target=True, **named):
    """The message with which one made file is refused: of four parts."""
    with pytest.raises(InputError) as caught:
        read(options(write(folder, name, content), **named), with_target)
    message = str(caught.value)
    assert re.fullmatch(r"(?s).+: .+ must be .+, got .+\. ?.*", message), message
    return message


def findings(dataset, **named):
    """The sentences of every finding, with their severity and count."""
    chosen = DataOptions(**named)
    return {f.sentence: (f.severity, f.count) for f in check(dataset, split(dataset, chosen))}


REVIEWS = [
    ("fine film", "good"),
    ("bad film", "bad"),
    ("so dull", "bad"),
    ("a joy", "good"),
    ("no", "bad"),
    ("yes", "good"),
]


def reviews(separator=",", end="\n"):
    """A small table of texts and labels."""
    rows = [("review", "label"), *REVIEWS]
    return "".join(separator.join(row) + end for row in rows)
