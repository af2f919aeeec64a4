"""Builds the wheel, checks what is in it, and tries it in an empty environment, far from the source tree.

    python tools/wheel.py [--out FOLDER]

With --out the wheel and the source archive are copied to a folder, once everything has passed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from contents import problems
from stages import ROOT, fail, install, new_environment, run, stage

SMOKE = Path(__file__).parent / "smoke"
"""Programs that run in the environment; they are copied there."""


def sources(folder: Path) -> list[str]:
    """Copies the tracked files of the working tree, and says which they are."""
    names = [name for name in run(["git", "ls-files", "-z"], ROOT).stdout.split("\0") if (ROOT / name).is_file()]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return names


def built(folder: Path) -> tuple[Path, Path]:
    """The wheel, built from the source archive, which is built from the tracked files; both are in `folder`."""
    tree = folder / "tree"
    names = sources(tree)
    run([sys.executable, "-m", "build", "--outdir", folder / "dist", tree], folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    (archive,) = (folder / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        metadata = next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        found = problems(opened.namelist(), names, opened.read(metadata).decode("utf-8"))
    if found:
        fail(f"{wheel.name}:", *found)
    return wheel, archive


def write_reviews(path: Path) -> None:
    """Made texts of five words; one of the words decides the label."""
    draw = random.Random(0)
    rows = ["review,label"]
    for number in range(120):
        words = [draw.choice(("long", "short", "loud", "plain", "new")) for _ in range(4)]
        words.insert(draw.randrange(5), ("slow", "bright")[number % 2])
        rows.append(f"{' '.join(words)},{('bad', 'good')[number % 2]}")
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")


def tried_alone(python: Path, place: Path) -> None:
    """Without an extra: the library, the commands that need none, and what the others say."""
    program = python.with_name("ostinato")
    run([python, "-I", place / "library.py"], place)
    run([python, "-I", place / "modules.py", "without"], place)
    if "demo" not in run([program, "--help"], place).stdout:
        fail("`ostinato --help` does not name the command demo.")
    document = json.loads(run([program, "--version", "--json"], place).stdout)
    if document["packages"]["polars"] is not None:
        fail("`ostinato --version --json` finds polars, so that the environment is not empty.")
    refused = run([program, "check", "reviews.csv"], place, statuses=(2,)).stderr
    if "ostinato[program]" not in refused:
        fail("`ostinato check` does not say what to install:", refused)


def tried_with_extras(python: Path, place: Path) -> None:
    """With the extras: every module, and a model from a file to ONNX."""
    program = python.with_name("ostinato")
    run([python, "-I", place / "modules.py", "with"], place)
    train = ["train", "reviews.csv", "--text", "review", "--target", "label", "--updates", "20", "--hidden", "8"]
    # 20 updates need not beat the baselines, which is status 1.
    run([program, *train, "--no-lens", "--quiet"], place, statuses=(0, 1))
    run([program, "predict", "reviews-model"], place)
    run([program, "export", "reviews-model", "--onnx"], place)


def main() -> None:
    """Ends with status 1 at the first thing that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="folder for the wheel and the source archive")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory(prefix="ostinato-wheel-") as made:
        folder = Path(made)
        with stage("wheel: build it, and check its contents"):
            wheel, archive = built(folder)
        pinned = ("--constraint", ROOT / "constraints.txt")
        with stage("wheel: install it in an empty environment"):
            python = new_environment(folder / "environment")
            install(python, [wheel], *pinned)
        place = folder / "place"
        shutil.copytree(SMOKE, place)
        write_reviews(place / "reviews.csv")
        with stage("wheel: the library and the commands without extras"):
            tried_alone(python, place)
        with stage("wheel: ostinato demo --seconds 20"):
            run([python.with_name("ostinato"), "demo", "--seconds", "20"], place)
        with stage("wheel: install the extras program and onnx"):
            install(python, [f"{wheel}[program,onnx]"], *pinned)
        with stage("wheel: every module, train, predict, export"):
            tried_with_extras(python, place)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for file in (wheel, archive):
                shutil.copyfile(file, out / file.name)
        print(f"wheel: {wheel.name} is whole" + (f"; it is in {out}" if out else ""))


if __name__ == "__main__":
    main()
