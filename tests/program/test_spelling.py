"""A message spells an option as it was given: as a flag on the command line, as a keyword from Python."""

import inspect

import pytest

import ostinato
from ostinato.errors import InputError, StorageError
from ostinato.program.estimator_table import ESTIMATORS
from ostinato.program.spelling import WORDS, as_flags, as_keywords, keyword_errors
from ostinato.program.tasks.registry import TASKS


@pytest.mark.parametrize(
    "message, expected",
    [
        ("Write --updates 1000, say.", "Write updates=1000, say."),
        ("Write --class-weights balanced.", 'Write class_weights="balanced".'),
        ("Give a longer text, or change --valid-share and --test-share.",
         "Give a longer text, or change valid_share and test_share."),
        ("Write --levels 80,95.", "Write levels=[80, 95]."),
        ("name its columns: --columns a,b,c.", 'name its columns: columns=["a", "b", "c"].'),
        ("Write --given size=1.5, say.", 'Write given={"size": 1.5}, say.'),
        ("Choose by --task language-model or --task fill.", 'Choose by task="language-model" or task="fill".'),
        ("Give --target COLUMN, or --target all.", 'Give target="COLUMN", or target="all".'),
        ("Write --out new.mid, say.", 'Write out="new.mid", say.'),
        ("Train with --one-direction.", "Train with both_directions=False."),
        ("The lens was turned off with --no-lens.", "The lens was turned off with lens=False."),
        ("Leave --both-directions out: a unit is alone.", "Leave both_directions out: a unit is alone."),
        ("fit: the loss must be finite. Lower --learning-rate (0.003).",
         "fit: the loss must be finite. Lower learning_rate (0.003)."),
    ],
)  # fmt: skip
def test_flags_become_keywords_for_python(message, expected):
    assert as_keywords(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        "Run `ostinato train --out MODEL --resume MODEL`.",
        "Use ostinato predict MODEL --beam 1, or another model.",
        "Start it with torchrun --nproc-per-node 2.",
        "The file is called a--target.",
    ],
)
def test_commands_and_other_words_stay(message):
    assert as_keywords(message) == message


@pytest.mark.parametrize(
    "message, expected",
    [
        ("ostinato train: valid_share must be below 1", "ostinato train: --valid-share must be below 1"),
        ("ostinato train: valid_share + test_share must be below 1",
         "ostinato train: --valid-share + --test-share must be below 1"),
        ("fit: updates must be at least 1", "fit: --updates must be at least 1"),
        ("ostinato train: layer_norm must be a bool", "ostinato train: --layer-norm must be a bool"),
        ("ostinato train: the rows must be given", "ostinato train: the rows must be given"),
        ("SequenceClassifier: dropout must be below 1", "SequenceClassifier: dropout must be below 1"),
        ("ostinato predict: a line must be a text", "ostinato predict: a line must be a text"),
    ],
)  # fmt: skip
def test_the_subject_of_a_message_becomes_a_flag_for_the_command_line(message, expected):
    assert as_flags(message) == expected


def test_every_task_is_a_word_that_may_follow_a_flag():
    assert set(TASKS) <= set(WORDS)


@pytest.mark.parametrize("kind", [InputError, StorageError])
def test_the_error_is_the_same_one_with_other_words(kind):
    raised = kind("Write --batch 32, say.")

    def refuses():
        raise raised

    with pytest.raises(kind) as caught:
        keyword_errors(refuses)()
    assert caught.value is raised
    assert str(caught.value) == "Write batch=32, say."


@pytest.mark.parametrize("kind", list(dict.fromkeys(ESTIMATORS.values())), ids=lambda kind: kind.__name__)
def test_every_public_method_of_an_estimator_keyword_errors(kind):
    methods = {
        name: value
        for ancestor in kind.__mro__
        if ancestor.__module__.startswith("ostinato.")
        for name, value in vars(ancestor).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert {"fit", "predict"} <= set(methods)
    assert {name for name, method in methods.items() if not hasattr(method, "__wrapped__")} <= {"keep"}


def test_the_python_interface_names_keywords(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\na b,x\nc d,y\n", encoding="utf-8")
    with pytest.raises(InputError) as refused:
        ostinato.train(path, text="words", target="label")
    assert "--" not in str(refused.value) and "words" in str(refused.value)
