"""Fixtures of the tests of layers."""

import pytest

from ostinato.kernels.runtime.prepared import PreparedCall


@pytest.fixture
def hits(monkeypatch):
    """The calls that an entry has answered."""
    found = []
    for name in ("infer", "infer_rows", "forward"):
        plain = getattr(PreparedCall, name)

        def counted(*arguments, plain=plain):
            found.append(arguments)
            return plain(*arguments)

        monkeypatch.setattr(PreparedCall, name, counted)
    return found
