"""The search and the alignments of transcripts, against the sum over all paths."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from ostinato.program.tasks.transcribing import alignment, search
from ostinato.program.tasks.transcribing.alignment import aligned, frames_of, needed_frames
from ostinato.program.tasks.transcribing.search import best_paths, best_prefixes

CASES = [(frames, labels, seed) for frames in (1, 3, 6) for labels in (1, 2, 3) for seed in range(2)]


def made(frames, rows, labels, seed=0, spread=2.0):
    """Log-probabilities [F, B, V + 1]."""
    scores = spread * np.random.default_rng(seed).normal(size=(frames, rows, labels + 1))
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def written(path):
    """The transcript of a path, by the definition: without repetitions, then without blanks."""
    once = [path[0], *(b for a, b in pairwise(path) if a != b)] if len(path) else []
    return tuple(label for label in once if label)


def every_path(logs):
    """Transcript → (its probability, float64 [U, F]: the sum of its paths that are at a label in a frame)."""
    frames, width = logs.shape
    found = {}
    for path in product(range(width), repeat=frames):
        p = float(np.exp(sum(logs[t, label] for t, label in enumerate(path))))
        text = written(path)
        total, places = found.setdefault(text, [0.0, np.zeros((len(text), frames))])
        found[text][0] = total + p
        place = -1
        for t, label in enumerate(path):
            place += int(label != 0 and (t == 0 or path[t - 1] != label))
            if label:
                places[place, t] += p
    return found


@pytest.mark.parametrize("frames, labels, seed", CASES)
def test_a_wide_beam_finds_the_most_probable_of_all_transcripts(frames, labels, seed):
    logs = made(frames, 1, labels, seed)
    sums = every_path(logs[:, 0])
    found = best_prefixes(logs, np.array([frames]), 500)[0]
    assert tuple(found.tolist()) == max(sums, key=lambda text: sums[text][0])
    assert sum(p for p, _ in sums.values()) == pytest.approx(1)


@pytest.mark.parametrize("frames, labels, seed", CASES)
def test_probabilities_and_alignments_are_the_sums_over_all_paths(frames, labels, seed):
    logs = made(frames, 1, labels, seed, 1.0)
    for text, (p, places) in every_path(logs[:, 0]).items():
        shares, log_p = aligned(logs, np.array([frames]), [np.array(text, np.int64)])
        assert log_p[0] == pytest.approx(np.log(p), rel=1e-9, abs=1e-9)
        assert shares[0].shape == (len(text), frames) and shares[0].dtype == np.float32
        np.testing.assert_allclose(shares[0], places / p, atol=1e-6)


def test_the_sum_over_the_paths_of_a_transcript_can_exceed_its_most_probable_path():
    # The example of Hannun et al.: the most probable path is all blanks, the most probable transcript is not empty.
    logs = np.log(np.array([[[0.6, 0.4]], [[0.6, 0.4]]]))
    assert best_paths(logs, np.array([2]))[0].tolist() == [] == best_prefixes(logs, np.array([2]), 1)[0].tolist()
    assert best_prefixes(logs, np.array([2]), 2)[0].tolist() == [1]


def test_the_most_probable_path_is_written_without_repetitions_and_blanks():
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    logs = np.full((8, 2, 3), -5.0)
    logs[np.arange(8), :, path] = -0.1
    assert [row.tolist() for row in best_paths(logs, np.array([8, 3]))] == [[1, 1, 2], [1]]
    assert [row.tolist() for row in best_prefixes(logs, np.array([8, 0]), 4)] == [[1, 1, 2], []]


@pytest.mark.parametrize("beam", [2, 5])
def test_other_rows_of_the_batch_change_no_transcript(beam):
    logs, lengths = made(30, 9, 6, 3), np.array([30, 3, 17, 0, 30, 1, 22, 9, 5])
    together = best_prefixes(logs, lengths, beam)
    shares, log_p = aligned(logs, lengths, together)
    for b, n in enumerate(lengths):
        alone = best_prefixes(logs[:n, b : b + 1], lengths[b : b + 1], beam)[0]
        assert alone.tolist() == together[b].tolist()
        one, p = aligned(logs[:n, b : b + 1], lengths[b : b + 1], [alone])
        np.testing.assert_allclose(one[0], shares[b], atol=1e-6)
        assert p[0] == pytest.approx(log_p[b], abs=1e-9) and one[0].shape == (len(alone), n)


def test_a_wider_beam_finds_no_less_probable_transcript_on_the_whole():
    logs, lengths = made(25, 40, 5, 7, 1.0), np.full(40, 25)
    means = [aligned(logs, lengths, best_prefixes(logs, lengths, beam))[1].mean() for beam in (1, 3, 10, 40)]
    assert means == sorted(means) and means[-1] > means[0]


def test_of_many_labels_the_most_probable_ones_are_tried():
    logs, lengths = made(12, 5, 300, 1, 3.0), np.full(5, 12)
    few = best_prefixes(logs, lengths, 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "MOST_LABELS", 300)
        every = best_prefixes(logs, lengths, 6)
    assert [row.tolist() for row in few] == [row.tolist() for row in every]


def test_rows_of_which_too_many_are_long_are_aligned_in_parts(monkeypatch):
    logs, lengths = made(20, 6, 4, 2), np.array([20, 20, 11, 20, 7, 20])
    texts = best_paths(logs, lengths)
    whole = aligned(logs, lengths, texts)
    monkeypatch.setattr(alignment, "_AT_ONCE", 100)
    parts = aligned(logs, lengths, texts)
    for one, two in zip(whole[0], parts[0], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    np.testing.assert_allclose(whole[1], parts[1])


def test_alignments_past_the_bound_have_no_rows_and_their_probability_nevertheless(monkeypatch):
    logs, lengths = made(20, 2, 4, 2), np.array([20, 3])
    texts = best_paths(logs, lengths)
    log_p = aligned(logs, lengths, texts)[1]
    monkeypatch.setattr(alignment, "MOST_CELLS", 3 * len(texts[1]))
    shares, again = aligned(logs, lengths, texts)
    assert shares[0].shape == (0, 20) and shares[1].shape == (len(texts[1]), 3)
    assert again.tolist() == log_p.tolist()


@pytest.mark.parametrize("text, frames", [([], 0), ([1], 1), ([1, 2], 2), ([1, 1], 3), ([1, 1, 1, 2, 2], 8)])
def test_equal_neighbours_need_a_blank_between(text, frames):
    assert frames_of(np.array(text, np.int64)) == frames
    padded = torch.tensor([[*text, -100, -100]])
    assert needed_frames(padded, -100).tolist() == [frames]
