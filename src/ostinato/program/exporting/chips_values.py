"""NAME_values.h of a C export: scaling, classes and texts of entries, in C99 without a library."""

from __future__ import annotations

from collections.abc import Sequence

from .chips_steps import Steps
from .chips_text import c_string


def values_header(name: str, steps: Steps) -> str:
    """The text of the file. It has `NAME_scale` for scaled inputs, `NAME_number` for scaled outputs, and tables."""
    upper, call = name.upper(), f"{name}_{'run' if steps.whole else 'step'}"
    parts = [
        f"/* What the numbers of {call} stand for. C99, no library; include it where it is used.",
        f"   x: {steps.x}",
        f"   y: {steps.y}",
        f"   {steps.when(f'{name}_reset', f'{name}_run')} */",
        f"#ifndef {upper}_VALUES_H",
        f"#define {upper}_VALUES_H",
        "",
    ]
    if steps.scaling is not None:
        parts += _scale(name, steps)
    if steps.target is not None:
        mean, deviation = steps.target
        parts += [
            "/* The number of an output. */",
            f"static inline double {name}_number(float y) {{ return {mean!r} + {deviation!r} * (double)y; }}",
            "",
        ]
    if steps.classes:
        parts += _table(name, "classes", steps.classes, "The name of each output.")
    if steps.texts is not None:
        parts += _table(name, "entries", steps.texts, "The text of each entry in UTF-8; entry 0 is every unknown one.")
    return "\n".join([*parts, "#endif", ""])


def _scale(name: str, steps: Steps) -> list[str]:
    scaling, upper = steps.scaling, name.upper()
    assert scaling is not None  # of the caller
    count, flagged = len(scaling.mean), list(scaling.flagged)
    lines = [
        f"#define {upper}_CHANNELS {count}",
        f"static const double {name}_mean[{count}] = {{ {', '.join(map(repr, scaling.mean.tolist()))} }};",
        f"static const double {name}_deviation[{count}] = {{ {', '.join(map(repr, scaling.deviation.tolist()))} }};",
        "",
        f"/* The {scaling.width} numbers of x from the values of a step; a NaN is a missing value. The division is one",
        "   of doubles, as in the training: scaling in float has other bits. */",
        f"static inline void {name}_scale(const double *values, float *x)",
        "{",
        f"    for (int c = 0; c < {count}; c++)",
        f"        x[c] = values[c] != values[c] ? 0.0f : (float)((values[c] - {name}_mean[c]) / {name}_deviation[c]);",
    ]
    lines += [f"    x[{count + k}] = values[{c}] != values[{c}] ? 0.0f : 1.0f;" for k, c in enumerate(flagged)]
    return [*lines, "}", ""]


def _table(name: str, what: str, texts: Sequence[str], says: str) -> list[str]:
    rows = [f"    {c_string(text)}," for text in texts]
    return [f"/* {says} */", f"static const char *const {name}_{what}[{len(texts)}] = {{", *rows, "};", ""]
