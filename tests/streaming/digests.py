"""What streams and layers give on one target, as JSON: a case's name → SHA-256. Run as a program by test_targets.

python digests.py host|narrow: as OSTINATO_TARGET says, or with vectors of 128 bits, as those of aarch64
"""

import hashlib
import json
import sys
from dataclasses import replace

import torch

import ostinato
from ostinato.cells import catalogue
from ostinato.errors import OstinatoError
from ostinato.kernels.system import target
from ostinato.streaming.read import read
from ostinato.streaming.streams import Stream
from streaming.drawn import drawn_input, drawn_network
from streaming.test_read_drawn import TOKENS, Drawn

STEPS, ROWS, UNITS = 9, 3, 19
TYPES = (torch.float32, torch.float64)


def digest(*results):
    """Of all bits; NaN is NaN whatever its payload."""
    found = hashlib.sha256()
    for y in results:
        found.update(torch.where(y.isnan(), torch.nan, y).contiguous().numpy().tobytes())
    return found.hexdigest()


def streamed(network, x):
    """A push, a step and another push, and the states after them."""
    stream = Stream(network, x.shape[1])
    parts = [stream.push(x[:4]), stream.step(x[4]), stream.push(x[5:])]
    return digest(*parts, *stream.state().values())


def layers():
    """Every cell, and those that take it with layer normalisation too."""
    for k, (name, cell) in enumerate(catalogue().items()):
        for normed in (False, True):
            torch.manual_seed(k)
            dtype = TYPES[(k + normed) % 2]
            proj = 7 if cell.projected else 0
            try:
                layer = ostinato.Recurrent(cell, 13, UNITS, proj_size=proj, layer_norm=normed).to(dtype).eval()
            except OstinatoError:
                assert normed, name
                continue
            x = torch.randn(STEPS, ROWS, 13, dtype=dtype)
            label = f"{name}{' with layer_norm' if normed else ''}"
            yield f"stream of {label}", streamed(read(layer), x)
            with torch.no_grad():
                y, state = layer(x)
            yield f"call of {label}", digest(y, *(state if isinstance(state, tuple) else (state,)))


def networks():
    """Nodes of every kind, and modules of torch."""
    for seed in range(30):
        network = drawn_network(seed, TYPES[seed % 2], tokens=seed % 5 == 0)
        yield f"network {seed}", streamed(network, drawn_input(network, STEPS, ROWS))
    for seed in range(15):
        model = Drawn(seed).to(TYPES[seed % 2])
        network = read(model)
        torch.manual_seed(seed)
        tokens = torch.randint(TOKENS, (STEPS, ROWS))
        numbers = torch.randn(STEPS, ROWS, model.width, dtype=network.dtype)
        yield f"model {seed}", streamed(network, tokens if model.tokens else numbers)


if __name__ == "__main__":
    if sys.argv[1] == "narrow":
        narrow = replace(target.host(), vector_bits=128)
        target._runnable = lambda name: narrow
    print(json.dumps({"target": target.host().name, "lanes": target.host().lanes("float32")}))
    print(json.dumps(dict([*layers(), *networks()])))
