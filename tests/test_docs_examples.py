"""What the documents show runs: the Python of a page as one script, and the commands of the program's pages, in order.

A block that begins with ```python no-run is shown and not run. Commands run with few updates of a small network.
"""

import contextlib
import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import gallery
import pytest

from ostinato.apps.cli import main

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EITHER = re.compile(r"^```(python|sh|c)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROGRAM = (
    "agreement.md", "chips.md", "classify.md", "forecast.md", "generate.md", "language-models.md", "music.md",
    "program.md", "regress.md", "stream-command.md", "tag.md", "transcribe.md", "translate.md",
)  # fmt: skip
"""Pages whose Python needs what their commands write, and the other way round."""
PAGES = {path.name: blocks for path in sorted(DOCS.glob("*.md")) if (blocks := BLOCK.findall(path.read_text("utf-8")))}
QUICK = ("--hidden", "8", "--no-lens", "--quiet")
"""Added to trainings, before what the page says."""
MOST_UPDATES = 100
"""Of a training that runs as it is on the page."""


@pytest.mark.parametrize("page", [page for page in PAGES if page not in (*PROGRAM, "gallery.md")])
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / f"{page.removesuffix('.md').replace('-', '_')}.py"
    script.write_text("\n".join(PAGES[page]), encoding="utf-8")
    runpy.run_path(str(script))


def test_pages_are_found():
    assert "notation.md" in PAGES and len(PAGES["notation.md"]) == 5


def quick(words):
    """The words of a command, with few updates where it trains for a time."""
    if words[1] not in ("train", "compare") or "--config" in words:
        return words
    if "--minutes" in words:
        place = words.index("--minutes")
        words = words[:place] + words[place + 2 :]
    if "--updates" in words and int(words[words.index("--updates") + 1]) > MOST_UPDATES:
        place = words.index("--updates")
        words = words[:place] + words[place + 2 :]
    few = [] if "--updates" in words else ["--updates", "6"]
    looks = [word for word in QUICK if words[1] == "train" or word != "--no-lens"]
    return [*words, *few, *looks]


def run_line(line, monkeypatch):
    """Runs `ostinato …`, `echo TEXT | ostinato …`, or `ostinato … < FILE`; returns its status and what it printed."""
    spoken, bar, command = line.rpartition("|") if line.startswith("echo ") else ("", "", line)
    typed = " ".join(shlex.split(spoken)[1:]) + "\n" if bar else ""
    command, _, file = command.partition(" < ")
    typed = Path(file).read_text(encoding="utf-8") if file else typed
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    monkeypatch.setattr(sys, "argv", quick(shlex.split(command)))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            status = 0
        except SystemExit as stopped:
            status = stopped.code or 0
    return status, out.getvalue(), err.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("page", PROGRAM)
def test_the_commands_and_the_python_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ostinato.lens.render.html.page.MOST_DRAWN", 0)  # pictures take seconds
    namespace, commands = {"__name__": "__main__"}, 0
    for kind, block in EITHER.findall((DOCS / page).read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(block, f"{page} as Python", "exec"), namespace)
            continue
        if kind == "c":
            if (name := re.match(r"/\* (\S+\.c):", block)) is not None:
                Path(name[1]).write_text(block, encoding="utf-8")
            continue
        for line in block.splitlines():
            if line.startswith("torchrun "):
                continue  # tests/program/test_torchrun.py runs these, in processes of their own
            if line.startswith("cd "):
                if shutil.which("cc") is None:
                    pytest.skip("cc is not installed, so no C is compiled")
                done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
                assert done.returncode == 0, (line, done.stderr)
                commands += 1
                continue
            status, out, err = run_line(line, monkeypatch)
            commands += 1
            # A network of six updates need not beat the baselines, which is status 1.
            assert status == 0 or (status == 1 and out and "train" in line), (line, status, err)
    assert commands >= 4


@pytest.mark.slow
def test_the_gallery_runs_and_every_picture_is_drawn_from_its_model_folders(tmp_path, monkeypatch):
    test_the_commands_and_the_python_of_a_page_run_in_order("gallery.md", tmp_path, monkeypatch)
    named = [step.text for step in gallery.steps(gallery.PAGE.read_text(encoding="utf-8")) if step.kind == "picture"]
    assert named == list(dict.fromkeys(named)) and set(named) == set(gallery.PICTURES)
    assert all(gallery.drawn(name).startswith(b"\x89PNG") for name in named)
    assert {path.stem.removeprefix("gallery-") for path in (gallery.DOCS / "img").glob("gallery-*")} == set(named)
