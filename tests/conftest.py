"""What all tests share.

One thread each, because pytest-xdist runs as many tests at a time as there are cores; a test that is about threads asks
for its own.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import math

import pytest


@pytest.fixture(autouse=True)
def teams_whatever_they_cost(monkeypatch):
    """Tests of threads count them, and a busy machine must not change how many there are."""
    from ostinato.kernels.runtime.team_policy import TEAM

    monkeypatch.setattr(TEAM, "limit", math.inf)
    monkeypatch.setattr(TEAM, "alone_for", 0.0)
