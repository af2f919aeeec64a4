"""Operations by name: what a cell may use, what messages call it, and what to write for what is missing."""

from __future__ import annotations

POINTWISE = (
    "add sub mul div neg lt le gt ge sigmoid tanh relu leaky_relu softplus exp log sqrt minimum maximum clamp where"
).split()
COMPARISONS = frozenset(("lt", "le", "gt", "ge"))
UNARY = frozenset("neg sigmoid tanh relu leaky_relu softplus exp log sqrt clamp mean".split())
MEANS = frozenset(("mean", "rstd"))
"""One number out of all units of a row: their mean, and 1 / their standard deviation (in norm only)."""
OPERANDS = {op: 3 if op == "where" else 1 if op in UNARY else 2 for op in POINTWISE}

KNOWN = (
    "+ - * / < <= > >= sigmoid tanh relu leaky_relu softplus exp log sqrt minimum maximum clamp where mean norm "
    "clip_gradient"
)
SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
SYNONYMS = {
    "true_divide": "div",
    "divide": "div",
    "truediv": "div",
    "multiply": "mul",
    "subtract": "sub",
    "negative": "neg",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "clip": "clamp",
    "special_expit": "sigmoid",
}
# What to write for an operation that a cell does not have, where the operations that it has can say the same.
INSTEAD = {
    "abs": "maximum(a, -a)",
    "absolute": "maximum(a, -a)",
    "square": "a * a",
    "pow": "a * a for a square, sqrt(a) for a root",
    "power": "a * a for a square, sqrt(a) for a root",
    "reciprocal": "1 / a",
    "rsqrt": "1 / sqrt(a)",
    "sum": "mean(a), the mean over the units",
    "layer_norm": "norm(a), and p.name * norm(a) + b.name for a gain and a bias",
    "matmul": "a weight on the left: W.name @ x or U.name @ (...)",
    "mm": "a weight on the left: W.name @ x or U.name @ (...)",
    "linear": "W.name @ x + b.name",
    "cat": "a weight for each part, W.name @ x + U.name @ h",
    "concat": "a weight for each part, W.name @ x + U.name @ h",
    "zeros_like": "the number 0.0",
    "ones_like": "the number 1.0",
    "max": "maximum(a, b)",
    "min": "minimum(a, b)",
    "fmax": "maximum(a, b)",
    "fmin": "minimum(a, b)",
    "clamp_min": "clamp(a, min=...)",
    "clamp_max": "clamp(a, max=...)",
    "relu6": "clamp(a, 0, 6)",
    "hardtanh": "clamp(a, -1, 1)",
    "hardsigmoid": "clamp(a / 6 + 0.5, 0, 1)",
    "elu": "where(a > 0, a, exp(clamp(a, max=0)) - 1)",
    "silu": "a * sigmoid(a)",
    "logsigmoid": "-softplus(-a)",
    "log_sigmoid": "-softplus(-a)",
    "softsign": "a / (1 + maximum(a, -a))",
    "prelu": "where(a > 0, a, p.name * a)",
    "log1p": "log(1 + a)",
    "expm1": "exp(a) - 1",
    "lerp": "a + w * (b - a)",
    "addcmul": "a + b * c",
}
