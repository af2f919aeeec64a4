"""One C99 file with the code and the weights of a network."""

from __future__ import annotations

import textwrap

from llvmlite import ir
from torch import Tensor

from ..._version import __version__
from ...kernels.network.portable import PortableKernel
from .context import CFunction, Context, known_arguments
from .expressions import literal
from .functions import FunctionText
from .helpers import END, GUARDS, fill, helpers

_MODULE = "network"
_NUMBER = {"float32": "float", "float64": "double"}


def c_source(kernel: PortableKernel, packed: Tensor | None, prefix: str, entry: str | None = None) -> str:
    """The text of PREFIX.c, which defines one function and includes two headers of the compiler itself.

    With the weights in the file, void PREFIX_step(void *state, void *work, const float *x, float *y); without them, it
    has a third argument `const float *weights`. x is `const int64_t *` for tokens; a float64 network has double. For a
    network that runs on whole sequences it is PREFIX_sequence, with a last argument `int64_t steps`, or `int32_t` where
    addresses have 32 bits, of at least 1; its kernel must have one register, so that tiles have one step.

    packed  the weights, as `kernels.network.pack.pack` lays them out; None where the caller passes them
    prefix  a name in C; every name in the file begins with it
    entry   C functions that the file defines instead of PREFIX_step; they call PREFIX_kernel_step, or
            PREFIX_kernel_sequence, which has the same arguments and is static, and may read PREFIX_weights, where the
            network has any

    Raises InputError where the code has an instruction without a C text; an operation of the user's own may.
    """
    module = kernel.module(_MODULE, called_math=True)
    functions = _translate(module, kernel, prefix)
    step, own = functions[-1], packed is not None
    called = {name for f in functions for name in f.helpers}
    reads_weights = kernel.arguments.index("weights") in step.arguments
    signature = _signature(kernel, f"{prefix}_{'' if entry is None else 'kernel_'}{kernel.function}", own)
    parts = [
        _head(kernel, prefix, own),
        f"{signature};\n" if entry is None else "",
        fill(GUARDS, prefix, kernel.scalar),
        helpers(called, prefix, kernel.scalar),
        *(f.text for f in functions),
        _weights(packed, prefix, kernel.scalar) if packed is not None and reads_weights else "",
        ("" if entry is None else "static ") + _step(kernel, prefix, step, own, signature),
        entry or "",
        END,
    ]
    return "\n".join(part for part in parts if part)


def _translate(module: ir.Module, kernel: PortableKernel, prefix: str) -> list[CFunction]:
    """The functions of the module, each after those that it calls, the step last."""
    defined = [f for f in module.functions if not f.is_declaration]
    step, *others = defined
    known = known_arguments(defined)
    found: dict[str, CFunction] = {}
    for function in (*others, step):  # a tile and a function of one number call nothing else
        context = Context(prefix, kernel.scalar, kernel.shape.word, known, found)
        found[function.name] = FunctionText(function, context).translate()
    return list(found.values())


def _head(kernel: PortableKernel, prefix: str, has_weights: bool) -> str:
    network, layout = kernel.network, kernel.layout
    what, size = "one step", f"{kernel.work_size} numbers"
    if network.whole:
        what = "whole sequences"
        size = f"{kernel.layout.work.size} numbers for each step and {kernel.layout.lanes} more"
    states = [f"{f.name.replace('*/', '* /')} at {layout.states[f.name]}, {f.width}" for f in network.states]
    number = _NUMBER[kernel.scalar]
    lines = [
        f"{prefix}.c: {what} of a recurrent network. Written by Ostinato {__version__}.",
        "",
        "The results have the bits of ostinato.stream, at every level of optimisation. Each operation rounds once, in"
        " the order of this text; what could change that is refused below. The exceptions: the sign of a NaN, and"
        " numbers below the smallest normal one, which ostinato.stream takes as 0.",
        "",
        f"state: {kernel.state_size} numbers ({number}). "
        + ("; ".join(states) + " numbers each." if len(states) > 1 else "".join(s + " numbers." for s in states)),
        f"work: {size}, undefined before and after a call.",
    ]
    if has_weights:
        lines.append(
            f"The weights are constants and so stay in flash; with {prefix.upper()}_WEIGHTS_IN_RAM defined they are"
            " data, which the start of a program copies."
        )
    body = "\n".join("\n".join(textwrap.wrap(line, 114)) for line in lines)
    comment = textwrap.indent(body, "   ", lambda line: bool(line.strip())).strip()
    return f"/* {ascii_only(comment)} */\n\n#include <float.h>\n#include <stdint.h>\n"


def ascii_only(text: str) -> str:
    """The text with what is not ASCII as \\u escapes."""
    return text.encode("ascii", "backslashreplace").decode()


def _weights(packed: Tensor, prefix: str, scalar: str) -> str:
    numbers = [literal(x, scalar, hexadecimal=True).text for x in packed.tolist()]
    number, name = _NUMBER[scalar], f"{prefix}_weights"
    lines = textwrap.wrap(", ".join(numbers), 116, break_long_words=False, break_on_hyphens=False)
    body = "\n".join(f"    {line}" for line in lines)
    count = f"{name}[{len(numbers)}]"
    return (
        f"#ifdef {prefix.upper()}_WEIGHTS_IN_RAM\nextern {number} {count};\n{number} {count}\n"
        f"#else\nstatic const {number} {count}\n#endif\n= {{\n{body}\n}};\n"
    )


def _public(kernel: PortableKernel, has_weights: bool) -> dict[str, str]:
    """The arguments of the function that is called from elsewhere: name → type."""
    number = _NUMBER[kernel.scalar]
    x = number if kernel.network.input.tokens is None else "int64_t"
    weights = {} if has_weights else {"weights": f"const {number} *"}
    steps = {"steps": f"int{kernel.shape.bits}_t "} if kernel.network.whole else {}
    return {"state": "void *", "work": "void *", **weights, "x": f"const {x} *", "y": f"{number} *", **steps}


def _signature(kernel: PortableKernel, name: str, has_weights: bool) -> str:
    arguments = ", ".join(f"{kind}{argument}" for argument, kind in _public(kernel, has_weights).items())
    return f"void {name}({arguments})"


def _step(kernel: PortableKernel, prefix: str, step: CFunction, has_weights: bool, signature: str) -> str:
    """The function that is called from elsewhere; the translated one has no arguments that the network does not use."""
    used = [kernel.arguments[place] for place in step.arguments]
    arguments = ", ".join(f"{prefix}_weights" if n == "weights" and has_weights else n for n in used)
    unused = "".join(f"    (void){name};\n" for name in _public(kernel, has_weights) if name not in used)
    return f"{signature}\n{{\n{unused}    {prefix}_{_MODULE}_{kernel.function}({arguments});\n}}\n"
