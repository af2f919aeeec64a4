"""NAME_tools.c and NAME_test.c: saved states, the check of weights, the self-test, and a program that runs it.

Both belong to the object and to the source alike; `step`, `run` and `reset` are not in them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from string import Template

import numpy as np
from torch import Tensor

from . import tools_text as text
from .header import codes, input_type, real, signatures
from .plan import BLOB_HEADER, BLOB_MAGIC, SAVED_HEADER, STATE_MAGIC, Plan

_PLACED_AT, _IDENTITY_AT = 24, 56
"""Where the header of a blob has the two digests."""


def numbers(items: Iterable[str], width: int = 110) -> str:
    """The items of an initialiser, in lines."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > width:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line])


def tools(plan: Plan) -> str:
    """The text of NAME_tools.c."""
    fields = _fields(plan)
    fields["sum_of_weights"] = "" if plan.blob or not len(plan.packed) else Template(text.SUM).substitute(fields)
    fields["samples"] = Template(text.SEQUENCE if plan.network.whole else text.STEPS).substitute(fields)
    if plan.network.whole:
        # Compilers warn of functions that are not called.
        own = [text.GET, text.DIFFER, text.CHECKSUM, text.CHECKSUM_OF, text.IDENTITY, text.BLOB]
        parts = [text.OPENING, *(own if plan.blob else [text.PUT, text.CHECKSUM]), text.SELFTEST]
    else:
        general = [text.OPENING, text.PUT, text.GET, text.DIFFER, text.CHECKSUM, text.CHECKSUM_OF, text.IDENTITY]
        parts = [*general, text.BLOB if plan.blob else "", text.STATE, text.SELFTEST]
    return Template("".join(parts)).substitute(fields)


def test_program(plan: Plan) -> str:
    """The text of NAME_test.c."""
    fields = _fields(plan)
    fields["read"] = Template(text.READ).substitute(fields) if plan.blob else ""
    fields["includes"] = "#include <stdlib.h>" if plan.blob else ""
    fields["arguments"] = "int count, char **words" if plan.blob else "void"
    return Template(text.TEST).substitute(fields)


def _fields(plan: Plan) -> dict[str, str]:
    n, N, tokens, states = plan.name, plan.name.upper(), plan.network.input.tokens, plan.network.states
    given = ", weights" if plan.blob else ""
    columns = plan.kernel.layout.states
    step = f"{n}_step(state, work{given}, INPUTS + t * {N}_INPUT, y)"
    own = f"(const unsigned char *)weights + {_IDENTITY_AT}" if plan.blob else "identity"
    weights = plan.packed.numpy().astype(f"<f{plan.itemsize}").tobytes()
    check = f"    if (sum_of_weights() != 0x{zlib.crc32(weights):08x}u) return {N}_DAMAGED;"
    if not len(plan.packed):
        check = ""
    if plan.blob:
        check = (
            f"    result = {n}_weights_check(weights, {N}_WEIGHTS_BYTES);\n    if (result != {N}_OK) return result;\n"
        )
        check += f"    if (differ({own}, identity, 32)) return {N}_OTHER_WEIGHTS;"
    what = f"{plan.width} numbers" if tokens is None else f"a token of {tokens}"
    return {
        **signatures(plan),
        "n": n,
        "N": N,
        "real": real(plan),
        "word": f"uint{8 * plan.itemsize}_t",
        "identity": _bytes(plan.identity),
        "blob_mark": ", ".join(f"0x{b:02x}" for b in BLOB_MAGIC),
        "placed": _bytes(plan.placed),
        "placed_at": str(_PLACED_AT),
        "blob_header": str(BLOB_HEADER),
        "state_mark": ", ".join(f"0x{b:02x}" for b in STATE_MAGIC),
        "saved_header": str(SAVED_HEADER),
        "places_size": str(max(len(states), 1)),
        "places": numbers(f"{{{columns[f.name]}u, {f.width}u}}" for f in states) if states else "    {0u, 0u},",
        "states": str(max(len(states), 1)),
        "own_identity": own,
        "given": given,
        "steps": str(len(plan.x)),
        "inputs": _inputs(plan),
        "outputs_size": str(plan.y.numel()),
        "outputs": numbers(bits(plan.y)),
        "check_weights": check,
        "weights_count": str(len(plan.packed)),
        # In braces of its own, as C99 has it, and without a result that no one reads.
        "step": step if tokens is None else f"if ({step} != {N}_OK) return {N}_BAD_TOKEN",
        "info_text": f"{n}: Ostinato network for {plan.chip.name}, {real(plan)}, input {what}, output {plan.outputs} "
        f"numbers, {plan.identity.hex()[:16]}",
        "y_size": f"{N}_{'SELFTEST_' if plan.network.whole else ''}OUTPUT",
        "codes": str(len(codes(plan))),
        "reasons": "\n".join(f'        "{n}: {says}",' for _, says in codes(plan)),
    }


def _inputs(plan: Plan) -> str:
    count = plan.x.numel()
    if input_type(plan) == "int64_t":
        items = numbers(str(int(token)) for token in plan.x)
        return f"static const int64_t inputs[{count}] = {{\n{items}\n}};\n#define INPUTS inputs"
    opening = f"static const union {{ word bits[{count}]; real numbers[{count}]; }} inputs = {{ {{"
    return f"{opening}\n{numbers(bits(plan.x))}\n}} }};\n#define INPUTS inputs.numbers"


def bits(values: Tensor) -> list[str]:
    """Numbers as the hexadecimal digits of their bits."""
    array = values.contiguous().numpy().reshape(-1)
    kind, digits, suffix = (np.uint32, 8, "u") if array.itemsize == 4 else (np.uint64, 16, "ull")
    return [f"0x{int(v):0{digits}x}{suffix}" for v in array.view(kind)]


def _bytes(data: bytes) -> str:
    return numbers(f"0x{b:02x}" for b in data)
