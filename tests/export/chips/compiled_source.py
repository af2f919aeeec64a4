"""C sources of networks, compiled and called through ctypes."""

import ctypes
import shutil
import subprocess
import zlib

import pytest
import torch

from ostinato.export.c99 import c_source
from ostinato.kernels.network.pack import pack
from ostinato.kernels.network.portable import PortableKernel, Shape

STRICT = ["-std=gnu11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


def tool(name):
    """The name of a program, or a skipped test where it is not installed."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def kernel_of(network, bits=64):
    return PortableKernel(network, Shape(1, 32, bits))


def packed(kernel):
    return pack(kernel.layout, {p.name: p.read() for p in kernel.network.parameters})


def source_of(network, bits=64):
    kernel = kernel_of(network, bits)
    return c_source(kernel, packed(kernel), "net")


def initial(kernel):
    """The states of one row before its first step."""
    network, state = kernel.network, torch.zeros(kernel.state_size, dtype=kernel.network.dtype)
    for field in network.states:
        value = torch.tensor(field.fill) if field.initial is None else field.initial.read()
        state[kernel.layout.states[field.name] :][: field.width] = value
    return state


def compiled(text, folder, flags, compiler="gcc"):
    """The library of a C source, which needs no other: not the C library either."""
    # Libraries stay loaded: each has a name of its own.
    path, library = folder / "net.c", folder / f"{compiler}{''.join(flags)}{zlib.crc32(text.encode())}.so"
    path.write_text(text)
    command = [
        tool(compiler),
        *STRICT,
        *flags,
        "-shared",
        "-fPIC",
        "-nostdlib",
        "-Wl,-z,defs",
        "-o",
        str(library),
        str(path),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return ctypes.CDLL(str(library))


def run(library, kernel, x):
    """y [T, O] of x [T, C], step by step, with memory filled with NaN."""
    state, network = initial(kernel), kernel.network
    work = torch.full((kernel.work_size,), torch.nan, dtype=network.dtype)
    y = torch.full((len(x), network.nodes[network.output].width), torch.nan, dtype=network.dtype)
    for x_t, y_t in zip(x, y):
        library.net_step(*(ctypes.c_void_p(t.data_ptr()) for t in (state, work, x_t, y_t)))
    return y
