/* Runs an exported network on recorded inputs and compares every bit of every output. Memory begins one number behind
   an aligned address: no more than the alignment of a number is promised. */
#include "check.h"
#include "expected.h"

static union { double aligned[STATE_BYTES / 8 + 2]; real numbers[1]; } memory, other;
static union { double aligned[WORK_BYTES / 8 + 2]; real numbers[1]; } workspace;
static union { real number[STEPS * OUTPUT + 1]; word bits[STEPS * OUTPUT + 1]; } y;
static unsigned char saved[SAVED_BYTES];

static unsigned compare(unsigned first, unsigned count)
{
    unsigned differing = 0;
    for (unsigned k = 0; k < count; k++) differing += y.bits[k] != expected[first + k];
    return differing;
}

/* Whether the unit of floats keeps a subnormal number: a call may flush them, and puts the mode back. */
static int keeps_subnormal(void)
{
    volatile real small = sizeof(real) == 4 ? (real)1e-38 : (real)1e-308, part = (real)0.25;
    volatile real product = small * part;
    return product > 0;
}

int check(unsigned *differing)
{
    void *state = (real *)memory.aligned + 1, *copy = (real *)other.aligned + 1, *work = (real *)workspace.aligned + 1;
    void *here = state;
    unsigned wrong;
    int kept = keeps_subnormal();
#ifdef BLOB
    if (weights_check(weights, WEIGHTS_BYTES) != OK || weights_check(weights, WEIGHTS_BYTES - 1) == OK) return 7;
#endif
    *differing = 0;
    if (do_selftest(state, work, y.number) != OK) return 1;

    do_reset(state, work, 0);
    for (unsigned t = 0; t < STEPS; t++) {
        do_step(state, work, INPUTS + t * INPUT, y.number);
        *differing += compare(t * OUTPUT, OUTPUT);
    }
    if (*differing) return 2;
    if (keeps_subnormal() != kept) return 8;

    do_reset(state, work, 0);
    do_run(state, work, INPUTS, y.number, STEPS);
    if (keeps_subnormal() != kept) return 8;
    wrong = compare(0, STEPS * OUTPUT);
    *differing += wrong;
    if (wrong) return 3;

    do_reset(state, work, 0);
    for (unsigned t = 0; t < STEPS; t++) {
        if (t == STEPS / 2) {
            if (do_save(here, work, saved) != SAVED_BYTES) return 4;
            do_reset(here, work, 0);
            if (do_load(copy, work, saved, SAVED_BYTES) != OK) return 4;
            here = copy;
        }
        do_step(here, work, INPUTS + t * INPUT, y.number);
        *differing += compare(t * OUTPUT, OUTPUT);
    }
    if (*differing) return 4;

    if (do_load(copy, work, saved, SAVED_BYTES - 1) == OK && SAVED_BYTES) return 5;
    saved[SAVED_BYTES - 1] ^= 1;
    if (SAVED_BYTES > 48 && do_load(copy, work, saved, SAVED_BYTES) == OK) return 5;
    saved[20] ^= 1;
    if (do_load(copy, work, saved, SAVED_BYTES) == OK) return 5;
#ifdef TOKENS
    {
        int64_t outside = -1;
        if (do_step(state, work, &outside, y.number) == OK) return 6;
        outside = (int64_t)1 << 32;
        if (do_run(state, work, &outside, y.number, 1) == OK) return 6;
    }
#endif
    return 0;
}

void call_once(void)
{
    do_run((real *)memory.aligned + 1, (real *)workspace.aligned + 1, INPUTS, y.number, 1);
}
