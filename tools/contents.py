"""What a wheel has to hold, and what it must not."""

from __future__ import annotations

from collections.abc import Sequence
from email.parser import Parser
from pathlib import PurePosixPath

PACKAGE = "ostinato"
SOURCES = "src/"
BESIDE = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
"""Files of the folder .dist-info."""


def problems(names: Sequence[str], tracked: Sequence[str], metadata: str) -> list[str]:
    """One sentence for each thing that is wrong with a wheel of these files; none where it is whole.

    names     files of the wheel
    tracked   files of the repository, from its root
    metadata  text of METADATA
    """
    expected = {name.removeprefix(SOURCES) for name in tracked if name.startswith(f"{SOURCES}{PACKAGE}/")}
    own = {name for name in names if ".dist-info/" not in name}
    found = [f"{name} is in the repository and not in the wheel." for name in sorted(expected - own)]
    found += [f"{name} is in the wheel and no tracked file of the package." for name in sorted(own - expected)]
    found += [
        f"{name} is a test." for name in sorted(own) if PurePosixPath(name).name.startswith(("test_", "conftest"))
    ]
    if f"{PACKAGE}/py.typed" not in own:
        found.append("py.typed is missing, so that type checkers ignore the annotations.")
    beside = {name.partition(".dist-info/")[2] for name in set(names) - own}
    found += [f"{name} of .dist-info is missing." for name in BESIDE if name not in beside]
    head = Parser().parsestr(metadata, headersonly=True)
    if head["License-Expression"] != "Apache-2.0":
        found.append(f"The metadata has the licence {head['License-Expression']}.")
    for line in head.get_all("Requires-Dist") or []:
        bounded = ">=" in line or 'extra == "dev"' in line
        if not bounded:
            found.append(f"The dependency {line} has no lower bound.")
    return found
