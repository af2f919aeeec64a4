"""The C text of NAME_tools.c and NAME_test.c with places for what differs between networks.

${n} is the network's name, ${N} the same in capitals; `tools.py` says what the others are.
"""

from __future__ import annotations

OPENING = """\
/* ${n}: saved states and the self-test; plain C99 without a library. ${n}.h says what the functions do. */
#include "${n}.h"

typedef ${real} real;
typedef ${word} word; /* the bits of a real */
typedef union { real number; word bits; } both;

/* Numbers are written with the lowest byte first, whatever the machine does. */
"""

PUT = """\
static void put(unsigned char *to, uint64_t value, unsigned bytes)
{
    for (unsigned k = 0; k < bytes; k++) to[k] = (unsigned char)(value >> (8u * k));
}

"""

GET = """\
static uint64_t get(const unsigned char *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned k = 0; k < bytes; k++) value |= (uint64_t)from[k] << (8u * k);
    return value;
}

"""

DIFFER = """\
static int differ(const unsigned char *a, const unsigned char *b, unsigned bytes)
{
    for (unsigned k = 0; k < bytes; k++)
        if (a[k] != b[k]) return 1;
    return 0;
}

"""

CHECKSUM = """\
/* CRC-32 as in zlib, begun with all bits set and ended by ~. */
static uint32_t checksum(uint32_t rest, const unsigned char *data, size_t bytes)
{
    for (size_t k = 0; k < bytes; k++) {
        rest ^= data[k];
        for (int bit = 0; bit < 8; bit++) rest = rest >> 1 ^ ((rest & 1u) ? 0xedb88320u : 0u);
    }
    return rest;
}

"""

CHECKSUM_OF = """\
static uint32_t checksum_of(const unsigned char *data, size_t bytes)
{
    return ~checksum(0xffffffffu, data, bytes);
}

"""

IDENTITY = """\
/* SHA-256 of the equations, the sizes and the weights. */
static const unsigned char identity[32] = {
${identity}
};
"""

SUM = """
/* The weights in ${n}'s code, in which a changed bit might be lost in rounding. */
const void *${n}_constants(void);

static uint32_t sum_of_weights(void)
{
    const real *numbers = (const real *)${n}_constants();
    uint32_t rest = 0xffffffffu;
    for (size_t k = 0; k < ${weights_count}u; k++) {
        unsigned char bytes[sizeof(real)];
        both value;
        value.number = numbers[k];
        put(bytes, value.bits, sizeof(real));
        rest = checksum(rest, bytes, sizeof(real));
    }
    return ~rest;
}
"""

BLOB = """
static const unsigned char blob_mark[8] = {${blob_mark}};
/* SHA-256 of the equations, the sizes and the order of the weights. */
static const unsigned char placed[32] = {
${placed}
};

${weights_check}
{
    const unsigned char *from = (const unsigned char *)weights;
    if (bytes < ${blob_header}u) return ${N}_TOO_SHORT;
    if (differ(from, blob_mark, 8)) return ${N}_NOT_OURS;
    if (get(from + 8, 4) != ${N}_VERSION) return ${N}_OTHER_VERSION;
    if (differ(from + ${placed_at}, placed, 32)) return ${N}_OTHER_NETWORK;
    if (bytes < ${N}_WEIGHTS_BYTES) return ${N}_TOO_SHORT;
    if (get(from + 16, 8) != ${N}_WEIGHTS_BYTES - ${blob_header}u) return ${N}_DAMAGED;
    return get(from + 12, 4) == checksum_of(from + ${blob_header}, ${N}_WEIGHTS_BYTES - ${blob_header}u)
        ? ${N}_OK : ${N}_DAMAGED;
}
"""

STATE = """
static const unsigned char state_mark[8] = {${state_mark}};
/* The first number of each state, and how many it has. */
static const uint32_t places[${places_size}][2] = {
${places}
};

${save}
{
    const real *numbers = (const real *)state;
    unsigned char *out = (unsigned char *)to, *at = out + ${saved_header};
    const unsigned char *own = ${own_identity};
    for (unsigned s = 0; s < ${states}u; s++)
        for (uint32_t k = 0; k < places[s][1]; k++, at += sizeof(real)) {
            both value;
            value.number = numbers[places[s][0] + k];
            put(at, value.bits, sizeof(real));
        }
    for (unsigned k = 0; k < 8; k++) out[k] = state_mark[k];
    put(out + 8, ${N}_VERSION, 4);
    put(out + 12, checksum_of(out + ${saved_header}, ${N}_SAVED_BYTES - ${saved_header}u), 4);
    for (unsigned k = 0; k < 32; k++) out[16 + k] = own[k];
    return ${N}_SAVED_BYTES;
}

${load}
{
    const unsigned char *in = (const unsigned char *)from, *at = in + ${saved_header};
    const unsigned char *own = ${own_identity};
    real *numbers = (real *)state;
    if (bytes < ${saved_header}u) return ${N}_TOO_SHORT;
    if (differ(in, state_mark, 8)) return ${N}_NOT_OURS;
    if (get(in + 8, 4) != ${N}_VERSION) return ${N}_OTHER_VERSION;
    if (differ(in + 16, own, 32)) return ${N}_OTHER_NETWORK;
    if (bytes < ${N}_SAVED_BYTES) return ${N}_TOO_SHORT;
    if (get(in + 12, 4) != checksum_of(in + ${saved_header}, ${N}_SAVED_BYTES - ${saved_header}u)) return ${N}_DAMAGED;
    for (unsigned s = 0; s < ${states}u; s++)
        for (uint32_t k = 0; k < places[s][1]; k++, at += sizeof(real)) {
            both value;
            value.bits = (word)get(at, sizeof(real));
            numbers[places[s][0] + k] = value.number;
        }
    return ${N}_OK;
}
"""

SELFTEST = """
/* Inputs of ${steps} steps, and the bits of the outputs in Python for them. */
${inputs}
static const word expected[${outputs_size}] = {
${outputs}
};
${sum_of_weights}
${selftest}
{
    int result = ${N}_OK;
${check_weights}
${samples}
    return result;
}

${info}
{
    return "${info_text}";
}

${reason}
{
    static const char *const reasons[${codes}] = {
${reasons}
    };
    return code >= 0 && code < ${codes} ? reasons[code] : "${n}: no result of this network";
}
"""

STEPS = """\
    ${n}_reset(state${given});
    for (uint32_t t = 0; t < ${steps}u; t++) {
        ${step};
        for (uint32_t k = 0; k < ${N}_OUTPUT; k++) {
            both value;
            value.number = y[k];
            if (value.bits != expected[t * ${N}_OUTPUT + k]) result = ${N}_OTHER_BITS;
        }
    }
    ${n}_reset(state${given});"""

SEQUENCE = """\
    {
        int ran = ${n}_run(state, work${given}, INPUTS, y, ${steps}u);
        if (ran != ${N}_OK) return ran;
    }
    for (uint32_t k = 0; k < ${N}_SELFTEST_OUTPUT; k++) {
        both value;
        value.number = y[k];
        if (value.bits != expected[k]) result = ${N}_OTHER_BITS;
    }"""

TEST = """\
/* Runs the self-test of ${n} and prints its result. */
#include <stdio.h>
${includes}
#include "${n}.h"

static union { ${real} aligned; unsigned char bytes[${N}_STATE_BYTES]; } state;
static union { ${real} aligned; unsigned char bytes[${N}_WORK_BYTES]; } work;
static ${real} y[${y_size}];

int main(${arguments})
{
    int result;
${read}
    result = ${n}_selftest(&state, &work${given}, y);
    printf("%s\\n%s\\n", ${n}_info(), ${n}_reason(result));
    return result != ${N}_OK;
}
"""

READ = """\
    const char *path = count > 1 ? words[1] : "${n}.weights";
    FILE *file = fopen(path, "rb");
    void *weights = malloc(${N}_WEIGHTS_BYTES);
    if (!file || !weights) {
        printf("${n}: %s cannot be read\\n", path);
        return 1;
    }
    result = ${n}_weights_check(weights, fread(weights, 1, ${N}_WEIGHTS_BYTES, file));
    fclose(file);
    if (result != ${N}_OK) {
        printf("%s\\n", ${n}_reason(result));
        return 1;
    }
"""
