"""The pictures of docs/gallery.md: `python benchmarks/gallery.py [--only captions]` runs the page's lines and draws.

Its Python and its commands run in order in a temporary folder, or in `--folder`, where what is there stays; each
section's picture is drawn from the model folders that its commands wrote.
"""

import argparse
import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gallery_pictures
import gallery_texts
from matplotlib.figure import Figure

from ostinato.lens.render.plots.style import png

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "gallery.md"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$|\(img/gallery-([a-z-]+)\.png\)", re.DOTALL | re.MULTILINE)
PICTURES = {**gallery_pictures.PICTURES, **gallery_texts.PICTURES}
"""name → what draws it from the current folder."""


@dataclass(frozen=True)
class Step:
    """A block of the page, or its picture."""

    kind: str
    """python, sh or picture"""
    text: str
    """The lines, or the name of the picture."""
    section: str
    """The name of the picture that it is for."""


def steps(text: str) -> list[Step]:
    """What the page runs and draws, in order. A section has one picture, after its blocks."""
    found: list[Step] = []
    waiting: list[tuple[str, str]] = []
    for kind, lines, name in BLOCK.findall(text):
        if kind:
            waiting.append((kind, lines))
        else:
            found += [Step(k, block, name) for k, block in waiting] + [Step("picture", name, name)]
            waiting = []
    return found


def drawn(name: str) -> bytes:
    """The picture as a file, from the model folders of the current folder."""
    figure: Figure = PICTURES[name]()
    return png(figure, dpi=100)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run(only: Sequence[str], folder: Path, images: Path) -> None:
    """Every section, or those named; the Python of the others runs, since sections share files and names."""
    names: dict[str, object] = {"__name__": "__main__"}
    for step in steps(PAGE.read_text(encoding="utf-8")):
        wanted = not only or step.section in only
        with inside(folder):
            if step.kind == "python":
                exec(compile(step.text, str(PAGE), "exec"), names)
            elif step.kind == "sh" and wanted:
                for line in step.text.splitlines():
                    command(line)
            picture = drawn(step.text) if step.kind == "picture" and wanted else None
        if picture is not None:
            path = images / f"gallery-{step.text}.png"
            path.write_bytes(picture)
            print(path, flush=True)


def command(line: str) -> None:
    """Runs `ostinato …`, or `echo TEXT | ostinato …`; a training without what no picture shows.

    The status 1, no certain gain, is no failure.
    """
    spoken, _, called = line.rpartition("|") if line.startswith("echo ") else ("", "", line)
    typed = " ".join(shlex.split(spoken)[1:]) + "\n"
    words = [sys.executable, "-m", "ostinato", *shlex.split(called)[1:]]
    words += ["--no-lens", "--no-baselines", "--quiet"] if words[3] == "train" else []
    print(line, flush=True)
    if subprocess.run(words, check=False, input=typed, text=True).returncode not in (0, 1):
        raise SystemExit(f"{line}: failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=sorted(PICTURES), help="a picture; may repeat")
    parser.add_argument("--folder", type=Path, help="where files and models are written; it is kept")
    parser.add_argument("--images", type=Path, default=DOCS / "img", help="[default: %(default)s]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        run(options.only or (), folder, options.images.resolve())


if __name__ == "__main__":
    main()
