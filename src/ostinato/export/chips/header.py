"""NAME.h: what a user of an exported network includes."""

from __future__ import annotations

from .plan import VERSION, Plan

CODES = [
    ("OK", "done"),
    ("BAD_TOKEN", "a token is not one of the network's; nothing has changed"),
    ("TOO_SHORT", "fewer bytes than there must be"),
    ("NOT_OURS", "bytes that do not begin with the mark of such a file"),
    ("OTHER_VERSION", "a layout of another version"),
    ("OTHER_NETWORK", "equations, sizes or a machine other than this network's"),
    ("OTHER_WEIGHTS", "the same network with other weights"),
    ("DAMAGED", "a checksum that is not that of the content"),
    ("OTHER_BITS", "outputs of the self-test that differ from those in Python"),
]
"""The results of functions in order: 0, 1, 2, … and what each means."""


def real(plan: Plan) -> str:
    """C's name of the network's numbers."""
    return "float" if plan.itemsize == 4 else "double"


def input_type(plan: Plan) -> str:
    """C's name of the type of an input."""
    return "int64_t" if plan.network.input.tokens is not None else real(plan)


def signatures(plan: Plan) -> dict[str, str]:
    """Function's name without the network's → its declaration, without the semicolon."""
    n, restrict = plan.name, f"{plan.name.upper()}_RESTRICT"
    given = f", const void *{restrict} weights" if plan.blob else ""
    result = "int" if plan.network.input.tokens is not None else "void"
    x, y = f"const {input_type(plan)} *{restrict} x", f"{real(plan)} *{restrict} y"
    memory = f"void *{restrict} state, void *{restrict} work{given}"
    found = {
        "reset": f"void {n}_reset(void *{restrict} state{given})",
        "step": f"{result} {n}_step({memory}, {x}, {y})",
        "run": f"{result} {n}_run({memory}, {x}, {y}, size_t steps)",
        "save": f"size_t {n}_save(const void *{restrict} state{given}, void *{restrict} to)",
        "load": f"int {n}_load(void *{restrict} state{given}, const void *{restrict} from, size_t bytes)",
        "selftest": f"int {n}_selftest({memory}, {y})",
        "info": f"const char *{n}_info(void)",
        "reason": f"const char *{n}_reason(int code)",
    }
    if plan.blob:
        found["weights_check"] = f"int {n}_weights_check(const void *weights, size_t bytes)"
    return found


def _says(plan: Plan) -> dict[str, str]:
    tokens, N = plan.network.input.tokens, plan.name.upper()
    x = f"x: one token, 0 to {tokens - 1}" if tokens is not None else f"x: {N}_INPUT numbers"
    refuses = f" Returns {N}_OK, or {N}_BAD_TOKEN for a token outside;\n   then nothing has changed." if tokens else ""
    return {
        "reset": "Sets the state to its initial values. Call it before the first step.",
        "step": f"One step. {x}; y: {N}_OUTPUT numbers, written.{refuses}",
        "run": f"`steps` steps, the same bits as so many calls of {plan.name}_step. x and y hold them one after\n"
        f"   another.{refuses}",
        "save": f"Writes {N}_SAVED_BYTES bytes, little endian, to a file of any machine; returns their number.",
        "load": f"Reads what {plan.name}_save wrote. Returns {N}_OK, or why the bytes are refused; then the state is\n"
        "   as before.",
        "selftest": f"Runs recorded inputs. Returns {N}_OK where every bit of every output is that of Python, else\n"
        f"   {N}_OTHER_BITS. y: {N}_OUTPUT numbers; afterwards the state is reset.",
        "info": "What the network is, in one line.",
        "reason": "What a result means.",
        "weights_check": f"Returns {N}_OK for the bytes of {plan.name}.weights, else why they are refused. Call it\n"
        "   once, before all others: they do not check.",
    }


def _wrapped(declaration: str) -> list[str]:
    """A declaration, its parameters below each other where the line would be long."""
    if len(declaration) <= 110:
        return [declaration]
    opening, parameters = declaration.split("(", 1)
    return [f"{opening}(", *(f"    {p}{',' if not p.endswith(';') else ''}" for p in parameters.split(", "))]


def header(plan: Plan) -> str:
    """The text of NAME.h."""
    n, N = plan.name, plan.name.upper()
    tokens = plan.network.input.tokens
    sizes = [
        ("INPUT", plan.width, "numbers of x" if tokens is None else f"token of x, int64_t from 0 to {tokens - 1}"),
        ("OUTPUT", plan.outputs, "numbers of y"),
        ("STATE_BYTES", plan.state_bytes, f"of a state, aligned as {real(plan)}"),
        ("WORK_BYTES", plan.work_bytes, f"of a workspace, aligned as {real(plan)}; undefined between calls"),
        ("SAVED_BYTES", plan.saved_bytes, "of a saved state"),
    ]
    if plan.blob:
        sizes.append(("WEIGHTS_BYTES", len(plan.blob_bytes()), f"of {n}.weights, aligned as {real(plan)}"))
    states = "\n".join(f"     {f.name:24} {f.width}" for f in plan.network.states) or "     none"
    codes = "\n".join(f"#define {N}_{code:14} {k}  /* {says} */" for k, (code, says) in enumerate(CODES))
    says, lines = _says(plan), []
    for function, declaration in signatures(plan).items():
        lines += [f"/* {says[function]} */", *_wrapped(f"{declaration};"), ""]
    weights = f"\n   Its weights are the file {n}.weights, which the caller reads into memory." if plan.blob else ""
    return "\n".join(
        [
            f"/* {n}: a network that runs step by step, exported by Ostinato; {plan.chip.name}, {real(plan)}.",
            "",
            "   The bits of every output are those of ostinato.stream in Python.",
            "   All memory is the caller's: states and workspaces may lie anywhere, and have no pointers inside.",
            f"   Nothing is allocated, nothing is global: any number of streams share the code.{weights}",
            "   A workspace may be shared by streams that run one after the other, not at the same time.",
            "",
            "   States, in their order, and how many numbers each has:",
            states,
            "*/",
            f"#ifndef {N}_H",
            f"#define {N}_H",
            "",
            "#include <stddef.h>",
            "#include <stdint.h>",
            "",
            *(f"#define {N}_{size:13} {value}u  /* {what} */" for size, value, what in sizes),
            f"#define {N}_{'VERSION':13} {VERSION}u  /* of the layout of saved states and weights */",
            "",
            codes,
            "",
            "#if defined(__cplusplus) || defined(_MSC_VER)",
            f"#define {N}_RESTRICT __restrict",
            "#else",
            f"#define {N}_RESTRICT restrict",
            "#endif",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            *lines,
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            "#endif",
            "",
        ]
    )
