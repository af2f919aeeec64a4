"""Runs exported scripts in node and exported pages in a headless Chromium; tests skip where these are not installed."""

import functools
import html
import json
import re
import shutil
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
import torch

RELAXED = "--experimental-wasm-relaxed-simd"
_OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@functools.cache
def node_flags():
    """Of a node that hides relaxed SIMD behind a flag; later ones have it, and refuse the flag."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed, so no WebAssembly is run")
    known = subprocess.run(["node", RELAXED, "-e", "0"], capture_output=True, check=False).returncode == 0
    return (RELAXED,) if known else ()


def node(folder, code, relaxed=True):
    """What a script of node in `folder` passes to `say`, as JSON."""
    script = Path(folder) / "run.mjs"
    head = "import fs from 'node:fs';\nconst say = (value) => console.log(JSON.stringify(value));\n"
    script.write_text(head + code, encoding="utf-8")
    command = ["node", *(node_flags() if relaxed else node_flags() and ()), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def numbers(file, shape):
    """A file of float32, which a script of node wrote."""
    return torch.from_numpy(np.fromfile(file, np.float32).reshape(shape))


def same_bits(a, b):
    return a.shape == b.shape and torch.equal(a.view(torch.int32), b.view(torch.int32))


def chromium():
    found = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
    if found is None:
        pytest.skip("chromium is not installed, so no page is opened")
    return found


def opened(page, script="", **fragment):
    """The attributes and the text of a page after it has run, as one document; `script` runs at its end."""
    browser = chromium()
    page = Path(page)
    if script:
        text = page.read_text(encoding="utf-8")
        page = page.with_name("driven.html")
        page.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    address = page.as_uri() + ("#" + urllib.parse.urlencode(fragment) if fragment else "")
    with tempfile.TemporaryDirectory() as profile:
        options = [*_OPTIONS, f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--dump-dom"]
        done = subprocess.run([browser, *options, address], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert 'data-ready="yes"' in done.stdout
    return done.stdout


def attribute(document, name):
    """The value of the attribute data-NAME, which one element has."""
    (value,) = re.findall(rf'data-{name}="([^"]*)"', document)
    return html.unescape(value)
