"""Cells that must be refused: each is registered with its message and the line that the message must show."""

import linecache
import re

import pytest

from ostinato.cells import cell
from ostinato.errors import CellError


class Refused:
    """A decorator for functions that are no cells, and the cases that it has collected.

    refused("what the message says", "what stands in the line shown", **settings of @cell)
    """

    def __init__(self):
        self.cases = []

    def __call__(self, message, line=None, **settings):
        def add(fn):
            self.cases.append(pytest.param(fn, settings, message, line, id=fn.__name__))
            return fn

        return add


def check_refusal(fn, settings, message, line):
    """The first line says what is wrong and what to write; the second quotes the source."""
    with pytest.raises(CellError) as caught:
        cell(fn, **settings)
    first, _, shown = str(caught.value).partition("\n")
    assert message in first
    assert first.endswith(".") and re.search(r"(Write|Leave|Remove|Known:|Its own vectors are:|got foo)", first), first
    if line is not None:
        number, text = re.fullmatch(r"  line (\d+): (.*)", shown).groups()
        assert linecache.getline(fn.__code__.co_filename, int(number)).strip() == text
        assert line in text
