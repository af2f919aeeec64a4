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
BAD_STEPS = len(CODES)
"""The last result, of networks that run on whole sequences only."""


def codes(plan: Plan) -> list[tuple[str, str]]:
    """The results of a network's functions."""
    if plan.max_steps is None:
        return CODES
    return [*CODES, ("BAD_STEPS", f"no step, or more than {plan.name.upper()}_MAX_STEPS; nothing has changed")]


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
    result = "int" if plan.network.input.tokens is not None or plan.network.whole else "void"
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
    if plan.network.whole:
        found = {key: found[key] for key in ("run", "selftest", "info", "reason")}
    if plan.blob:
        found["weights_check"] = f"int {n}_weights_check(const void *weights, size_t bytes)"
    return found


def _says(plan: Plan) -> dict[str, str]:
    tokens, N = plan.network.input.tokens, plan.name.upper()
    x = f"x: one token, 0 to {tokens - 1}" if tokens is not None else f"x: {N}_INPUT numbers"
    refuses = f" Returns {N}_OK, or {N}_BAD_TOKEN for a token outside;\n   then nothing has changed." if tokens else ""
    found = {
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
    if plan.network.whole:
        each = f"a token, 0 to {tokens - 1}, for each step" if tokens else f"{N}_INPUT numbers for each step"
        y = f"y: {N}_OUTPUT numbers, written" if plan.one_answer else f"y: {N}_OUTPUT numbers for each step, written"
        refused = f"{N}_BAD_STEPS, or {N}_BAD_TOKEN for a token outside" if tokens else f"{N}_BAD_STEPS"
        found["run"] = (
            f"A whole sequence of 1 to {N}_MAX_STEPS steps, from the initial states.\n"
            f"   x: {each}; {y}.\n   Returns {N}_OK, or {refused}; then nothing has changed."
        )
        found["selftest"] = (
            f"Runs a recorded sequence. Returns {N}_OK where every bit of every output is that of Python, else\n"
            f"   {N}_OTHER_BITS. y: {N}_SELFTEST_OUTPUT numbers."
        )
    return found


def _wrapped(declaration: str) -> list[str]:
    """A declaration, its parameters below each other where the line would be long."""
    if len(declaration) <= 110:
        return [declaration]
    opening, parameters = declaration.split("(", 1)
    return [f"{opening}(", *(f"    {p}{',' if not p.endswith(';') else ''}" for p in parameters.split(", "))]


def _stepwise_notes(plan: Plan) -> list[str]:
    """What the header says of memory and states; lines of a comment."""
    lines = [
        "   The bits of every output are those of ostinato.stream in Python.",
        "   All memory is the caller's: states and workspaces may lie anywhere, and have no pointers inside.",
        "   Nothing is allocated, nothing is global: any number of streams share the code.",
        *_weights_note(plan),
        "   A workspace may be shared by streams that run one after the other, not at the same time.",
        "",
    ]
    if plan.network.last:
        lines += [
            "   The model's result has no axis of time. y after a step is the model's result for the steps so far;",
            "   y after the last step of a sequence is the model's answer.",
            "",
        ]
    lines.append("   States, in their order, and how many numbers each has:")
    return lines + ([f"     {f.name:24} {f.width}" for f in plan.network.states] or ["     none"])


def _whole_notes(plan: Plan) -> list[str]:
    """The same for a network of two directions."""
    n, N = plan.name, plan.name.upper()
    result = f"The model's result has no axis of time: y is that result, {N}_OUTPUT numbers for the whole sequence."
    if not plan.one_answer:
        result = f"y has {N}_OUTPUT numbers for each step."
    return [
        "   The bits of every output are those of the same network in Python.",
        "   A layer of this network reads from the last step to the first, so no output is known before the last",
        f"   input. Therefore {n}_run takes a whole sequence and begins from the initial states at every call, and",
        "   there are no functions for a single step, and none that save and load states.",
        f"   {result}",
        "   All memory is the caller's, and may lie anywhere. Nothing is allocated, nothing is global.",
        *_weights_note(plan),
        "   The memory for states and the workspace may be shared by calls one after the other, not at the same time.",
    ]


def _weights_note(plan: Plan) -> list[str]:
    return (
        [f"   Its weights are the file {plan.name}.weights, which the caller reads into memory."] if plan.blob else []
    )


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
    if plan.network.whole:
        sizes[2:] = [
            ("MAX_STEPS", plan.max_steps or 0, "steps of a run, at most"),
            ("STATE_BYTES", plan.state_bytes, f"of states, aligned as {real(plan)}; undefined between calls"),
            ("WORK_BYTES", plan.work_bytes, f"of a workspace, aligned as {real(plan)}; undefined between calls"),
            ("SELFTEST_OUTPUT", plan.y.numel(), "numbers that the self-test writes to y"),
        ]
    if plan.blob:
        sizes.append(("WEIGHTS_BYTES", len(plan.blob_bytes()), f"of {n}.weights, aligned as {real(plan)}"))
    results = "\n".join(f"#define {N}_{code:14} {k}  /* {says} */" for k, (code, says) in enumerate(codes(plan)))
    says, lines = _says(plan), []
    for function, declaration in signatures(plan).items():
        lines += [f"/* {says[function]} */", *_wrapped(f"{declaration};"), ""]
    kind = "runs on whole sequences" if plan.network.whole else "runs step by step"
    return "\n".join(
        [
            f"/* {n}: a network that {kind}, exported by Ostinato; {plan.chip.name}, {real(plan)}.",
            "",
            *(_whole_notes(plan) if plan.network.whole else _stepwise_notes(plan)),
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
            results,
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
