"""Long products of matrices without overflow or underflow: their singular values and Lyapunov exponents, as logarithms.

A product of hundreds of Jacobians has singular values beyond what a floating-point number can hold, and beyond 1e16 of
each other, where an ordinary decomposition of the product leaves nothing of the small ones. Here sizes are kept apart
as logarithms from the first factor to the last.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SWEEPS = 60


class LongProduct:
    """J_t ⋯ J_2 J_1 as Q · diag(e^l) · M, with Q orthogonal, and M of rows of length 1, not far from orthogonal.

    The columns of each factor are sorted by size before its QR decomposition, so that l falls and no small number is
    ever the difference of large ones (the graded decomposition of E. Loh and others, 1989, there U D V).
    """

    def __init__(self, size: int, like: Tensor):
        self.q = torch.eye(size, dtype=like.dtype, device=like.device)
        self.log_scale = like.new_zeros(size)
        self.m = self.q.clone()

    def multiply(self, jacobian: Tensor) -> None:
        """From the left, by J [N, N]."""
        columns = jacobian @ self.q
        sizes = columns.norm(dim=0)
        order = torch.argsort(sizes.log() + self.log_scale, descending=True)
        self.q, r = torch.linalg.qr(columns[:, order])
        r = _without_noise(r, sizes[order])
        logs = r.abs().log() + self.log_scale[order]
        top = logs.amax(1, keepdim=True)
        scaled = torch.where(logs > -math.inf, r.sign() * (logs - top).exp(), 0.0)
        m = scaled @ self.m[order]
        lengths = m.norm(dim=1)
        self.m = m / lengths.where(lengths > 0, 1.0)[:, None]
        self.log_scale = torch.where(lengths > 0, top[:, 0] + lengths.log(), -math.inf)

    def log_singular_values(self) -> Tensor:
        """ln σ_1 ≥ ln σ_2 ≥ … of the product so far, [N]; -inf for a direction that a factor has taken away."""
        return log_singular_values(self.m, self.log_scale)


def log_singular_values(rows: Tensor, log_scale: Tensor) -> Tensor:
    """ln of the singular values of diag(e^log_scale) · rows, [N, N] and [N] → [N], the largest first.

    One-sided Jacobi rotations (J. Demmel, K. Veselić, 1992) of the rows, each row of length 1 with its size beside it
    as a logarithm: small singular values keep their digits beside large ones, whatever lies between.
    """
    lengths = rows.norm(dim=1)
    logs = log_scale + lengths.log()
    alive = logs > -math.inf
    gone = logs[~alive]
    rows, logs = (rows / lengths[:, None])[alive], logs[alive]
    count = len(rows)
    tolerance = max(count, 1) * torch.finfo(rows.dtype).eps
    rounds = _rounds(count, rows.device)
    for _ in range(_SWEEPS):
        worst = 0.0
        for first, second in rounds:
            worst = max(worst, _rotate(rows, logs, first, second, tolerance))
        if worst <= tolerance:
            break
    return torch.cat([logs.sort(descending=True).values, gone])


def _rotate(rows: Tensor, logs: Tensor, first: Tensor, second: Tensor, tolerance: float) -> float:
    """Makes the rows of each pair orthogonal, in place; returns the largest cosine that was left between two."""
    swapped = logs[first] < logs[second]
    large, small = torch.where(swapped, second, first), torch.where(swapped, first, second)
    u, v = rows[large], rows[small]
    cosine = (u * v).sum(1)
    ratio = (2 * (logs[small] - logs[large])).exp()  # of the squared sizes, at most 1
    difference = 1 - ratio
    # tan of the rotation's angle, divided by the ratio of the sizes: finite even where that ratio underflows.
    slope = -2 * cosine / (difference + (4 * cosine**2 * ratio + difference**2).sqrt())
    slope = slope.where(cosine.abs() > tolerance, 0.0)
    turn = (1 + ratio * slope**2).rsqrt()
    for at, new in ((large, u - (ratio * slope)[:, None] * v), (small, slope[:, None] * u + v)):
        new = new * turn[:, None]
        length = new.norm(dim=1)
        rows[at] = new / length.where(length > 0, 1.0)[:, None]
        logs[at] = logs[at] + length.log()
    return float(cosine.abs().max())


def _rounds(count: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Every pair out of `count` once, in rounds in which no index comes twice (a round-robin tournament)."""
    players = list(range(count + count % 2)) if count > 1 else []
    rounds = []
    for _ in range(len(players) - 1):
        half = len(players) // 2
        pairs = [(a, b) for a, b in zip(players[:half], reversed(players[half:])) if max(a, b) < count]
        first, second = torch.tensor(pairs, device=device).t()
        rounds.append((first, second))
        players = [players[0], players[-1], *players[1:-1]]
    return rounds


def lyapunov_step(jacobian: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the QR method: (Q, ln|R_ii|) of J·frame = Q R. -inf where J takes a direction away.

    G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, Meccanica 15 (1980); the first column alone is a tangent
    vector that is pushed forward and made length 1 again.
    """
    columns = jacobian @ frame
    q, r = torch.linalg.qr(columns)
    return q, _without_noise(r, columns.norm(dim=0)).diagonal().abs().log()


def frame(size: int, like: Tensor) -> Tensor:
    """An orthogonal frame in general position, the same at each call, without touching torch's own random numbers."""
    made = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(size, size, generator=made, dtype=torch.float64, device="cpu"))[0].to(like)


def _without_noise(r: Tensor, sizes: Tensor) -> Tensor:
    """R with 0 for entries that are rounding errors of their column, whose length is in `sizes`."""
    return r.where(r.abs() > r.shape[0] * torch.finfo(r.dtype).eps * sizes, 0.0)
