"""The layout of the lens: its files import one another without a circle, and its folders one way only."""

import ast
from pathlib import Path

import pytest

import ostinato

PACKAGE = Path(ostinato.__file__).parent
LENS = PACKAGE / "lens"
FOLDERS = ("renamed", "capture", "report", "measures", "render", "result", "watch", "anomaly", "live", "pictures")
"""Folders and files of the lens; each imports only from those before it, and from itself."""


def modules(folder=LENS):
    """Module name → file, of every file below a folder of the package."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = ("ostinato", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name, path, known):
    """The modules of `known` that a file imports anywhere in it: under TYPE_CHECKING and inside functions too."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            targets = [t if (t := f"{module}.{alias.name}") in known else module for alias in node.names]
        else:
            continue
        yield from (target for target in targets if target in known and target != name)


def graph():
    known = modules()
    return {name: set(imports(name, path, known)) for name, path in known.items()}


def circle(edges):
    """The modules of a circle, in its order; [] where there is none."""
    done, way = set(), []

    def visit(name):
        if name in way:
            return way[way.index(name) :]
        if name in done:
            return []
        way.append(name)
        found = next((c for other in sorted(edges[name]) if (c := visit(other))), [])
        way.pop()
        done.add(name)
        return found

    return next((c for name in sorted(edges) if (c := visit(name))), [])


def test_no_file_of_the_lens_imports_in_a_circle():
    assert circle(graph()) == []


def test_a_circle_would_be_found():
    edges = {"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}
    assert circle(edges) == ["b", "d"]
    assert circle({**edges, "d": {"c"}}) == []


def test_imports_are_read_wherever_they_stand():
    """The test above would pass on nothing if imports were not found; these are known to be there."""
    edges = graph()
    assert "ostinato.lens.render.plots.report_sheet" in edges["ostinato.lens.result"]  # inside a method
    assert "ostinato.lens.report.data" in edges["ostinato.lens.result"]
    assert "ostinato.lens.watch" in edges["ostinato.lens"]
    assert sum(map(len, edges.values())) > 100


PARTS = [name for name in modules() if name != "ostinato.lens" and not name.endswith("__main__")]  # no programs


@pytest.mark.parametrize("name", PARTS)
def test_folders_import_one_way(name):
    own = name.split(".")[2]
    assert own in FOLDERS, f"{own} has no place in FOLDERS"
    for other in imports(name, modules()[name], modules()):
        assert other != "ostinato.lens", f"{name} imports the public names; import the module that defines them"
        assert FOLDERS.index(other.split(".")[2]) <= FOLDERS.index(own), f"{name} imports {other}"
