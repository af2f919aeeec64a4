"""Random numbers for a cell's letters R and S: a function of a seed and a place, not a sequence that must be followed.

Philox 4x32-10 (J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3",
SC 2011): a counter of four 32-bit words is mixed under a key of two. The key is the seed; the
counter names the place: unit, row, step, and which layer and direction. So any number can be had again at any time, in
any order and with any number of threads, in a backward pass, in a segment that runs again, in the kernels and here.

A call's places come as one tensor, `noise`, int64 [3 + B] on the device of x:

    noise[0]   the seed
    noise[1]   the number of the call's first step, counted from the start of the sequences
    noise[2]   the number of layer and direction
    noise[3:]  for each row of the batch, the number of its sequence
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
BITS = 24
"""A number is a multiple of 2^-24, exact in float32, so that it is the same in every number type."""
WORDS = 4
"""Numbers from one counter: those of four steps in a row, or of four names that are drawn once."""
KINDS, ONCE = 12, 0x800
"""The bits of the counter's last word beside layer and direction, and the one that says: drawn once for a sequence."""
SEED, STEP, STREAM, ROWS = 0, 1, 2, 3
_LOW = 0xFFFFFFFF


def philox(counter: Sequence[Tensor], key: Sequence[Tensor]) -> list[Tensor]:
    """Four words from a counter of four and a key of two; each an int64 tensor of values below 2^32, broadcast."""
    a, b, c, d = counter
    k, m = key
    for n in range(ROUNDS):
        if n:
            k, m = (k + WEYL[0]) & _LOW, (m + WEYL[1]) & _LOW
        # The product of two 32-bit numbers wraps around in int64, but all its bits are there.
        p, q = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, b, c, d = ((q >> 32) & _LOW) ^ b ^ k, q & _LOW, ((p >> 32) & _LOW) ^ d ^ m, p & _LOW
    return [a, b, c, d]


def draw(noise: Tensor, step: int, rows: int, places: Sequence[tuple[bool, int, int]], like: Tensor) -> list[Tensor]:
    """Uniform numbers in [0, 1) for the first `rows` rows at the step'th step of a call: [rows, width] each.

    places: for each number whether it is drawn once for a sequence, its place among those of its kind, and its width
    """
    found: dict[tuple[bool, int, int], list[Tensor]] = {}
    drawn = []
    now = noise[STEP] + step
    for once, place, width in places:
        asked = (once, place // WORDS if once else place, width)
        if asked not in found:
            units = torch.arange(width, device=noise.device)
            sequence = noise[ROWS : ROWS + rows, None] & _LOW
            time = torch.zeros_like(now) if once else (now // WORDS) & _LOW
            kind = ((noise[STREAM] << KINDS) & _LOW) | ((ONCE if once else 0) | asked[1])
            key = noise[SEED] & _LOW, (noise[SEED] >> 32) & _LOW
            found[asked] = philox((units, sequence, time, kind), key)
        words = found[asked]
        word = words[place % WORDS] if once else torch.stack(words).index_select(0, now.remainder(WORDS).view(1))[0]
        drawn.append((word >> (32 - BITS)).to(like.dtype) * 2.0**-BITS)
    return drawn


def later(noise: Tensor | None, steps: int) -> Tensor | None:
    """The same for a part of the call that begins `steps` steps later."""
    if noise is None or not steps:
        return noise
    moved = noise.clone()
    moved[STEP] += steps
    return moved
