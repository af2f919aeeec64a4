"""NAME.c: the network as one file of C99, with the same functions, for every machine that has a compiler."""

from __future__ import annotations

from string import Template

from ..c99.source import c_source
from .header import real, signatures
from .plan import BLOB_HEADER, Plan
from .tools import bits, numbers

_ENTRY = """
#include "${n}.h"
${first}
${reset}
{
${set}}

${step}
{
${check_one}    ${n}_kernel_step(state, work${weights}, x, y);
${done}}

${run}
{
${check_all}    for (size_t t = 0; t < steps; t++, x += ${N}_INPUT, y += ${N}_OUTPUT)
        ${n}_kernel_step(state, work${weights}, x, y);
${done}}
"""
_WHOLE = """
#include "${n}.h"
${first}
${run}
{
    if (steps < 1 || steps > ${N}_MAX_STEPS) return ${N}_BAD_STEPS;
${check_all}${set}    ${n}_kernel_sequence(state, work${weights}, x, y, (${index})steps);
    return ${N}_OK;
}
"""
_CONSTANTS = """
/* What the self-test sums. */
const void *${n}_constants(void);

const void *${n}_constants(void)
{
    return ${constants};
}
"""


def source(plan: Plan) -> str:
    """The text of NAME.c."""
    n, N, tokens, size = plan.name, plan.name.upper(), plan.network.input.tokens, len(plan.first)
    blob = f"(const {real(plan)} *)(const void *)((const unsigned char *)weights + {BLOB_HEADER})"
    zeros = not bool(plan.first.any())
    first = "" if plan.blob or zeros else _first(plan)
    refuse = f"if (x[{{}}] < 0 || x[{{}}] >= {tokens}) return {N}_BAD_TOKEN;\n"
    fields = {
        **signatures(plan),
        "n": n,
        "constants": f"{n}_weights" if len(plan.packed) else "0",
        "N": N,
        "real": real(plan),
        "first": first,
        "set": _set(plan, f"({blob})[k]" if plan.blob else "0" if zeros else "initial[k].number"),
        "weights": f", {blob} + {size}" if plan.blob else "",
        "check_one": "    " + refuse.replace("{}", "0") if tokens is not None else "",
        "check_all": "    for (size_t t = 0; t < steps; t++)\n        " + refuse.replace("{}", "t")
        if tokens is not None
        else "",
        "index": f"int{plan.chip.bits}_t",
        "done": f"    return {N}_OK;\n" if tokens is not None else "",
    }
    entry = Template((_WHOLE if plan.network.whole else _ENTRY) + ("" if plan.blob else _CONSTANTS)).substitute(fields)
    return c_source(plan.kernel, None if plan.blob else plan.packed, n, entry)


def _set(plan: Plan, value: str) -> str:
    """The lines that set the states; for a network without any, those that say so to the compiler."""
    if not len(plan.first):
        return "    (void)state;\n" + ("    (void)weights;\n" if plan.blob else "")
    kind = real(plan)
    loop = f"for (uint32_t k = 0; k < {len(plan.first)}u; k++) numbers[k] = {value};"
    return f"    {kind} *numbers = ({kind} *)state;\n    {loop}\n"


def _first(plan: Plan) -> str:
    """The initial states as the bits of numbers."""
    kind = f"union {{ uint{8 * plan.itemsize}_t bits; {real(plan)} number; }}"
    items = numbers(f"{{{word}}}" for word in bits(plan.first))
    return f"/* The states that a stream begins with. */\nstatic const {kind} initial[] = {{\n{items}\n}};\n"
