"""scikit-learn's face over models of music: `MusicModel`.

Letters: N pieces, T frames of a piece, K keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..cells import Cell
from ..errors import InputError, phrase
from .data.examples import Examples
from .data.from_python import rows_of
from .data.music.rolls import key_names, roll_of
from .estimators import NetworkEstimator
from .running.compose import new_frames
from .running.music_request import MusicRequest
from .tasks.texts.sampling import check_seed, is_count, is_number
from .text_options import text_options

WHERE = "MusicModel"


class MusicModel(NetworkEstimator):
    """A model of the next frame of piano rolls, which writes new ones.

        chorales = ostinato.MusicModel(minutes=5).fit(rolls)
        chorales.generate(64, prompt=rolls[0][:8])

    X is a list of N arrays [T, K] of 0 and 1: whether key k sounds in frame t. An option that is None has the default
    of the task; the others are those of `SequenceEstimator`, without both directions.

    chords  "joint": each key of a frame is predicted after the lower ones; "apart": each by itself
    """

    task_name = "music"
    target_kind = "frames"

    def __init__(
        self,
        cell: str | Cell | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        dropout: float | None = None,
        chords: str | None = None,
        minutes: float = 5.0,
        updates: int | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        clip: float = 1.0,
        weight_decay: float = 0.0,
        patience: int = 8,
        seed: int = 0,
        valid_share: float = 0.1,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.cell = cell
        self.hidden = hidden
        self.layers = layers
        self.dropout = dropout
        self.chords = chords
        self.minutes = minutes
        self.updates = updates
        self.batch = batch
        self.learning_rate = learning_rate
        self.clip = clip
        self.weight_decay = weight_decay
        self.patience = patience
        self.seed = seed
        self.valid_share = valid_share
        self.options = options

    def fit(self, X: Any, y: None = None) -> Self:
        """Trains on N pieces. Raises InputError for what is no array of 0 and 1, with its place."""
        return self._fit(pieces_from(X), "music", text_options(self, WHERE, "music"))

    def predict(self, X: Any) -> np.ndarray:
        """float64 [N]: nats of a frame of each piece, the mean over frames after the first; NaN where there is none."""
        values = self._predictions(self._known(X)).values
        return np.array([float(np.mean(nats[1:])) if len(nats) > 1 else np.nan for nats in values])

    def score(self, X: Any, y: None = None) -> float:
        """Minus the nats of a frame over all N pieces: more is better."""
        examples = self._known(X)
        return -float(self.task_.score(examples, self._predictions(examples)))

    def generate(self, length: int, prompt: Any = None, *, temperature: float = 1.0, seed: int = 0) -> np.ndarray:
        """uint8 [T, K]: the prompt and `length` new frames; the same seed gives the same frames.

        prompt       the first frames, 0 or 1 [T, K]; None: the model begins
        temperature  by which scores are divided; 0: each key as is more probable
        """
        check_is_fitted(self, "network_")
        if not is_count(length):
            raise InputError(phrase(WHERE, "length", "a whole number of 1 or more", repr(length)))
        if not is_number(temperature) or not 0 <= temperature < float("inf"):
            raise InputError(phrase(WHERE, "temperature", "a number of 0 or more", repr(temperature)))
        check_seed(WHERE, seed)
        keys = len(self.task_.keys)
        given = np.zeros((0, keys), np.uint8) if prompt is None else self._known([prompt]).inputs[0]
        request = MusicRequest(length=length, temperature=temperature, seed=seed)
        return np.stack([*given, *new_frames(self.network_, given, request, 0)])

    def _known(self, X: Any) -> Examples:
        """Pieces of the keys that the model has."""
        check_is_fitted(self, "network_")
        return pieces_from(X, len(self.task_.keys), self.task_.keys)


def pieces_from(X: Any, width: int | None = None, names: Any = None) -> Examples:
    """N pieces, each its own target. Raises InputError for what is none, and for another number of keys than `width`.

    width  None: that of the first piece
    names  [K] of the keys; None: numbers of MIDI for 88 and 128 keys
    """
    found = [roll_of(roll, f"X[{place}]", WHERE) for place, roll in enumerate(rows_of(X))]
    if not found:
        raise InputError(phrase(WHERE, "X", "a list of arrays [T, K]", "none", "Pass one array for each piece."))
    keys = width or found[0].shape[1]
    other = next((k for k, roll in enumerate(found) if roll.shape[1] != keys), None)
    if other is not None:
        remedy = "Make K equal for all pieces."
        raise InputError(phrase(WHERE, f"X[{other}]", f"of {keys} keys", f"{found[other].shape[1]}", remedy))
    return Examples("roll", found, "frames", found, tuple(names or key_names(keys)))
