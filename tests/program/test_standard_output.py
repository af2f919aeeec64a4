"""What commands do where standard output is on a full disk, or a pipe that its reader has closed."""

import errno
import io
import os
import subprocess
import sys

import pytest

from program import made_files as made
from program.commands import ostinato

FULL = "standard output must be writable, got No space left on device."
TRAIN = ("train", "captions.csv", "--target", "text", "--given", "kind", "--updates", 1, "--hidden", 4, "--no-lens")


class Failing(io.StringIO):
    """An output whose writes raise an OSError of this number; `at` says when: as a buffer does, or at once."""

    def __init__(self, number: int, at: str = "write") -> None:
        super().__init__()
        self.number, self.at = number, at

    def _fail(self, at):
        if at == self.at:
            raise OSError(self.number, os.strerror(self.number))

    def write(self, text):
        self._fail("write")
        return super().write(text)

    def flush(self):
        if self.getvalue():
            self._fail("flush")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    found = tmp_path_factory.mktemp("full")
    made.write_table(found / "captions.csv", ("kind", "text"), [("ab"[n % 2], f"text{n}") for n in range(60)])
    ended = ostinato(found, *TRAIN, "--no-baselines", "--quiet", "--out", "model")
    assert ended.status in (0, 1), ended.err
    return found


@pytest.mark.parametrize("at", ["write", "flush"])
@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("ostinato predict", ("predict", "model", "captions.csv")),
        ("ostinato predict", ("predict", "model", "-")),
        ("ostinato generate", ("generate", "model", "--count", 2, "--length", 3, "--given", "kind=a")),
        ("ostinato", ("check", "captions.csv", "--target", "text", "--given", "kind")),
        ("ostinato", ("check", "none.csv", "--json")),
        ("ostinato", ("evaluate", "model")),
        ("ostinato", ("cells",)),
        ("ostinato", ("--version",)),
    ],
)
def test_a_full_disk_is_one_sentence_and_status_2(place, where, words, at):
    ended = ostinato(place, *words, typed="a,bc\n", out=Failing(errno.ENOSPC, at))
    assert ended.status == 2
    assert ended.err == f"{where}: {FULL} Make room, or redirect the output to another disk.\n"


def test_after_a_training_the_sentence_names_the_folder(place):
    ended = ostinato(place, *TRAIN, "--no-baselines", "--quiet", "--out", "second", out=Failing(errno.ENOSPC))
    assert ended.status == 2 and ended.err.startswith(f"ostinato: {FULL} The model folder second is written: `ostinato")
    assert ostinato(place, "evaluate", "second").status == 0


@pytest.mark.parametrize("words", [("predict", "model", "captions.csv"), ("generate", "model"), ("evaluate", "model")])
def test_a_closed_pipe_ends_quietly(place, words):
    ended = ostinato(place, *words, out=Failing(errno.EPIPE))
    assert ended.status == 1 and "must be" not in ended.err and "Traceback" not in ended.err


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_process_whose_buffer_cannot_be_written_says_so_once(place):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "ostinato", "evaluate", "model"]
        ended = subprocess.run(words, cwd=place, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and FULL in ended.stderr
