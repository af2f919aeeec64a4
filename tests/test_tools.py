"""The tools beside the package: what a wheel must hold, and the oldest releases that are allowed."""

import tomllib

import pytest

import contents
import oldest
from source_files import ROOT

METADATA = 'License-Expression: Apache-2.0\nRequires-Dist: torch>=2\nRequires-Dist: ruff; extra == "dev"\n\ntext'
TRACKED = ["src/ostinato/__init__.py", "src/ostinato/py.typed", "tests/test_a.py", "README.md"]
WHOLE = ["ostinato/__init__.py", "ostinato/py.typed", *(f"ostinato-1.dist-info/{name}" for name in contents.BESIDE)]


def test_nothing_is_said_of_a_whole_wheel():
    assert contents.problems(WHOLE, TRACKED, METADATA) == []


@pytest.mark.parametrize(
    ("names", "metadata", "expected"),
    [
        ([*WHOLE, "tests/test_a.py"], METADATA, "tests/test_a.py is a test."),
        ([*WHOLE, "bench.py"], METADATA, "bench.py is in the wheel and no tracked file of the package."),
        (WHOLE[1:], METADATA, "ostinato/__init__.py is in the repository and not in the wheel."),
        ([WHOLE[0], *WHOLE[2:]], METADATA, "py.typed is missing, so that type checkers ignore the annotations."),
        ([n for n in WHOLE if "LICENSE" not in n], METADATA, "licenses/LICENSE of .dist-info is missing."),
        (WHOLE, METADATA.replace("Apache-2.0", "MIT"), "The metadata has the licence MIT."),
        (WHOLE, METADATA.replace("torch>=2", "torch"), "The dependency torch has no lower bound."),
    ],
)
def test_what_is_wrong_with_a_wheel_is_said_in_a_sentence(names, metadata, expected):
    assert expected in contents.problems(names, TRACKED, metadata)


def test_the_oldest_releases_are_the_lower_bounds_without_torch():
    assert oldest.oldest(["torch>=2.13", "numpy>=1.26", "scikit-learn>=1.5.1"]) == [
        "numpy==1.26",
        "scikit-learn==1.5.1",
    ]


def test_a_dependency_without_a_lower_bound_is_refused():
    with pytest.raises(ValueError, match=r"pyproject.toml: numpy must be name>=version, without anything else"):
        oldest.oldest(["numpy"])


def test_every_dependency_of_a_user_has_a_lower_bound_and_every_test_of_the_oldest_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert len(oldest.oldest([*project["dependencies"], *extras["program"], *extras["onnx"]])) == 18
    assert all((ROOT / test.partition("::")[0]).is_file() for test in oldest.TESTS)


def test_the_tools_of_development_include_what_users_install():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = {line.partition(">=")[0] for line in (*extras["program"], *extras["onnx"])}
    assert named <= {line.partition(">=")[0] for line in extras["dev"]}


def test_every_tool_of_the_oldest_environment_is_pinned():
    assert [line.partition("==")[0] for line in oldest.pinned(["torch", *oldest.TOOLS])] == ["torch", *oldest.TOOLS]
