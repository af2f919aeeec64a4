"""README.txt of exports as C, WebAssembly and pages: what x and y are, and a program that calls the network."""

from __future__ import annotations

from .chips_steps import Steps


def c_readme(name: str, steps: Steps) -> str:
    """What is added to the README of `ostinato.export.c`."""
    lines = [
        "",
        f"{name}_values.h   what the numbers stand for: scaling, names of outputs, texts of entries",
        "model.json     the same for other programs, with the vocabulary, the classes and the scaling",
        "",
        *_meaning(steps, f"{name}_reset", f"{name}_run"),
        "",
    ]
    if steps.scaling is not None:
        lines += [
            "Scaling is not folded into the weights: it divides float64 numbers, and folded it would have other bits."
        ]
    return "\n".join(
        [
            *lines,
            f"A program, main.c, which is linked with {name}.o or {name}.c instead of the two other files:",
            "",
            *(f"    {line}".rstrip() for line in _program(name, steps)),
            "",
        ]
    )


def _program(name: str, steps: Steps) -> list[str]:
    upper = name.upper()
    count = min(2, steps.max_steps or 2) if steps.whole else 1
    most = f"{count} * " if steps.whole else ""
    answers = f"{most}{upper}_OUTPUT" if steps.whole and steps.each else f"{upper}_OUTPUT"
    lines = [
        "#include <stdio.h>",
        f'#include "{name}.h"',
        f'#include "{name}_values.h"',
        "",
        f"static union {{ float aligned; unsigned char bytes[{upper}_STATE_BYTES]; }} state;",
        f"static union {{ float aligned; unsigned char bytes[{upper}_WORK_BYTES]; }} work;",
        "",
        "int main(void)",
        "{",
        f"    float y[{answers}];",
    ]
    if not steps.whole:
        lines.append(f"    {name}_reset(&state);")
    if steps.scaling is not None:
        width = steps.scaling.width
        together = count * steps.samples.shape[1] // width
        lines += [
            f"    double values[{upper}_CHANNELS];",
            f"    float x[{most}{upper}_INPUT];",
            f"    for (unsigned c = 0; c < {upper}_CHANNELS; c++) values[c] = {name}_mean[c];",
        ]
        if together == 1:
            lines.append(f"    {name}_scale(values, x);")
        else:
            lines.append(f"    for (unsigned k = 0; k < {together}; k++) {name}_scale(values, x + {width} * k);")
    elif steps.samples.is_floating_point():
        lines.append(f"    float x[{most}{upper}_INPUT] = {{ 0 }};")
    else:
        lines.append(f"    int64_t x[{count}] = {{ {', '.join(['1'] * count)} }};")
    if steps.whole:
        lines.append(f"    if ({name}_run(&state, &work, x, y, {count}) != {upper}_OK) return 1;")
    else:
        lines.append(f"    {name}_step(&state, &work, x, y);")
    class_of = f"k % {upper}_OUTPUT" if answers != f"{upper}_OUTPUT" else "k"
    if steps.target is not None:
        lines.append(f'    printf("%.9g\\n", {name}_number(y[0]));')
    elif steps.classes:
        lines += [
            f"    for (unsigned k = 0; k < {answers}; k++)",
            f'        printf("%s %.9g\\n", {name}_classes[{class_of}], (double)y[k]);',
        ]
    else:
        lines.append(f'    for (unsigned k = 0; k < {upper}_OUTPUT; k++) printf("%u %.9g\\n", k, (double)y[k]);')
    return [*lines, "    return 0;", "}"]


def wasm_readme(name: str, steps: Steps) -> str:
    """README.txt of a module."""
    floats = steps.samples.is_floating_point()
    if steps.whole:  # two steps
        call = f"net.run(new Float32Array({2 * steps.samples.shape[1]}))" if floats else "net.run([1, 1])"
    else:
        call = f"net.step({'new Float32Array(net.input.length)' if floats else '1'})"
    lines = [
        "A recurrent network for WebAssembly, exported by Ostinato",
        "",
        f"{name}.wasm     the module with its weights, without imports, for any engine with vectors of 128 bits",
        f"{name}.mjs      an ES module with the class Net; code and weights are inside",
        "model.json   the vocabulary, the classes and the scaling",
        "",
        *_meaning(steps, "net.reset()", "net.run(xs)"),
        "",
        f'    import {{ Net }} from "./{name}.mjs";',
        "",
        "    const net = new Net();",
        "    console.log(net.selftest().same);",
        f"    console.log({call});",
        "",
    ]
    return "\n".join(lines)


def page_readme(page: str, steps: Steps) -> str:
    """README.txt of a page."""
    lines = [
        f"{page}   a page in which the network runs; open it in a browser, with or without a connection",
        "model.json   the vocabulary, the classes and the scaling",
        "",
        *_meaning(steps, "Reset", ""),
        "",
    ]
    return "\n".join(lines)


def _meaning(steps: Steps, reset: str, run: str) -> list[str]:
    found = [f"x: {steps.x}", f"y: {steps.y}"]
    if steps.target is not None:
        found.append(f"mean {steps.target[0]!r}, deviation {steps.target[1]!r}")
    return [*found, steps.when(reset, run)]
