"""The commands, as a user types them."""

import io
import json
import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

import ostinato as package
from ostinato import __version__, _start_up
from ostinato.apps.cli import main, versions
from ostinato.apps.cli.printable import make_printable
from ostinato.cells import catalogue
from ostinato.kernels.system.target import host


@pytest.fixture
def ostinato(monkeypatch, capsys):
    """Run one command line in this process: (exit status, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["ostinato", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return stopped.value.code or 0, out, err

    return call


def test_version(ostinato):
    assert ostinato("--version") == (0, f"ostinato {__version__}\n", "")


def test_the_version_as_json_has_what_a_report_of_an_error_needs(ostinato):
    for words in (("--version", "--json"), ("--json", "--version")):
        status, out, err = ostinato(*words)
        found = json.loads(out)
        assert (status, err) == (0, "")
        assert found["ostinato"] == __version__ and found["torch"] == torch.__version__
        assert found["threads"] == torch.get_num_threads() and found["kernels"] == host().name
        assert {"cpu", "cores", "vector_unit", "system", "python", "llvmlite"} <= found.keys()


def test_the_version_as_json_lists_the_packages_of_the_metadata(monkeypatch):
    named = [
        "torch>=2",
        "absent>=1 ; extra == 'onnx'",
        "torch ; extra == 'x'",
        'pytest>=8; extra == "dev"',
        "furo; extra == 'docs'",
    ]
    monkeypatch.setattr(versions, "requires", lambda name: named)
    assert versions.packages() == {"torch": metadata.version("torch"), "absent": None}


def test_the_version_as_json_lists_nothing_where_the_package_is_not_installed(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(versions, "requires", requires)
    assert versions.packages() == {}


def test_the_version_as_json_says_why_there_are_no_kernels(monkeypatch):
    monkeypatch.setenv("OSTINATO_TARGET", "vax")
    assert versions.kernels().endswith("one of host, avx512, avx2, sse, aarch64, got 'vax'.")


@pytest.mark.parametrize(
    ("arguments", "original", "expected"),
    [
        (["-m", "train"], ["python", "-m", "ostinato", "train"], True),
        (["-m", "train"], ["python", "-u", "-mostinato", "train"], True),
        (["/usr/bin/ostinato", "train"], ["python", "/usr/bin/ostinato", "train"], True),
        (["-m"], ["python", "-m", "pytest", "-m", "ostinato"], False),
        (["-m"], [], False),
        (["ostinato.py"], ["python", "ostinato.py"], False),
        (["-c"], ["python", "-c", "import ostinato"], False),
        ([], [], False),
    ],
)
def test_the_package_knows_whether_it_is_imported_by_its_command(arguments, original, expected):
    assert _start_up.is_command(arguments, original) is expected


def test_a_program_of_its_own_keeps_its_interrupts(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    try:
        _start_up.begin()
        assert signal.getsignal(signal.SIGINT) is before
        monkeypatch.setattr(sys, "argv", ["ostinato"])
        _start_up.begin()
        assert signal.getsignal(signal.SIGINT) is not before
        _start_up.over()
        assert signal.getsignal(signal.SIGINT) is before
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup has it
        _start_up.begin()
        _start_up.over()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


INTERRUPTED = """
import os, runpy, signal, sys

wanted = sys.argv[1]

class Interrupt:
    def find_spec(self, name, *rest):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.orig_argv = ["python", "-m", "ostinato", "cells"]
sys.argv = ["-m", "cells"]
import ostinato
sys.argv = ["ostinato", "cells"]
runpy.run_module("ostinato", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", ["torch", "ostinato.layers", "typer", "ostinato.apps.cli.cards"])
def test_an_interrupt_while_the_command_imports_ends_it_without_a_traceback(module):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-c", INTERRUPTED, module]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_json_without_a_version_or_a_command_is_refused(ostinato):
    expected = "ostinato: --json must be beside --version, got no --version. Write `ostinato --version --json`, or "
    assert ostinato("--json", "cells") == (2, "", expected + "--json after the name of a command.\n")


def test_help_names_every_command(ostinato):
    status, out, _ = ostinato("--help")
    assert status == 0
    assert "demo" in out and "cells" in out and "inspect" in out


def test_cells_lists_the_whole_catalogue(ostinato):
    status, out, _ = ostinato("cells")
    listed = [line.split()[0] for line in out.splitlines() if line and not line.startswith("ostinato")]
    assert status == 0
    assert listed == list(catalogue())


@pytest.mark.parametrize("name", list(catalogue()))
def test_every_cell_has_a_complete_page(ostinato, name):
    status, out, _ = ostinato("cells", name)
    assert status == 0
    assert out.startswith(f"{name}: ")
    for heading in ("shapes ", "letters ", "gate order ", "states ", "weights ", "start ", "source ", "PyTorch "):
        assert f"\n{heading}" in out


def test_the_page_of_the_lstm(ostinato):
    _, out, _ = ostinato("cells", "lstm")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "f = sigmoid(W.f @ x + b.f + U.f @ h + d.f)" in lines
    assert "weight_ih [4H, C]" in lines
    assert "gate order W U b d: i f g o" in lines
    assert "states h c" in lines
    assert "weights 4H(C + H + 2); 329,728 for C = 64, H = 256" in lines
    assert "PyTorch differs in nothing: it is torch.nn.LSTM" in lines


def test_the_kernel_is_code(ostinato):
    status, out, _ = ostinato("cells", "gru", "--kernel")
    assert status == 0
    assert len(out.splitlines()) > 100
    assert "forward:" in out.splitlines()


def test_an_unknown_cell_is_refused_in_one_message(ostinato):
    status, out, err = ostinato("cells", "ltsm")
    assert (status, out) == (2, "")
    assert err.startswith(
        "ostinato cells: NAME must be a cell of the catalogue, got 'ltsm'. The catalogue holds elman,"
    )


def test_a_kernel_of_nothing_is_refused(ostinato):
    status, _, err = ostinato("cells", "--kernel")
    assert status == 2
    assert err.startswith(
        "ostinato cells --kernel: NAME must be a cell of the catalogue, got none. Write one of: elman"
    )


def test_a_text_that_is_missing_is_refused_in_one_message(ostinato, tmp_path):
    status, out, err = ostinato("demo", "--text", tmp_path / "absent", "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert err.startswith("ostinato demo: --text must be an existing file, got ")
    assert len(err.splitlines()) == 1


def test_an_option_of_the_wrong_type_is_refused(ostinato):
    status, _, err = ostinato("demo", "--steps", "many")
    assert status == 2
    assert "Invalid value for '--steps'" in err


def test_the_demo_gets_what_was_typed(ostinato, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("ostinato.apps.demo.run", lambda settings: seen.append(settings) or 130)
    typed = ("--out", tmp_path, "--seed", 3, "--steps", 7, "--seconds", 9, "--hidden", 5, "--text", tmp_path / "t")
    assert ostinato("demo", *typed)[0] == 130
    (got,) = seen
    expected = (tmp_path, 3, 7, 9.0, 5, tmp_path / "t")
    assert (got.out, got.seed, got.steps, got.seconds, got.hidden, got.text) == expected


def test_the_defaults_of_the_command_are_the_defaults_of_the_job(ostinato, monkeypatch):
    from ostinato.apps.demo import Settings

    seen = []
    monkeypatch.setattr("ostinato.apps.demo.run", lambda settings: seen.append(settings) or 0)
    ostinato("demo")
    assert seen == [Settings()]


def test_the_lab_gets_what_was_typed(ostinato, tmp_path, monkeypatch):
    from ostinato.apps.lab.settings import Settings, Training

    seen = []
    monkeypatch.setattr("ostinato.apps.lab.run", lambda settings: seen.append(settings) or 130)
    lists = ("--task", "adding,copy", "--cells", "rnn,lstm", "--init", "torch,orthogonal", "--lags", "12,20")
    numbers = ("--seeds", 2, "--minutes", 3, "--workers", 1, "--updates", 5, "--batch", 4, "--learning-rate", 0.1)
    rest = ("--clip", 2, "--hidden", 7, "--sequences", 9, "--decay", "--to-the-end", "--out", tmp_path)
    assert ostinato("lab", "lag", *lists, *numbers, *rest)[0] == 130
    training = Training(5, 4, 0.1, 2.0, 7, 9, True, True)
    tasks, cells, inits = ("adding", "copy"), ("elman", "lstm"), ("torch", "orthogonal")
    assert seen == [Settings(tasks, cells, inits, (12, 20), 2, 3.0, 1, training, tmp_path)]


def test_the_defaults_of_the_lab_use_every_core(ostinato, monkeypatch):
    from ostinato.apps.environment import cores
    from ostinato.apps.lab.settings import Settings

    seen = []
    monkeypatch.setattr("ostinato.apps.lab.run", lambda settings: seen.append(settings) or 0)
    ostinato("lab", "lag")
    assert seen == [Settings(workers=cores())]


def test_a_task_that_is_unknown_is_refused_in_one_message(ostinato):
    status, out, err = ostinato("lab", "lag", "--task", "add")
    assert (status, out) == (2, "")
    assert err.startswith("ostinato lab lag: a task must be one of the list, got 'add'. There are adding,")


def test_the_inspection_gets_what_was_typed_and_says_what_it_found(ostinato, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "ostinato.apps.inspection.inspect", lambda *a, **k: seen.append((a, k)) or ("REPORT", "page.html")
    )
    status, out, _ = ostinato("inspect", "m.safetensors")
    assert (status, out) == (0, "REPORT\n\nWritten: page.html\n")
    typed = ("--text", tmp_path, "--data", "d.csv", "--out", tmp_path / "o.html", "--rows", 3, "--steps", 9)
    ostinato("inspect", "a:b", *typed)
    assert seen[0] == (("m.safetensors",), {"text": None, "data": None, "out": None, "rows": 16, "steps": 100})
    expected = {"text": tmp_path, "data": Path("d.csv"), "out": tmp_path / "o.html", "rows": 3, "steps": 9}
    assert seen[1] == (("a:b",), expected)


def test_a_model_that_is_missing_is_refused_in_one_message(ostinato, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = ostinato("inspect", "absent.safetensors")
    assert (status, out) == (2, "")
    assert err == (
        "ostinato inspect: MODEL must be an existing file, got absent.safetensors. "
        "`ostinato demo` writes such files, one for each cell.\n"
    )
    assert list(tmp_path.iterdir()) == []


TAGGER = """
import ostinato
from torch import nn, randn

class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = ostinato.GRU(3, 4), nn.Linear(4, 1)
    def forward(self, x):
        return self.head(self.rnn(x)[0])

def good(): return Both(), randn(12, 2, 3), lambda scores: scores.square().mean()
def broken(): raise RuntimeError("‖∂L/∂h‖ → ∞")
"""
SETTINGS = ("--hidden", "4", "--steps", "1", "--seconds", "1")
LAG = (
    "--task",
    "copy",
    "--cells",
    "rnn",
    "--lags",
    "11",
    "--init",
    "torch",
    "--updates",
    "1",
    "--hidden",
    "4",
    "--workers",
    "1",
)
COMMANDS = {
    "--help": 0,
    "cells": 0,
    "cells lstm": 0,
    "cells lstm_peephole": 0,
    "cells gru --kernel": 0,
    "cells naïve→": 2,
    "demo --text absent→": 2,
    "inspect absent→": 2,
    "inspect own:good --out page.html": 0,
    "inspect own:good --out résumé→.json": 0,
    f"demo --text fox.txt {' '.join(SETTINGS)}": 0,
    f"lab lag {' '.join(LAG)}": 0,
}


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_prints_where_not_every_character_can_be(line, encoding, tmp_path, monkeypatch):
    """Streams as Python opens them for a terminal of that encoding: an error for what it does not have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ostinato.lens.render.html.page.MOST_DRAWN", 0)
    (tmp_path / "own.py").write_text(TAGGER, encoding="utf-8")
    (tmp_path / "fox.txt").write_text("der Fuchs läuft → nach Łódź, ‖h‖ ≤ 1; " * 150, encoding="utf-8")
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding, "strict") for name in ("stdout", "stderr")}
    with monkeypatch.context() as patched:
        for name, stream in streams.items():
            patched.setattr(sys, name, stream)
        patched.setattr(sys, "argv", ["ostinato", *line.split()])
        with pytest.raises(SystemExit) as stopped:
            main()
        written = {name: stream.flush() or stream.buffer.getvalue() for name, stream in streams.items()}
    assert (stopped.value.code or 0) == COMMANDS[line]
    assert written["stderr" if COMMANDS[line] else "stdout"].decode(encoding).strip()


@pytest.mark.parametrize(
    "command, status, part",
    [
        (["cells", "lstm"], 0, b"gate order W U b d: i f g o"),
        (["inspect", "own:broken"], 1, b"||dL/dh|| -> inf"),
    ],
)
def test_a_process_whose_output_is_ascii_ends_as_any_other(command, status, part, tmp_path):
    (tmp_path / "own.py").write_text(TAGGER, encoding="utf-8")
    source = str(Path(package.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": source, "PYTHONIOENCODING": "ascii", "LANG": "C"}
    words = [sys.executable, "-m", "ostinato", *command]
    done = subprocess.run(words, env=environment, capture_output=True, cwd=tmp_path)
    assert done.returncode == status and b"UnicodeEncodeError" not in done.stderr
    assert part in b" ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    "text, printed",
    [
        ("‖∂L/∂s‖ ≤ 1 → ∞ · √H …", "||dL/ds|| <= 1 -> inf * sqrt H ..."),
        ("σ Σ δ x² h₀ ½", "sigma Sigma delta x^2 h_0 1/2"),
        ("naïve Łódź 読", "naive ?odz ?"),
    ],
)
def test_stand_ins_say_the_same_in_ascii(text, printed):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", "strict")
    make_printable(stream)
    print(text, end="", file=stream, flush=True)
    assert stream.buffer.getvalue().decode() == printed
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", "ostinato.printable")


def test_a_stream_that_takes_everything_stays_as_it_is():
    stream = io.StringIO()
    make_printable(stream)
    print("‖h‖ → ∞", file=stream)
    assert stream.getvalue() == "‖h‖ → ∞\n"


def test_the_package_runs_as_a_module():
    found = subprocess.run([sys.executable, "-m", "ostinato", "--version"], capture_output=True, text=True, check=True)
    assert found.stdout == f"ostinato {__version__}\n"
