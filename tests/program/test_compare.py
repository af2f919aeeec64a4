"""`ostinato compare` of every task: cells and seeds on the same rows, and what is said of their differences."""

import re

import numpy as np
import pytest

from ostinato.apps.reading import language_reference
from ostinato.program.tasks.metric_names import is_share
from ostinato.program.tasks.registry import TASKS
from program import made_files
from program.commands import ostinato
from program.tasks.made_pairs import strings
from program.tasks.made_rolls import noise
from program.tasks.made_transcripts import keys
from program.test_forecast_end_to_end import seasons, written

MORE = ("--updates", 30, "--learning-rate", 0.03)
"""Where a network of three updates writes nothing, or the same with every cell."""
TINY = ("--hidden", 6, "--updates", 3, "--quiet", "--cells", "gru,elman")


def a_text(path):
    path.write_text(language_reference()[:20_000], encoding="utf-8")


def a_list(path):
    rows = [(kind, kind[0] * (2 + k % 3) + "oe"[k % 2]) for k in range(90) for kind in ("tree", "herb")]
    made_files.write_table(path, ("kind", "name"), rows)


def a_month(path):
    written(path, seasons(90))


def pairs(path):
    made_files.write_table(path, ("source", "target"), [(text, text[::-1]) for text in strings(60)])


def strokes(path):
    made = keys(60, kind="text")
    made_files.write_table(path, ("keys", "text"), list(zip(made.inputs, made.targets)))


def rolls(path):
    np.savez(path, **{f"roll_{k}": roll for k, roll in enumerate(noise([9] * 30).inputs)})


DATA = {
    "classify": (made_files.reviews, "data.csv", ("--text", "review", "--target", "label")),
    "regress": (made_files.loads, "data.npz", ("--target", "y")),
    "tag": (made_files.sentences, "data.conll", ()),
    "forecast": (a_month, "data.csv", ("--target", "y", "--horizon", 3)),
    "generate": (a_list, "data.csv", ("--target", "name", "--given", "kind")),
    "language-model": (a_text, "data.txt", ("--task", "language-model", "--test-share", 0.4)),
    "fill": (a_text, "data.txt", ("--task", "fill", "--unit", "word", "--test-share", 0.4)),
    "translate": (pairs, "data.csv", ("--text", "source", "--target", "target", "--task", "translate", *MORE)),
    "transcribe": (strokes, "data.csv", ("--text", "keys", "--target", "text", "--task", "transcribe", *MORE)),
    "music": (rolls, "data.npz", ("--test-share", 0.4)),
}
"""Task → what writes a file of it, its name, and the options."""


@pytest.mark.slow
@pytest.mark.parametrize("task", DATA)
def test_every_task_compares_cells_over_seeds_in_pairs(task, tmp_path):
    make, name, options = DATA[task]
    make(tmp_path / name)
    found = ostinato(tmp_path, "compare", name, *TINY, *options, "--seeds", 2, "--json").document
    assert found["because"].startswith(f"The task is {task}: ")
    assert [len(runs["runs"]) for runs in found["cells"].values()] == [2, 2]
    best, cells, counted = found["differences"]
    assert " the best baseline, " in best
    assert (
        "over test rows and over 2 runs of each cell; they do not count how much they vary over training rows"
        in counted
    )
    pattern = (
        r"(gru|elman) is (not certainly )?better than (gru|elman): \+\S+ \(95 % interval \S+ to \S+, paired by row"
    )
    assert re.match(pattern, cells), cells
    means = {cell: sum(run["value"] for run in runs["runs"]) / 2 for cell, runs in found["cells"].items()}
    unit = 100 if is_share(found["metric"]) else 1
    said = float(re.search(r": (\+\S+) ", cells).group(1)) / unit
    assert said == pytest.approx(abs(means["gru"] - means["elman"]), rel=0.01, abs=0.0006)


def test_no_task_is_left_out():
    assert set(DATA) == set(TASKS)


def test_a_cell_that_is_certainly_better_than_the_baselines_is_called_so(tmp_path):
    made_files.reviews(tmp_path / "reviews.csv", 240)
    words = ("--text", "review", "--target", "label", *made_files.SMALL, "--updates", 120, "--quiet")
    ended = ostinato(tmp_path, "compare", "reviews.csv", *words, "--cells", "gru", "--seeds", 2)
    assert re.search(r"gru is better than the best baseline, [a-z0-9 ]+: \+\d", ended.out), ended.out
    assert "±" in ended.out


def test_one_seed_says_that_seeds_are_not_counted(tmp_path):
    made_files.reviews(tmp_path / "reviews.csv", 60)
    words = ("--text", "review", "--target", "label", *TINY)
    found = ostinato(tmp_path, "compare", "reviews.csv", *words, "--json").document
    assert found["differences"][-1].startswith(
        "The intervals count how much the differences vary over test rows. --seeds 3"
    )


def test_one_cell_without_baselines_has_no_difference(tmp_path):
    made_files.reviews(tmp_path / "reviews.csv", 60)
    words = ("--text", "review", "--target", "label", "--hidden", 6, "--updates", 3, "--quiet", "--cells", "gru")
    ended = ostinato(tmp_path, "compare", "reviews.csv", *words, "--no-baselines", "--json")
    assert ended.document["differences"] == []


def test_a_cell_is_not_compared_with_itself(tmp_path):
    made_files.reviews(tmp_path / "data.csv")
    words = ("data.csv", "--text", "review", "--target", "label", "--cells", "gru,elman,gru")
    ended = ostinato(tmp_path, "compare", *words)
    assert ended.status == 2 and ended.err.strip() == (
        "ostinato compare: --cells must be different cells, got gru, which has the equations of one before it. Leave "
        "it out; --seeds 3 repeats runs."
    )


def test_one_test_row_gives_no_interval_and_none_is_explained(tmp_path):
    rolls = [np.eye(5, dtype=np.uint8)[[(k + t) % 5 for t in range(9)]] for k in range(5)]
    np.savez(
        tmp_path / "data.npz", **{f"train_{k}": roll for k, roll in enumerate(rolls[:3])}, valid=rolls[3], test=rolls[4]
    )
    ended = ostinato(tmp_path, "compare", "data.npz", *TINY)
    assert " nats per frame on 1 test row " in ended.out
    assert [line for line in ended.out.splitlines() if "interval" in line] == [
        line for line in ended.out.splitlines() if line.endswith("; the test rows are too few for an interval.")
    ]
    assert ended.out.count("; the test rows are too few for an interval.") == 2
