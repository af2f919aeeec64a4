"""How a stream of lines ends: signals, closed pipes, full disks; its states are saved."""

import errno
import io
import os
import signal
import subprocess
import sys

import pytest

from ostinato.errors import StorageError
from ostinato.program.commands.typed import typed_in
from ostinato.program.running.model import open_model
from ostinato.program.running.streaming.run import Asked, LineStream, Pipes
from program.commands import ostinato
from program.streaming.lines import lines_of, sequences


class Lines:
    """Lines that come one by one, with a signal in place of the one after the last, or while the last is answered."""

    def __init__(self, lines, number):
        self.lines, self.number = lines, number

    def __iter__(self):
        yield from self.lines
        signal.raise_signal(self.number)
        raise AssertionError("a line was waited for after the signal")


class Answers(io.StringIO):
    """Answers, of which the first raises what it is told to, once it is written."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def flush(self):
        self.act()


def ended_by(series, steps, name, lines, answers):
    running = LineStream(open_model(series / "model"), Asked(state=series / name))
    status = running.run(Pipes(lines, answers, io.StringIO()))
    rest = ostinato(series, "stream", "model", "--state", name, typed=lines_of(steps)).out
    return status, answers.getvalue() + rest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_lines_and_saves_the_states(series, number):
    (steps,) = sequences(series, 1)
    whole, lines = ostinato(series, "stream", "model", typed=lines_of(steps)).out, lines_of(steps).splitlines(True)
    before = signal.getsignal(number)
    found = ended_by(series, steps[2:], f"waiting{number}", Lines(lines[:2], number), io.StringIO())
    assert found == (128 + number, whole)
    busy = Answers(lambda: signal.raise_signal(number))
    found = ended_by(series, steps[1:], f"busy{number}", io.StringIO("".join(lines)), busy)
    assert found == (128 + number, whole) and signal.getsignal(number) is before


def test_a_second_signal_does_not_wait_for_the_answer(series):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    running = LineStream(open_model(series / "model"), Asked())
    with pytest.raises(KeyboardInterrupt):
        running.run(Pipes(io.StringIO("1,2\n"), Answers(twice), io.StringIO()))


def test_answers_that_nobody_reads_any_more_end_the_stream(series):
    def closed():
        raise BrokenPipeError

    (steps,) = sequences(series, 1)
    whole = ostinato(series, "stream", "model", typed=lines_of(steps)).out
    found = ended_by(series, steps[1:], "closed", io.StringIO(lines_of(steps)), Answers(closed))
    assert found == (141, whole)


def piped(place, *words):
    """The command as a process of its own, its lines and answers as pipes."""
    command = [sys.executable, "-m", "ostinato", "stream", "model", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=place, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ)


@pytest.mark.slow
def test_a_full_disk_under_the_answers_ends_the_stream_and_saves_the_states(text, tmp_path):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "a.state"
    lines = LineStream(open_model(text / "model"), Asked(state=file))
    with pytest.raises(StorageError, match="ostinato stream: standard output must be writable, got No space left"):
        lines.run(Pipes(io.StringIO("The\nvalue\n"), Full(), io.StringIO()))
    assert file.read_bytes().startswith(b"OSTLINES")


def test_without_standard_input_there_are_no_lines(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert list(typed_in()) == []


@pytest.mark.slow
def test_a_process_answers_at_once_and_saves_the_states_when_it_is_ended(series):
    (steps,) = sequences(series, 1)
    number, kept = signal.SIGTERM, series / "kept by a process"
    with piped(series, "--state", kept.name) as process:
        process.stdin.write(lines_of(steps[:2]))
        process.stdin.flush()
        first = [process.stdout.readline() for _ in range(2)]  # answered before the input ends
        process.send_signal(number)
        assert process.stderr.read() == ""
    assert process.returncode == 128 + number
    rest = ostinato(series, "stream", "model", "--state", kept.name, typed=lines_of(steps[2:])).out
    assert "".join(first) + rest == ostinato(series, "stream", "model", typed=lines_of(steps)).out


@pytest.mark.slow
def test_a_reader_that_closes_its_pipe_ends_the_process_without_a_traceback(series):
    with piped(series, "--state", "let go") as process:
        process.stdout.close()
        process.stdin.write("1,2\n")
        process.stdin.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141 and (series / "let go").exists()
