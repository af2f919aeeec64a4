"""Options that change nothing, or cannot be met, are refused with one message; no folder is left behind."""

import io

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.commands.typed import typed_in
from ostinato.program.options import TrainOptions
from ostinato.program.tasks.own_options import TASKS, refuse_foreign_options
from ostinato.program.tasks.registry import TASKS as KNOWN
from ostinato.program.training.devices import check_device
from program import made_files as made
from program.commands import ostinato

BRIEF = ("--hidden", 8, "--embedding", 8, "--updates", 1, "--no-lens", "--quiet", "--no-baselines")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A text, a list of items, a table of series and a table of reviews."""
    found = tmp_path_factory.mktemp("refused")
    (found / "text.txt").write_text("a longer line of text, which is no item of a list at all\n" * 40, encoding="utf-8")
    (found / "items.txt").write_text("".join(f"item {n}\n" for n in range(200)), encoding="utf-8")
    (found / "y.csv").write_text("y\n" + "".join(f"{n % 7 + n % 3}\n" for n in range(90)), encoding="utf-8")
    made.reviews(found / "reviews.csv", 60)
    return found


REVIEWS = ("reviews.csv", "--text", "review", "--target", "label")
SERIES = ("y.csv", "--horizon", 3)


@pytest.mark.parametrize(
    "data, flags, message",
    [
        (("text.txt",), ("--task", "language-model", "--horizon", 3),
         "text.txt: --horizon must be left out, as the task is language-model, got it. Leave out --task, or give "
         "--task forecast."),
        (("items.txt",), ("--task", "generate", "--id", "x", "--label-separator", ";"),
         "items.txt: --id, --label-separator must be left out, as the task is generate, got them. Leave out --task, "
         "or give --task forecast or classify."),
        (SERIES, ("--given", "y"),
         "y.csv: --given must be left out, as the task is forecast, got it. Name covariates by --future where "
         "they are known ahead, else by --series."),
        (("text.txt",), ("--levels", "50", "--scale", "log"),
         "ostinato train: --levels, --scale must be left out, as the task is language-model, got them. They belong "
         "to the task forecast."),
        (("items.txt",), ("--k1", 4),
         "ostinato train: --k1 must be left out, as the task is generate, got it. It belongs to the task "
         "language-model."),
        (REVIEWS, ("--context", 4),
         "ostinato train: --context must be left out, as the task is classify, got it. It belongs to the task "
         "forecast."),
        (SERIES, ("--vectors", "y.csv"),
         "ostinato train: --vectors must be left out, as the task is forecast, got it. It belongs to the task "
         "classify or regress or tag."),
        (REVIEWS, ("--length-penalty", 2, "--beam", 3),
         "ostinato train: --beam, --length-penalty must be left out, as the task is classify, got them. They belong "
         "to the task translate or transcribe."),
        (REVIEWS, ("--beam", 10**8),
         "ostinato train: --beam must be a whole number from 1 to 1,000, got 100000000. 1 follows the most probable "
         "unit each time."),
        (REVIEWS, ("--length-penalty", 1e300),
         "ostinato train: --length-penalty must be a number from 0 to 10, got 1e+300."),
        (REVIEWS, ("--device", "nothing:3"), "ostinato train: --device must be a device that torch has on this"),
        (REVIEWS, ("--threads", 0), "ostinato train: --threads must be a whole number of 1 or more, got 0."),
        (("items.txt",), ("--class-weights", "balanced"),
         "fit: --class-weights must be none for the task generate, got balanced. Leave --class-weights out."),
        (REVIEWS, ("--hidden", 10**9),
         "the network: the weights must be small enough for the memory, got larger ones ("),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_followed_is_refused_and_no_folder_is_made(place, data, flags, message):
    ended = ostinato(place, "train", *data, *BRIEF, *flags, "--out", "model")
    assert ended.status == 2 and ended.err.strip().startswith(message), ended.err
    assert not (place / "model").exists()


def test_compare_refuses_the_same_options(place):
    ended = ostinato(place, "compare", *REVIEWS, *BRIEF, "--context", 4)
    assert ended.status == 2
    assert ended.err.startswith("ostinato compare: --context must be left out, as the task is classify, got it.")
    assert ostinato(place, "compare", *REVIEWS, *BRIEF, "--device", "nothing:3").status == 2


def test_compare_without_baselines_has_none(place):
    ended = ostinato(place, "compare", *REVIEWS, *BRIEF, "--cells", "gru", "--json")
    assert ended.status == 0 and ended.document["baselines"] == {}


def test_compare_begins_from_a_model_where_its_weights_fit(place):
    assert ostinato(place, "train", *REVIEWS, *BRIEF, "--out", "first").status in (0, 1)
    ended = ostinato(place, "compare", *REVIEWS, *BRIEF, "--cells", "lstm", "--from-model", "first")
    assert ended.status == 2 and "--from-model must be a model with the weights of this network" in ended.err


def test_from_model_refuses_another_vocabulary_of_the_same_size(tmp_path):
    for name, words in (("one", ("aa", "bb", "cc")), ("two", ("dd", "ee", "ff"))):
        rows = [(" ".join((words[k % 3], words[k * k % 3], str(k))), "xy"[k % 2]) for k in range(90)]
        made.write_table(tmp_path / f"{name}.csv", ("t", "y"), rows)
    options = ("--text", "t", "--target", "y", "--unit", "char", *BRIEF)
    assert ostinato(tmp_path, "train", "one.csv", *options, "--vocabulary", 4, "--out", "one").status in (0, 1)
    ended = ostinato(tmp_path, "train", "two.csv", *options, "--vocabulary", 4, "--from-model", "one", "--out", "two")
    assert ended.status == 2 and ended.err.strip() == (
        "ostinato train: --from-model must be a model with the weights of this network, got others for "
        "vocabulary.json. Train on data with the same vocabulary and classes, with the same options of the network."
    )
    assert not (tmp_path / "two").exists()


def test_from_model_refuses_music_of_as_many_other_keys(tmp_path):
    rolls = {f"piece{k}": np.eye(3, dtype=np.uint8)[[(k + t) % 3 for t in range(4 + k)]] for k in range(9)}
    np.savez(tmp_path / "one.npz", **rolls, keys=np.array([60, 62, 64]))
    np.savez(tmp_path / "two.npz", **rolls, keys=np.array([40, 41, 42]))
    options = ("--task", "music", "--hidden", 4, "--updates", 1, "--no-lens", "--quiet")
    assert ostinato(tmp_path, "train", "one.npz", *options, "--out", "one").status in (0, 1)
    ended = ostinato(tmp_path, "train", "two.npz", *options, "--from-model", "one", "--out", "two")
    assert ended.status == 2 and "got others for keys.json. Train on data with the same vocabulary" in ended.err
    assert not (tmp_path / "two").exists()


def test_a_device_that_torch_has_is_accepted_and_another_named_in_the_message():
    check_device("cpu", "here")
    with pytest.raises(InputError) as refused:
        check_device("meta", "here")
    assert str(refused.value).startswith("here: --device must be a device that torch has on this machine, got 'meta' (")
    assert str(refused.value).endswith("). Write --device cpu.")


def test_every_option_of_some_tasks_names_tasks_that_exist_and_one_that_is_not_among_them():
    for name, tasks in TASKS.items():
        assert set(tasks) <= set(KNOWN) and set(KNOWN) - set(tasks), name


def test_the_usual_values_of_options_of_other_tasks_are_no_choice():
    for task in KNOWN:
        refuse_foreign_options(TrainOptions(), task, "here")


def test_a_wrong_byte_of_standard_input_does_not_end_the_reading(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\n\xff\nb\n"), encoding="utf-8"))
    assert list(typed_in()) == ["a\n", "\udcff\n", "b\n"]


def test_a_line_that_is_no_text_is_answered_with_an_error_and_the_next_one_is_read(place):
    assert ostinato(place, "train", "items.txt", *BRIEF, "--out", "items").status in (0, 1)
    ended = ostinato(place, "predict", "items", "-", typed="item 3\n\udcff\nitem 4\n")
    first, second, third = ended.out.splitlines()
    assert ended.status == 2 and first.count("\t") == third.count("\t") == 1
    assert second == (
        r"ostinato predict, line 2: a line must be text of UTF-8, got '\udcff', which is no character. "
        "Write it in UTF-8."
    )
    ended = ostinato(place, "generate", "items", "--prompt", "it\ud800")
    assert ended.status == 2 and ended.out == ""
    assert ended.err.strip() == (
        r"ostinato generate: --prompt must be text of UTF-8, got '\ud800', which is no character. Write it in UTF-8."
    )


@pytest.mark.parametrize("flag", ["--horizon", "--origins"])
def test_check_refuses_what_train_refuses(place, flag):
    ended = ostinato(place, "check", "y.csv", flag, 0)
    assert ended.status == 2 and ended.out == ""
    assert ended.err.strip() == f"ostinato check: {flag} must be a whole number of 1 or more, got 0."
