"""Streams and layers have the same bits for every instruction set and every number of lanes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ostinato.cells import catalogue
from ostinato.kernels.system.target import can_run, target_by_name

TESTS = Path(__file__).parent.parent
VARIANTS = {"avx512": ("host", "avx512"), "avx2": ("host", "avx2"), "narrow": ("narrow", "avx2")}
"""Name → how the vectors are chosen, and OSTINATO_TARGET."""


def digests(cache, variant):
    """({"target", "lanes"}, a case's name → SHA-256) of a process of its own, with a cache of its own."""
    how, name = VARIANTS[variant]
    paths = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
    variables = {"OSTINATO_CACHE": str(cache), "PYTHONPATH": paths, "OSTINATO_TARGET": name}
    command = [sys.executable, str(TESTS / "streaming" / "digests.py"), how]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    used, found = map(json.loads, done.stdout.splitlines())
    return used, found


@pytest.mark.slow
@pytest.mark.skipif(not can_run(target_by_name("avx2")), reason="this machine has one number of lanes, that of aarch64")
def test_bits_do_not_depend_on_the_target(tmp_path):
    variants = [name for name, (_, target) in VARIANTS.items() if can_run(target_by_name(target))]
    found = {name: digests(tmp_path / name, name) for name in variants}
    expected = found["avx2"][1]
    assert found["avx2"][0] == {"target": "avx2", "lanes": 8} and found["narrow"][0]["lanes"] == 4
    assert len(expected) > 2 * len(catalogue()) + 40
    for name in variants:
        others = found[name][1]
        assert [case for case in expected if others[case] != expected[case]] == [], name
