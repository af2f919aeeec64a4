"""The cell that a user names: of the catalogue, by its text, in a file."""

import pytest

from ostinato.cells import Cell, catalogue
from ostinato.errors import CellError, InputError
from ostinato.program.tasks.cell_argument import resolve_cell

LEAKY = """
import ostinato
from torch import tanh

@ostinato.cell
def leaky(W, U, b, x, h):
    return 0.9 * h + 0.1 * tanh(W.h @ x + U.h @ h + b.h)
"""


def test_a_name_and_a_canonical_text_give_the_catalogues_cell():
    assert resolve_cell("lstm") == catalogue()["lstm"] == resolve_cell(catalogue()["lstm"].text)


def test_a_file_gives_its_cell_and_the_text_of_it_needs_no_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(LEAKY, encoding="utf-8")
    found = resolve_cell(f"{path}:leaky", files=True)
    path.unlink()
    assert isinstance(found, Cell) and resolve_cell(found.text) == found


def test_a_file_is_executed_only_where_the_user_typed_it(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(InputError, match="the cell must be a name or a canonical text, got .*mine.py:leaky"):
        resolve_cell(f"{path}:leaky")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be a Python file, got no such file. Write FILE.py:NAME"),
        ("1 / 0", "must be a file that Python can run, got ZeroDivisionError: division by zero. Write"),
        ("x = 1", "mine.py:leaky must be a cell of the file, got a file with no cell. Write"),
    ],
)
def test_a_file_that_gives_no_cell_is_refused(tmp_path, content, message):
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        resolve_cell(f"{path}:leaky", files=True)


def test_a_broken_cell_in_a_file_and_in_a_text_is_refused_in_the_cells_own_words(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import ostinato\n\n@ostinato.cell\ndef leaky(W, x, h):\n    return W\n", encoding="utf-8")
    with pytest.raises(CellError):
        resolve_cell(f"{path}:leaky", files=True)
    with pytest.raises(CellError):
        resolve_cell("def cell(:\n    pass")
    with pytest.raises(InputError, match="Did you mean 'gru'"):
        resolve_cell("grru")
