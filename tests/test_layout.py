"""The layout itself: which module may import which, file sizes, public names documented, commands in documents."""

import ast
import dataclasses
import inspect
import re
import runpy
import subprocess
import sys
import textwrap

import pytest
from torch import nn

import ostinato
from ostinato.apps.cli import app
from ostinato.cells import catalogue
from source_files import DOCUMENTS, PACKAGE, ROOT, SOURCES, identify

ORDER = """
    _start_up _version _renamed errors output_files _torch_private caching
    cells ragged_layout sequence
    network
    kernels
    execution
    ragged
    layers
    bptt loss packing streaming
    lens
    export
    program
    apps
    __main__ _moved models tasks lab inspection training
"""
"""What imports what: a chapter may import those on lines above its own, and on its own line those before it."""
RANK = {name: place for place, name in enumerate(ORDER.split())}
LINE = {name: place for place, line in enumerate(ORDER.strip().splitlines()) for name in line.split()}

SHAPE = re.compile(r"\[[A-Z0-9][A-Za-z0-9·+/ -]*(, [A-Za-z0-9·+/ -]+)*\]")
UNIT = re.compile(r"\b(units?|steps?|share|nats|bool|int64)\b")
CHAPTERS = [ostinato.lens, ostinato.export]
PUBLIC = [(ostinato, name) for name in ostinato.__all__ if not name.startswith("__")]
PUBLIC += [(chapter, name) for chapter in CHAPTERS for name in chapter.__all__]
RECORDS = [(c, n) for c, n in PUBLIC if c in CHAPTERS and dataclasses.is_dataclass(getattr(c, n))]
FUNCTIONS = [(c, n) for c, n in PUBLIC if c in CHAPTERS and inspect.isfunction(getattr(c, n))]


def part(path):
    """The chapter that a source file belongs to: the first folder or file name below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


OLD_NAMES = {"_moved", "models", "tasks", "lab", "inspection", "training"}
NOT_LISTED = {"__main__", "_start_up", "_version", "_renamed", "_torch_private", *OLD_NAMES}


def imported_parts(path):
    """Chapters that a file imports anywhere in it, relative imports resolved; "" stands for the package itself."""
    package = ["ostinato", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            names = [module + [alias.name] for alias in node.names] if module == ["ostinato"] else [module]
        else:
            continue
        for name in names:
            if name[0] == "ostinato":
                yield node.lineno, name[1] if len(name) > 1 else ""


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.parent != PACKAGE or path.stem != "__init__"], ids=identify
)
def test_imports_run_one_way_only(path):
    own = part(path)
    assert own in RANK, f"{own} has no place in the order of chapters; give it one in ORDER"
    for line, other in imported_parts(path):
        where = f"{identify(path)}:{line}"
        assert other in RANK, f"{where} imports {other or 'the package itself'}; import the chapter that defines it"
        assert RANK[other] <= RANK[own], f"{where}: {own} imports {other}, which comes after it"


def imported_files(path):
    """Files of the package that a file imports, in functions and for type checkers included."""
    package = ["ostinato", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            names = [[*module, alias.name] for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == "ostinato":
                yield from file_of(name[1:])


def file_of(parts):
    """The file of a module, or of the module that defines a name of this path."""
    for count in (len(parts), len(parts) - 1):
        place = PACKAGE.joinpath(*parts[:count])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if count and file in SOURCES:
                yield file
                return


def test_no_files_import_each_other_in_a_circle():
    """Imports inside functions and for type checkers count: they, too, say what a file cannot be read without."""
    arrows = {path: {other for other in imported_files(path) if other != path} for path in SOURCES}
    assert len(arrows[PACKAGE / "layers" / "base.py"]) > 10  # imports are found
    while True:
        leaves = [path for path, others in arrows.items() if not others & arrows.keys()]
        if not leaves:
            break
        for path in leaves:
            del arrows[path]
    left = {identify(path): sorted(identify(p) for p in others & arrows.keys()) for path, others in arrows.items()}
    assert not left


def test_the_contributors_map_lists_every_chapter():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("| chapter |") :].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    there = {part(path) for path in SOURCES} - {"__init__", *NOT_LISTED}
    assert listed == there
    assert there <= set(RANK) and set(RANK) - there == NOT_LISTED


KERNEL_ORDER = ["codegen", "planning", "system", "emit", "runtime", "lens_kernels", "network"]
"""The folders of kernels: each imports those before it, and `__init__` all."""


@pytest.mark.parametrize("path", sorted((PACKAGE / "kernels").glob("*/*.py")), ids=identify)
def test_the_folders_of_kernels_import_one_way(path):
    own = KERNEL_ORDER.index(path.parent.name)
    for other in imported_files(path):
        if other.is_relative_to(PACKAGE / "kernels"):
            assert other.parent.name in KERNEL_ORDER[: own + 1], f"{identify(path)} imports {identify(other)}"


def test_the_contributors_map_lists_the_folders_of_kernels():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("| folder |") :].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == KERNEL_ORDER
    assert set(KERNEL_ORDER) == {path.parent.name for path in (PACKAGE / "kernels").glob("*/*.py")}


def test_the_order_is_read_from_real_imports():
    """The test above would pass on nothing if imports were not found; these are known to be there."""
    assert {other for _, other in imported_parts(PACKAGE / "apps" / "training.py")} == {"errors", "loss", "apps"}
    assert "cells" in {other for _, other in imported_parts(PACKAGE / "apps" / "cli" / "cards.py")}
    assert "cells" in {other for _, other in imported_parts(PACKAGE / "__init__.py")}
    assert "errors" in {other for _, other in imported_parts(PACKAGE / "cells" / "cell.py")}


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_no_file_is_longer_than_can_be_read_aloud(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def purpose(path):
    """The first paragraph of a file's docstring on one line; "" without one."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


PURPOSES = {path: purpose(path) for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_every_file_says_what_it_is_for(path):
    """In a sentence of its own: no file has the words of another, or only those of its name."""
    opening = PURPOSES[path]
    assert opening and opening[-1] in ".:?", opening
    words = set(re.findall(r"[A-Za-z]{2,}", opening.lower())) - set(path.stem.lower().split("_"))
    assert len(words) >= 3, opening
    assert [other for other, text in PURPOSES.items() if text == opening] == [path]


def takes_tensors(thing):
    if inspect.isclass(thing) and issubclass(thing, nn.Module):
        return True
    call = thing.__init__ if inspect.isclass(thing) else thing
    return callable(call) and any("Tensor" in str(kind) for kind in getattr(call, "__annotations__", {}).values())


def named(value):
    chapter, name = value
    return f"{chapter.__name__}.{name}"


def strings_under_fields(record):
    """Field → the string under it in the source of a dataclass, None where there is none; its own fields only."""
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0].body
    found = {}
    for statement, after in zip(body, [*body[1:], None]):
        if isinstance(statement, ast.AnnAssign):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
            found[statement.target.id] = (ast.unparse(statement.annotation), text)
    return found


@pytest.mark.parametrize("public", PUBLIC, ids=named)
def test_every_public_name_is_documented(public):
    chapter, name = public
    thing = getattr(chapter, name)
    assert thing.__doc__ and thing.__doc__.strip(), f"{named(public)} has no docstring"
    if takes_tensors(thing):
        texts = [thing.__doc__]
        if public in RECORDS:
            texts += [text or "" for _, text in strings_under_fields(thing).values()]
        assert SHAPE.search("\n".join(texts)), f"{named(public)} takes tensors; nothing gives a shape such as [T, B, C]"
    if chapter in CHAPTERS and inspect.isclass(thing):
        for member, value in vars(thing).items():
            function = value.fget if isinstance(value, property) else value
            if inspect.isfunction(function) and not member.startswith("_"):
                assert function.__doc__, f"{named(public)}.{member} has no docstring"


@pytest.mark.parametrize("public", RECORDS, ids=named)
def test_every_field_of_a_record_is_documented_under_it(public):
    """In one form, a string under the attribute, with shape and unit where the field is a tensor."""
    record = getattr(*public)
    for name, (kind, text) in strings_under_fields(record).items():
        assert text, f"{named(public)}.{name} has no string under it"
        assert f"\n    {name}  " not in record.__doc__, f"{named(public)}.{name} is documented twice"
        if "Tensor" in kind:
            assert SHAPE.search(text), f"{named(public)}.{name} is a tensor; its string gives no shape such as [T, B]"
            assert UNIT.search(text), f"{named(public)}.{name} is a tensor; its string gives no unit"


@pytest.mark.parametrize("public", FUNCTIONS, ids=named)
def test_every_function_says_what_it_refuses(public):
    """Where the module that defines it phrases errors."""
    function = getattr(*public)
    if "phrase(" in inspect.getsource(inspect.getmodule(function)):
        assert re.search(r"\bRaises\b|\brefused\b", function.__doc__), f"{named(public)} does not say what it refuses"


def test_importing_the_package_brings_nothing_heavy():
    code = (
        "import sys, ostinato; lens = 'ostinato.lens' in sys.modules; ostinato.lens.carry; "
        "print(lens, 'matplotlib' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
    with pytest.raises(AttributeError, match="no attribute 'lenses'"):
        ostinato.lenses  # noqa: B018


def blocks(path, language):
    """The fenced blocks of a document in one language, indented ones included."""
    fenced = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for kind, block in fenced if kind == language]


def commands():
    """The words of every line in a document's sh blocks that runs make or ostinato."""
    for path in DOCUMENTS:
        for line in "".join(blocks(path, "sh")).splitlines():
            words = line.strip().partition("#")[0].split()
            if words and words[0] in ("make", "ostinato"):
                yield pytest.param(words, id=f"{identify(path)}: {' '.join(words)}")


@pytest.mark.parametrize("words", list(commands()))
def test_commands_in_documents_exist(words):
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
        return
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    within = groups.get(words[1], app) if len(words) > 1 else app
    if within is not app:
        words = words[1:]
    known = {command.name or command.callback.__name__: command.callback for command in within.registered_commands}
    assert len(words) == 1 or words[1] in known or words[1] == "--version"
    options = {"--" + option.replace("_", "-") for option in inspect.signature(known.get(words[1], print)).parameters}
    options |= {"--one-direction"} if "--both-directions" in options else set()  # its opposite
    assert {word for word in words[2:] if word.startswith("--")} <= options
    if words[1] == "cells" and len(words) > 2:
        assert words[2] in catalogue()


def test_the_first_commands_of_the_readme_are_a_training_on_a_file_and_the_main_job():
    training, first, *rest = [parameter.values[0] for parameter in commands() if parameter.id.startswith("README.md")]
    assert training[:2] == ["ostinato", "train"]
    assert first == ["make", "run"]
    assert {words[0] for words in rest} == {"make", "ostinato"}


def test_the_python_of_the_readme_runs(tmp_path):
    code = blocks(ROOT / "README.md", "python")
    assert len(code) >= 2
    script = tmp_path / "readme.py"
    script.write_text("\n".join(code), encoding="utf-8")
    found = runpy.run_path(str(script))
    assert found["output"].shape == (101, 32, 256)
    assert found["reach"].norms[0].shape == (101, 32)


def test_no_file_names_a_place_on_somebodys_machine():
    folders = (".ci", ".github", "benchmarks", "docs", "examples", "src")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*.*"))
    kinds = {"", ".py", ".md", ".yml", ".json", ".toml", ".txt"}
    texts = [path for path in paths if path.suffix in kinds and path.is_file() and "egg-info" not in str(path)]
    texts = [path for path in texts if path.name != ".git"]  # where git keeps a second working tree's history
    place = re.compile(r"(?:/(?:home|root|tmp|Users|work)/|[A-Z]:\\)\w+")
    found = {identify(path): place.findall(path.read_text(encoding="utf-8")) for path in texts}
    assert len(found) > 20
    assert {path: places for path, places in found.items() if places} == {}
