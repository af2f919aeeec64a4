"""`wasm`: a network as a WebAssembly module and a JavaScript class, without a linker and without a runtime."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from torch import Tensor, nn

from ..._version import __version__
from ...network import Network
from ...output_files import file_path, write_file
from ...streaming.streams import Stream
from ..products import multiply_adds
from .contents import contents
from .net_script import NET_SCRIPT
from .whole_script import WHOLE_SCRIPT

_WHERE = "export.wasm"


@dataclass(frozen=True)
class ExportedWasm:
    """The files of a module, and what it needs."""

    module: Path
    """The module with its weights, for any WebAssembly engine with vectors of 128 bits."""
    script: Path
    """The JavaScript class `Net`, with both modules and the weights inside."""
    arithmetic: str
    """How `module` multiplies and adds: "fused in software", or "multiply, then add" with bits="fast"."""
    code_bytes: int
    """Bytes of `module` beside its weights and its initial state."""
    relaxed_bytes: int
    """Bytes of the module with the processor's fused multiply-add, which `script` prefers, without weights."""
    weights_bytes: int
    """Bytes of the packed weights."""
    state_bytes: int
    """Bytes of the state of one stream."""
    work_bytes: int
    """Bytes of the workspace; for each step of a network that runs on whole sequences."""
    multiply_adds: int
    """Multiply-adds of the products of one step."""

    def __str__(self) -> str:
        return (
            f"{self.module}: {self.code_bytes} bytes of code ({self.arithmetic}), {self.weights_bytes} of weights, "
            f"{self.state_bytes} of state, {self.work_bytes} of workspace, {self.multiply_adds} multiply-adds a step\n"
            f"{self.script}: class Net; {self.relaxed_bytes} bytes of code where the engine fuses"
        )


def wasm(
    model: nn.Module | Network | Stream,
    file: str | PathLike[str],
    *,
    bits: str = "same",
    samples: Tensor | None = None,
) -> ExportedWasm:
    """Writes a model that `ostinato.stream` runs as a WebAssembly module, `NAME.wasm`, and a class, `NAME.mjs`.

    model    in float32; a Network, or a Stream for its network; or one with layers of two directions
    file     where the module goes, its name ending in .wasm; the class is written beside it
    bits     "same": the bits of `ostinato.stream` in every engine, without a fused instruction in software, which takes
             ten to twenty times as long; "fast": there a product rounded before its sum, which is not the same
    samples  what the self-test runs, [T, C], or tokens int64 [T]; 16 steps of random numbers by default

    The class: `new Net()`, `step(x)`, `run(xs)`, `reset()`, `state(name)`, `save()`, `load(bytes)`, `fork()`,
    `selftest()`, all synchronous, and without anything that an AudioWorklet lacks. `State.from_bytes` reads what `save`
    returns. The module has no imports; it exports memory, step(x, y), run(x, y, steps), reset(), and as globals the
    addresses of x, y, state, work, weights, initial, and of heap, the first byte that is free.

    A network with layers of two directions runs on whole sequences, from the initial states every time: its class has
    `run(xs)` and `selftest()`, its module run(x, y, work, steps), with the address of `work_bytes` for each step.

    Subnormal numbers are not flushed to zero as in Python: WebAssembly has no way to. Raises InputError for a model
    that cannot be exported, for float64 and for a wrong argument, ShapeError for samples of other sizes,
    NoKernelsError on a machine that cannot compute the self-test's bits.
    """
    path = file_path(_WHERE, "file", file, (".wasm",))
    found = contents(_WHERE, model, bits, samples, whole=True)
    made = found.emitted
    module = made.module(found.portable, True).data
    script = path.with_suffix(".mjs")
    write_file(_WHERE, "file", path, module)
    write_file(_WHERE, "file", script, net_module(found.script(), found.network.whole))
    return ExportedWasm(
        module=path,
        script=script,
        arithmetic="fused in software" if found.bits == "same" else "multiply, then add",
        code_bytes=len(made.module(found.portable, False).data),
        relaxed_bytes=len(made.module("relaxed", False).data),
        weights_bytes=len(made.weights),
        state_bytes=len(made.initial),
        work_bytes=4 * made.kernel.work_size,
        multiply_adds=multiply_adds(found.network),
    )


def net_module(record: str, whole: bool) -> str:
    """The text of an ES module that exports `Net`, and NETWORK, the record that it is made of."""
    call = "run(xs)" if whole else "step(x)"
    head = f"// A network of Ostinato {__version__}. Usage: const net = new Net(); const y = net.{call};\n"
    return head + record + (WHOLE_SCRIPT if whole else NET_SCRIPT) + "\nexport { Net, NETWORK };\n"
