"""Runs tests with the oldest releases that pyproject.toml allows, torch apart, in an environment of their own.

    python tools/oldest.py

What those releases depend on in turn is as new as they allow, as for a user who installs today.
"""

from __future__ import annotations

import re
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from stages import ROOT, install, new_environment, run, stage

TESTS = (
    "tests/test_cli.py",
    "tests/export/test_layer_files.py",
    "tests/export/test_model_files.py",
    "tests/lens/render/plots/test_lines.py",
    "tests/lens/render/plots/test_report_picture.py",
    "tests/program/test_estimators.py::test_a_grid_is_searched",
    "tests/program/data/test_typed_tables.py",
    "tests/program/data/test_sentences.py",
    "tests/program/data/test_midi.py",
    "tests/program/data/test_recordings.py",
    "tests/program/data/test_mat_reader.py",
    "tests/program/tasks/test_text_units.py",
    "tests/program/tasks/test_translation_metrics.py",
    "tests/program/tasks/test_transcript_metrics.py",
    "tests/program/tasks/test_metrics.py",
)
"""At least one for each dependency. Tests of parts that call no other package are as good with newer releases."""
NOT = "not evaluator_of_onnx"
"""The evaluator in older releases of onnx finds no value outside of a Scan. ONNX Runtime, which users run, does."""
TOOLS = ("pytest", "hypothesis", "mpmath")
"""What the tests import besides, in the versions of constraints.txt."""


def oldest(requirements: Iterable[str]) -> list[str]:
    """`name==version` for each `name>=version`, torch left out. Raises ValueError for one without a lower bound."""
    found = []
    for line in requirements:
        bound = re.fullmatch(r"([\w.-]+)>=([\d.]+)", line)
        if bound is None:
            raise ValueError(f"pyproject.toml: {line} must be name>=version, without anything else.")
        if bound[1] != "torch":
            found.append(f"{bound[1]}=={bound[2]}")
    return found


def pinned(names: Iterable[str]) -> list[str]:
    """The lines of constraints.txt for these packages."""
    lines = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if "==" in line
    )
    return [f"{name}=={lines[name]}" for name in names]


def main() -> None:
    """Ends with status 1 where a test fails."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = oldest([*project["dependencies"], *extras["program"], *extras["onnx"]])
    with tempfile.TemporaryDirectory(prefix="ostinato-oldest-") as made:
        with stage(f"oldest: install {', '.join(wanted)}"):
            python = new_environment(Path(made) / "environment")
            install(python, [*wanted, *pinned(["torch", *TOOLS])])
        # Old releases beside new ones warn of each other, which no change here would mend.
        options = ["-q", "-p", "no:cacheprovider", "-o", "filterwarnings=default", "-k", NOT, "-m", ""]
        with stage("oldest: run the tests"):
            done = run([python, "-m", "pytest", *options, *TESTS], ROOT, variables={"PYTHONPATH": str(ROOT / "src")})
        print(f"oldest: {done.stdout.strip().splitlines()[-1]}")


if __name__ == "__main__":
    main()
