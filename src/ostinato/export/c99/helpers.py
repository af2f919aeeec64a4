"""The C functions that translated code calls, and what keeps a compiler from changing results.

Texts are for one format: F is its type, U the unsigned integer of its size, I the signed one, S the suffix of a
literal, P the prefix of every name.
"""

from __future__ import annotations

import re

HARDWARE_FMA = {
    "float32": """defined(__FMA__) || defined(__aarch64__) || defined(__FP_FAST_FMAF) \\
    || (defined(__ARM_FEATURE_FMA) && defined(__ARM_FP) && (__ARM_FP & 4)) \\
    || (defined(__riscv_flen) && __riscv_flen >= 32)""",
    "float64": """defined(__FMA__) || defined(__aarch64__) || defined(__FP_FAST_FMA) \\
    || (defined(__ARM_FEATURE_FMA) && defined(__ARM_FP) && (__ARM_FP & 8)) \\
    || (defined(__riscv_flen) && __riscv_flen >= 64)""",
}
"""Whether `__builtin_fma` is an instruction. GCC defines __FP_FAST_FMAF then, Clang a macro of each target."""

GUARDS = """\
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) \\
    || defined(__NO_SIGNED_ZEROS__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0)
#error "@P.c: -ffast-math and its parts change results; compile this file without them"
#endif
/* 16 is said of _Float16 alone, by processors that have it. */
#if !defined(FLT_EVAL_METHOD) || (FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16)
#error "@P.c: float must be computed in float; on 32-bit x86, compile this file with -msse2 -mfpmath=sse"
#endif
#if FLT_RADIX != 2 || FLT_MANT_DIG != 24 || DBL_MANT_DIG != 53
#error "@P.c: float and double must be the formats of IEEE 754 of 32 and 64 bits"
#endif

/* A product and a sum are two roundings: the compiler must not contract them to one. (Clang with -ffp-contract=fast,
   which is not its default, disregards the pragma, and no macro says so.) Nor may it call the C library's memcpy,
   memmove and memset in place of a loop. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((no_builtin("memcpy", "memmove", "memset"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off", "no-tree-loop-distribute-patterns")
#else
#pragma STDC FP_CONTRACT OFF
#endif
"""

END = """\
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
"""

HELPERS = {
    "bits": """\
/* The bits of a number. */
static inline @U @P_bits(@F x)
{
    union { @F number; @U bits; } u;
    u.number = x;
    return u.bits;
}
""",
    "number": """\
/* The number with these bits. */
static inline @F @P_number(@U bits)
{
    union { @U bits; @F number; } u;
    u.bits = bits;
    return u.number;
}
""",
    "ashr": """\
/* bits / 2^n, rounded down, of a signed integer. */
static inline @U @P_ashr(@U bits, unsigned n)
{
    return bits & @SIGN ? ~(~bits >> n) : bits >> n;
}
""",
    "signed": """\
/* A signed integer of these bits, as a number. */
static inline @F @P_signed(@U bits)
{
    return bits & @SIGN ? -(@F)(~bits + 1u) : (@F)bits;
}
""",
    "fabs": """\
static inline @F @P_fabs(@F x)
{
    return @P_number(@P_bits(x) & ~@SIGN);
}
""",
    "copysign": """\
static inline @F @P_copysign(@F magnitude, @F sign)
{
    return @P_number((@P_bits(magnitude) & ~@SIGN) | (@P_bits(sign) & @SIGN));
}
""",
    "rint": """\
/* The nearest integer, ties to even: the sum with 2^@M has no bits for a fraction. */
static inline @F @P_rint(@F x)
{
    const @F large = 0x1p@M@S, magnitude = @P_fabs(x);
    if (!(magnitude < large))
        return x;
    const @F sum = magnitude + large;
    return @P_copysign(sum - large, x);
}
""",
    "sqrt": """\
/* The square root, rounded to nearest, digit by digit in integers: sqrt of the C library sets errno, and so is a call
   even where the processor has an instruction. A root is never halfway between two numbers. */
static @F @P_sqrt(@F x)
{
    if (!(x > 0 && x < @INF))
        return x < 0 ? @P_number(@NAN) : x;
    @U mantissa = @P_bits(x) & @FRACTION, root = 0, rest = 0;
    int exponent = (int)(@P_bits(x) >> @M);
    if (exponent)
        mantissa += @ONE;
    else
        for (exponent = 1; mantissa < @ONE; exponent -= 1)
            mantissa <<= 1;
    exponent -= @BIAS;
    if (exponent & 1) {
        mantissa <<= 1;
        exponent -= 1;
    }
    mantissa <<= @LEFT;
    for (int digit = 0; digit < @DIGITS; digit += 1) {
        const @U trial = root << 2 | 1u;
        rest = rest << 2 | mantissa >> @TOP;
        mantissa <<= 2;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1u;
        }
    }
    return @P_number(((@U)(exponent / 2 + @BIAS - 1) << @M) + (root >> 1) + (root & 1u));
}
""",
    "fma": """\
/* a * b + c, rounded once. */
static inline @F @P_fma(@F a, @F b, @F c)
{
#if @HARDWARE
    return __builtin_fma@S(a, b, c);
#else
@SOFTWARE
#endif
}
""",
}

SOFTWARE_FMA = {
    "float32": """\
    /* In double the product is exact. The sum is rounded to 53 bits, and then to float, which is wrong only where the
       first rounding has made a tie for the second: in the bits below those of a normal float, or anywhere below the
       normal floats. There, rest is exactly what the sum has lost, and the sum is made odd in its last bit. */
    const double product = (double)a * (double)b, sum = product + (double)c;
    union { double number; uint64_t bits; } odd;
    odd.number = sum;
    if ((odd.bits & 0x1fffffffu) == 0x10000000u || (odd.bits >> 52 & 0x7ffu) < 1023u - 126u) {
        const double part = sum - product, rest = (product - (sum - part)) + ((double)c - part);
        if (sum - sum == 0 && rest != 0 && !(odd.bits & 1u))
            odd.bits += (rest > 0) == (sum > 0) ? 1u : UINT64_MAX;
    }
    return (float)odd.number;""",
    "float64": """\
#error "@P.c: double needs a processor with a fused multiply-add, which this target does not have\"""",
}

_FORMATS = {
    "float32": {
        "U": "uint32_t", "F": "float", "S": "f", "M": "23", "BIAS": "127", "LEFT": "7", "DIGITS": "25", "TOP": "30",
        "SIGN": "0x80000000u", "FRACTION": "0x7fffffu", "ONE": "0x800000u", "NAN": "0x7fc00000u",
        "INF": "@P_number(0x7f800000u)",
    },
    "float64": {
        "U": "uint64_t", "F": "double", "S": "", "M": "52", "BIAS": "1023", "LEFT": "10", "DIGITS": "54", "TOP": "62",
        "SIGN": "UINT64_C(0x8000000000000000)", "FRACTION": "UINT64_C(0xfffffffffffff)",
        "ONE": "UINT64_C(0x10000000000000)", "NAN": "UINT64_C(0x7ff8000000000000)",
        "INF": "@P_number(UINT64_C(0x7ff0000000000000))",
    },
}  # fmt: skip


def fill(text: str, prefix: str, scalar: str) -> str:
    """A text of this file for one prefix and format."""
    words = {**_FORMATS[scalar], "HARDWARE": HARDWARE_FMA[scalar], "SOFTWARE": SOFTWARE_FMA[scalar], "P": prefix}
    while "@" in text:
        text = re.sub(r"@(HARDWARE|SOFTWARE|[A-Z]{2,}|[UFSMP])", lambda m: words[m[1]], text)
    return text


def helpers(names: set[str], prefix: str, scalar: str) -> str:
    """The text of these helpers and of those that they call."""
    wanted, texts = set(names), {}
    for name, text in reversed(HELPERS.items()):
        if name in wanted:
            texts[name] = text
            wanted |= set(re.findall(r"@P_(\w+)\(", fill_words(text, scalar)))
    return "\n".join(fill(texts[name], prefix, scalar) for name in HELPERS if name in texts)


def fill_words(text: str, scalar: str) -> str:
    """The text with the format's words, of which one calls a helper."""
    return text.replace("@INF", _FORMATS[scalar]["INF"])
