"""The whole command on tiny budgets: what it writes, that it goes on where it was stopped, what it refuses."""

import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import ostinato
from ostinato.apps.lab import Settings, run, workers
from ostinato.apps.lab.experiment import EVERY, TrainingRun
from ostinato.apps.lab.record import Record
from ostinato.apps.lab.run import Experiment
from ostinato.apps.lab.settings import Training
from ostinato.errors import InputError, OstinatoError

pytestmark = pytest.mark.slow

SOURCE = Path(ostinato.__file__).parent.parent
FILES = {"runs.jsonl", "table.md", "results.json", "bridged.png", "foresight.png"}


@pytest.fixture
def settings(tmp_path):
    return Settings(
        tasks=("temporal-order", "agreement"),
        cells=("elman", "lstm"),
        inits=("torch",),
        lags=(10, 14),
        training=Training(updates=2 * EVERY, batch=8, hidden=8),
        out=tmp_path / "lab",
    )


def called(settings):
    console = Console(file=io.StringIO(), width=150)
    return run(settings, console), console.file.getvalue()


def told(folder):
    """The finished cases and their results without the seconds."""
    return {case: replace(result, seconds=0.0) for case, result in Record(folder).finished.items()}


def test_everything_is_written_and_agrees(settings):
    status, printed = called(settings)
    assert status == 0
    assert {file.name for file in settings.out.iterdir()} == FILES
    content = json.loads((settings.out / "results.json").read_text(encoding="utf-8"))
    assert len(content["runs"]) == len(settings.cases) == 8
    assert content["foresight"]["runs"] == 8 and content["machines"][0]["torch"]
    table = (settings.out / "table.md").read_text(encoding="utf-8")
    for part in ("**agreement** (chance 0.5, bridged at 0.01 or less)", "| elman | torch |", "misleading nouns: error"):
        assert part in table
    for part in ("Adam, learning rate 0.005", "200 updates, fewer where", "as many weights as an LSTM of 8 units"):
        assert part in table and part in " ".join(printed.split())
    for name in ("bridged.png", "foresight.png"):
        data = (settings.out / name).read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", data[16:24])
        assert 600 <= width <= 1500 and 250 <= height <= 1200


def test_a_second_call_trains_nothing_and_more_lags_are_added(settings, monkeypatch):
    called(replace(settings, lags=(10,)))
    lines = (settings.out / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    started: list = []
    whole = TrainingRun.__init__
    monkeypatch.setattr(TrainingRun, "__init__", lambda self, case: (started.append(case), whole(self, case))[1])
    assert called(replace(settings, lags=(10,)))[0] == 0
    assert started == []
    called(settings)
    assert {case.lag for case in started} == {14}
    assert (settings.out / "runs.jsonl").read_text(encoding="utf-8").splitlines()[:4] == lines


def test_ctrl_c_loses_nothing(settings, monkeypatch):
    settings = replace(settings, tasks=("agreement",))
    called(replace(settings, out=settings.out / "whole"))
    advance, calls = TrainingRun.advance, []

    def interrupted(self, should_stop):
        calls.append(self.case)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        advance(self, should_stop)

    monkeypatch.setattr(TrainingRun, "advance", interrupted)
    before = signal.getsignal(signal.SIGINT)
    status, printed = called(settings)
    assert status == 130 and signal.getsignal(signal.SIGINT) is before
    assert "of 4 cases are finished. The same command goes on with the others." in printed
    done = told(settings.out)
    assert len(calls) == 3 and 0 < len(done) < 4
    kept = list(settings.out.glob("unfinished-*"))
    monkeypatch.undo()
    assert called(settings)[0] == 0
    assert len(kept) <= 1 and not list(settings.out.glob("unfinished-*"))
    assert told(settings.out) == told(settings.out / "whole")
    assert done.items() <= told(settings.out).items()


def test_a_second_ctrl_c_stops_at_once(settings, monkeypatch):
    def twice(self, should_stop):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingRun, "advance", twice)
    # A shell starts background jobs with Ctrl-C ignored, and so these tests, maybe.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            called(settings)
    finally:
        signal.signal(signal.SIGINT, before)


def test_when_the_time_is_up_the_case_is_saved_and_resumed(settings, monkeypatch):
    short = replace(
        settings,
        cells=("lstm",),
        lags=(14,),
        tasks=("agreement",),
        training=replace(settings.training, updates=3 * EVERY),
    )
    called(replace(short, out=settings.out / "whole"))
    now = iter(range(10**6))
    monkeypatch.setattr(Experiment, "should_stop", lambda self: next(now) >= 3)
    status, printed = called(short)
    monkeypatch.undo()
    assert status == 0 and "The time is up: 0 of 1 cases are finished." in printed
    assert [file.name for file in settings.out.iterdir() if file.is_file()][0].startswith("unfinished-")
    updates = []
    advance = TrainingRun.advance
    monkeypatch.setattr(
        TrainingRun, "advance", lambda self, should_stop: (updates.append(self.updates), advance(self, should_stop))[1]
    )
    called(short)
    assert updates[0] > 0
    assert told(settings.out) == told(settings.out / "whole")


@pytest.mark.slow
def test_workers_find_the_same_and_are_told_to_stop(settings):
    """An interrupt of the whole group, as a terminal sends it, in the middle; then two workers to the end."""
    words = (
        f"lab lag --task temporal-order --cells elman,lstm --init torch --lags 10,14 --out {settings.out} --workers 2"
    )
    budget = "--updates 400 --batch 8 --hidden 8 --to-the-end"
    with subprocess.Popen(
        [sys.executable, "-m", "ostinato", *words.split(), *budget.split()],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    ) as process:
        while process.poll() is None and not (settings.out / "runs.jsonl").exists():
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    first = told(settings.out)
    assert 0 < len(first) < 4
    assert len(list(settings.out.glob("unfinished-*.pt"))) <= 2
    training = Training(updates=400, batch=8, hidden=8, to_the_end=True)
    rest = replace(settings, tasks=("temporal-order",), training=training, workers=2)
    assert called(rest)[0] == 0
    both = told(settings.out)
    assert len(both) == 4 and first.items() <= both.items()
    assert not list(settings.out.glob("unfinished-*"))
    one = replace(rest, cells=("lstm",), lags=(10,), workers=1, out=settings.out / "alone")
    called(one)
    assert told(one.out).items() <= both.items()


def _killed(pipe, folder, stop):
    pipe.recv()
    os.kill(os.getpid(), signal.SIGKILL)


def _raising(pipe, folder, stop):
    pipe.recv()
    pipe.send(InputError("what was wrong"))
    pipe.recv()


def test_a_worker_that_dies_is_named(settings, monkeypatch):
    monkeypatch.setattr(workers, "_worker", _killed)
    message = (
        "ostinato lab lag: a worker process must be running until its last case, got exit status -9 during "
        "temporal-order at lag 10, "
    )
    with pytest.raises(
        OstinatoError, match=message + ".* Finished cases are kept; run the same command again to continue."
    ):
        called(replace(settings, workers=2))


def test_an_error_in_a_worker_is_raised_here(settings, monkeypatch):
    monkeypatch.setattr(workers, "_worker", _raising)
    with pytest.raises(InputError, match="what was wrong"):
        called(replace(settings, workers=2))


def test_a_line_that_was_cut_short_is_taken_off_and_others_are_refused(settings):
    short = replace(settings, tasks=("temporal-order",), lags=(10,), cells=("elman",))
    called(short)
    file = settings.out / "runs.jsonl"
    whole = file.read_text(encoding="utf-8")
    file.write_text(whole + whole[:70], encoding="utf-8")
    assert len(Record(settings.out).finished) == 1
    assert file.read_text(encoding="utf-8") == whole
    file.write_text(whole + '{"case": {}}\n', encoding="utf-8")
    with pytest.raises(
        InputError, match="line 2 of .*runs.jsonl must be a finished run, got .* there. Take the line out"
    ):
        called(short)


def test_a_folder_below_a_file_is_refused(settings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--out must be a folder that can be written, got .*file.*: .* Name another."):
        called(replace(settings, out=tmp_path / "file" / "below"))
