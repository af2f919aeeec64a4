"""Baselines of music: keys by their frequency, by their own last frame, and by logistic regression on frames before.

Letters: N pieces, T frames of a piece, K keys, M frames of all pieces, F features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from ...data.examples import Examples
from ...data.music.rolls import bits
from ..task import Baseline, Predictions

ADDED = 0.5
"""Added to every count."""
PENALTY = 3e-4
"""Of the squared weights of a regression, for a mean over frames."""
WINDOW = 8
"""Frames before that the widest regression reads."""
MOST_FRAMES = 50_000
"""Frames that a regression is fitted to; of more, the first pieces that have so many."""
STEPS, PRECISION = 60, 1e-6
"""Of the minimisation at most; and the share by which a step lowers the loss at the end."""


class CountedKeys:
    """The probability of each key alone: of all frames, or after frames in which it was up, and in which it was down.

    after: whether the frame before is read. The first frame of a piece follows one in which all keys are up.
    """

    note = ""

    def __init__(self, after: bool) -> None:
        self.name = "each key after itself" if after else "each key alone"
        self.after, self.trivial, self.without_order = after, not after, not after

    def fit(self, train: Examples) -> CountedKeys:
        """Transitions are counted within a piece, keys alone in all of its frames."""
        width = len(train.channels)
        frames, down = np.zeros((2, width)), np.zeros((2, width))
        for roll in map(bits, train.inputs):
            before, now = (roll[:-1], roll[1:]) if self.after else (np.zeros_like(roll), roll)
            for state in (0, 1):
                frames[state] += (before == state).sum(0)
                down[state] += ((before == state) & (now == 1)).sum(0)
        self.chances = (down + ADDED) / (frames + 2 * ADDED)
        return self

    def predict(self, examples: Examples) -> Predictions:
        """Nats of each frame [T], and the probabilities of its keys [T, K]."""
        said = []
        for roll in map(bits, examples.inputs):
            before = _before(roll, 1) if self.after else np.zeros_like(roll)
            said.append(np.where(before == 1, self.chances[1], self.chances[0]))
        return Predictions([_nats(p, roll) for p, roll in zip(said, map(bits, examples.inputs))], said)


class KeyRegression:
    """Logistic regression of each key on all keys of the `window` frames before, with ridge penalty.

    below: whether it also reads the keys of the frame itself that are lower, so that chords are modelled
    """

    trivial = False
    without_order = False

    def __init__(self, window: int, below: bool) -> None:
        frames = "the frame before" if window == 1 else f"the {window} frames before"
        self.name = f"regression on {frames}{' and the keys below' if below else ''}"
        self.window, self.below, self.note = window, below, ""

    def fit(self, train: Examples) -> KeyRegression:
        rolls = list(map(bits, train.inputs))
        kept = max(1, int((np.cumsum([len(roll) for roll in rolls]) <= MOST_FRAMES).sum()))
        self.note = f"fitted to the first {kept:,} of {len(rolls):,} pieces" if kept < len(rolls) else ""
        self.weights = self._solved(rolls[:kept])
        return self

    def predict(self, examples: Examples) -> Predictions:
        """Nats of each frame [T], and the probabilities of its keys [T, K]; with `below`, of keys after those below."""
        rolls = list(map(bits, examples.inputs))
        if not rolls:
            return Predictions([], [])
        ends = np.cumsum([len(roll) for roll in rolls])[:-1]
        nats = _nats(_sigmoid(self._scores(rolls)), np.concatenate(rolls))
        said = self._one_by_one(rolls) if self.below else _sigmoid(self._scores(rolls))
        return Predictions(np.split(nats, ends), np.split(said, ends))

    def _past(self, rolls: Sequence[np.ndarray]) -> sparse.csr_matrix:
        """[M, F]: a one, and the frames before each frame, the nearest first."""
        parts = [np.concatenate([_before(roll, lag) for roll in rolls]) for lag in range(1, self.window + 1)]
        ones = np.ones((len(parts[0]), 1), np.uint8)
        return sparse.csr_matrix(np.concatenate([ones, *parts], 1)).astype(np.float32)

    def _solved(self, rolls: Sequence[np.ndarray]) -> np.ndarray:
        """[F, K] or, with the keys of the frame itself, [F + K, K] of which key k has those of the lower ones.

        A key that is always up, or always down, has its frequency alone.
        """
        known = np.concatenate(rolls)
        x, keys = self._past(rolls), known.shape[1]
        free = np.ones((x.shape[1], keys), bool)
        if self.below:
            x = sparse.hstack([x, sparse.csr_matrix(known).astype(np.float32)], format="csr")
            free = np.concatenate([free, np.triu(np.ones((keys, keys), bool), 1)])
        found = np.zeros(free.shape)
        chances = (known.sum(0) + ADDED) / (len(known) + 2 * ADDED)
        found[0] = np.log(chances / (1 - chances))
        moves = known.any(0) & ~known.all(0)
        found[:, moves] = _minimised(x, known[:, moves], found[:, moves], free[:, moves])
        return found

    def _scores(self, rolls: Sequence[np.ndarray]) -> np.ndarray:
        """[M, K], the keys below as they are."""
        x = self._past(rolls)
        scores = x @ self.weights[: x.shape[1]]
        return scores + np.concatenate(rolls) @ self.weights[x.shape[1] :] if self.below else scores

    def _one_by_one(self, rolls: Sequence[np.ndarray]) -> np.ndarray:
        """[M, K]: the probability of each key after those below as they are said themselves, at one half or above."""
        x = self._past(rolls)
        said = x @ self.weights[: x.shape[1]]
        own = self.weights[x.shape[1] :]
        for key in range(said.shape[1]):
            said[:, key] = _sigmoid(said[:, key] + (said[:, :key] > 0.5) @ own[:key, key])
        return said


def _minimised(x: sparse.csr_matrix, known: np.ndarray, first: np.ndarray, free: np.ndarray) -> np.ndarray:
    """[F, K]: the weights of least nats per frame and penalty, of M rows; those that are not free stay 0."""
    transposed, down, count = sparse.csr_matrix(x.T), known == 1, len(known)
    shrunk = PENALTY * np.ones(free.shape)
    shrunk[0] = 0.0

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = np.zeros(free.shape)
        weights[free] = flat
        scores = x @ weights.astype(np.float32)
        apart = np.exp(-np.abs(scores))  # from 0 to 1
        nats = np.maximum(scores, 0) + np.log1p(apart)
        loss = (nats.sum(dtype=np.float64) - scores[down].sum(dtype=np.float64)) / count
        slope = np.where(scores >= 0, np.float32(1), apart) / (1 + apart)
        slope -= down
        return float(loss + (shrunk * weights**2).sum()), (transposed @ slope / count + 2 * shrunk * weights)[free]

    ends = {"maxiter": STEPS, "ftol": PRECISION}
    found = np.zeros(free.shape)
    found[free] = minimize(objective, first[free], jac=True, method="L-BFGS-B", options=ends).x
    return found


def _before(roll: np.ndarray, lag: int) -> np.ndarray:
    """The roll `lag` frames later, after frames in which all keys are up."""
    return np.concatenate([np.zeros_like(roll[:lag]), roll[: max(0, len(roll) - lag)]])


def _sigmoid(scores: np.ndarray) -> np.ndarray:
    return np.asarray(expit(scores))


def _nats(chances: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """[T]: -log p of all keys of a frame together."""
    right = np.where(roll == 1, chances, 1 - chances)
    return -np.log(np.maximum(right, 1e-12)).sum(1)


def for_rolls(joint: bool) -> list[Baseline]:
    """The trivial one first; those that model chords where the network does."""
    counted: list[Baseline] = [CountedKeys(False), CountedKeys(True)]
    windows = [KeyRegression(window, False) for window in (1, WINDOW)]
    return [*counted, *windows, *([KeyRegression(window, True) for window in (1, WINDOW)] if joint else [])]
