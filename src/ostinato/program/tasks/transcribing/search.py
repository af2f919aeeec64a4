"""The transcript that a network's scores name: the most probable path, or a search over prefixes.

A path names a label or the blank, 0, at each frame. Its transcript is the path without repetitions, then without
blanks: 1 1 0 1 2 2 is 1 1 2. The probability of a transcript is the sum over its paths (A. Graves et al.,
Connectionist temporal classification, 2006).

Letters: F frames, B rows of a batch, V labels without the blank, K hypotheses, J candidates, U labels of a transcript.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

MOST_LABELS = 64
"""Labels by which a hypothesis is extended at a frame, the most probable ones; all of at most so many."""
_NONE, _BEFORE = -1, -2
"""No hypothesis, and what stands before the empty one."""


def best_paths(logs: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """The transcript of the most probable path of each row: int64 [U] of logs [F, B, V + 1] and lengths [B]."""
    path = logs.argmax(-1)
    first = np.ones(path.shape, bool)
    first[1:] = path[1:] != path[:-1]
    return [path[:n, b][(first & (path != 0))[:n, b]].astype(np.int64) for b, n in enumerate(lengths.tolist())]


def best_prefixes(logs: np.ndarray, lengths: np.ndarray, beam: int) -> list[np.ndarray]:
    """The most probable transcript that a search over prefixes finds for each row: int64 [U].

    logs  float64 [F, B, V + 1]: log-probabilities of each frame
    beam  prefixes that are kept from frame to frame
    After A. Hannun et al., First-pass large vocabulary continuous speech recognition using bi-directional recurrent
    DNNs, arXiv 1408.2873, without a language model.
    """
    order = np.argsort(-lengths, kind="stable")
    search = _Search.begun(len(order), beam)
    active = [int((lengths > frame).sum()) for frame in range(int(lengths.max(initial=0)))]
    for frame, rows in enumerate(active):
        search.read(logs[frame, order[:rows]])
    found = search.best()
    return [found[place] for place in np.argsort(order, kind="stable")]


@dataclass
class _Search:
    """The K hypotheses of each row, as nodes of a tree of prefixes: a prefix is one node, however it was found."""

    blank: np.ndarray
    """float64 [B, K]: log of the sum over the paths of a prefix that end with the blank."""
    label: np.ndarray
    """float64 [B, K]: of those that end with its last label."""
    node: np.ndarray
    """int64 [B, K]"""
    before: np.ndarray
    """int64 [B, K]: the node of the prefix without its last label."""
    last: np.ndarray
    """int64 [B, K]: the last label, 0 of the empty prefix."""
    tree: list[tuple[int, int]]
    """(node before, last label) of each node; the first B are the empty prefixes of the rows."""
    known: dict[tuple[int, int], int] = field(default_factory=dict)

    @classmethod
    def begun(cls, rows: int, beam: int) -> _Search:
        nothing = np.full((rows, beam), -np.inf)
        blank, node = nothing.copy(), np.full((rows, beam), _NONE)
        blank[:, 0], node[:, 0] = 0.0, np.arange(rows)
        last, before = np.zeros((rows, beam), np.int64), np.full((rows, beam), _BEFORE)
        return cls(blank, nothing, node, before, last, [(_BEFORE, 0)] * rows)

    def read(self, logs: np.ndarray) -> None:
        """One more frame of the first rows: [rows, V + 1]."""
        rows, beam = len(logs), self.blank.shape[1]
        blank, label, node, before, last = (
            part[:rows] for part in (self.blank, self.label, self.node, self.before, self.last)
        )
        total = np.logaddexp(blank, label)
        stay_blank = total + logs[:, :1]
        stay_label = label + np.take_along_axis(logs, last, 1)
        labels = _candidates(logs)
        same = last[:, :, None] == labels[:, None, :]  # a repetition without a blank between is one label
        longer = np.where(same, blank[:, :, None], total[:, :, None]) + np.take_along_axis(logs, labels, 1)[:, None, :]
        # Hypothesis j may be hypothesis k with one more label: the paths of both ways to it are added up.
        b, k, j = np.nonzero((node[:, :, None] == before[:, None, :]) & (node >= 0)[:, :, None])
        new = last[b, j]
        joined = np.where(last[b, k] == new, blank[b, k], total[b, k]) + logs[b, new]
        stay_label[b, j] = np.logaddexp(stay_label[b, j], joined)
        way, column = np.nonzero(labels[b] == new[:, None])
        longer[b[way], k[way], column] = -np.inf
        scores = np.concatenate([np.logaddexp(stay_blank, stay_label), longer.reshape(rows, -1)], 1)
        chosen = _largest(scores, beam)
        stays, source = chosen < beam, np.where(chosen < beam, chosen, (chosen - beam) // labels.shape[1])
        written = np.take_along_axis(labels, np.where(stays, 0, (chosen - beam) % labels.shape[1]), 1)

        def kept(values: np.ndarray) -> np.ndarray:
            return np.take_along_axis(values, source, 1)

        score = np.take_along_axis(scores, chosen, 1)
        old = kept(node)
        self.before[:rows] = np.where(stays, kept(before), old)
        self.last[:rows] = np.where(stays, kept(last), written)
        self.blank[:rows] = np.where(stays, kept(stay_blank), -np.inf)
        self.label[:rows] = np.where(stays, kept(stay_label), score)
        self.node[:rows] = np.where(stays, old, _NONE)
        for place in np.argwhere(~stays & (score > -np.inf)).tolist():
            row, slot = place
            self.node[row, slot] = self._node(int(self.before[row, slot]), int(self.last[row, slot]))
        gone = self.node[:rows] == _NONE
        self.before[:rows][gone], self.last[:rows][gone] = _BEFORE, 0
        self.blank[:rows][gone] = self.label[:rows][gone] = -np.inf

    def _node(self, before: int, label: int) -> int:
        place = self.known.setdefault((before, label), len(self.tree))
        if place == len(self.tree):
            self.tree.append((before, label))
        return place

    def best(self) -> list[np.ndarray]:
        """The most probable prefix of each row."""
        found = []
        for row, k in enumerate(np.logaddexp(self.blank, self.label).argmax(1).tolist()):
            labels, node = [], int(self.node[row, k])
            while self.tree[node][0] != _BEFORE:
                node, label = self.tree[node]
                labels.append(label)
            found.append(np.array(labels[::-1], np.int64))
        return found


def _candidates(logs: np.ndarray) -> np.ndarray:
    """int64 [rows, J]: the labels of a frame by which prefixes are extended, of logs [rows, V + 1]."""
    rows, width = logs.shape
    if width - 1 <= MOST_LABELS:
        return np.tile(np.arange(1, width), (rows, 1))
    return 1 + np.sort(np.argpartition(-logs[:, 1:], MOST_LABELS - 1, 1)[:, :MOST_LABELS], 1)


def _largest(scores: np.ndarray, count: int) -> np.ndarray:
    """int64 [rows, count]: the places of the largest scores of each row, the largest first; of equal ones the first."""
    places = np.sort(np.argpartition(-scores, count - 1, 1)[:, :count], 1)
    order = np.argsort(-np.take_along_axis(scores, places, 1), 1, kind="stable")
    return np.take_along_axis(places, order, 1)
