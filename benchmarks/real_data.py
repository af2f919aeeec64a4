"""The tasks of `results.py`: files of real data, what was published on them, and what the program should reach."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path

from real_made import MADE_TASKS
from real_sequences import SEQUENCE_TASKS
from real_series import SERIES_TASKS
from real_task import Aim, Given, Published, RealTask
from sklearn.datasets import load_iris


def series(name: str) -> Callable[[Path, Path], Given]:
    """A data set of two `.ts` files."""

    def given(data: Path, made: Path) -> Given:
        folder = data / "classification"
        return {"paths": [folder / f"{name}_TRAIN.ts.gz"], "test": folder / f"{name}_TEST.ts.gz"}

    return given


def imdb(data: Path, made: Path) -> Given:
    """The column `split` of the file gives the test rows."""
    return {"paths": [data / "sentiment" / "imdb.jsonl.gz"], "text": "text", "target": "label", "task": "classify"}


def ewt(data: Path, made: Path) -> Given:
    train, valid, test = (data / "tagging" / f"en_ewt-ud-{part}.conllu.gz" for part in ("train", "dev", "test"))
    return {"paths": [train], "valid": valid, "test": test}


def iris(data: Path, made: Path) -> Given:
    """The 150 flowers of R. Fisher, 1936, as scikit-learn ships them: four lengths and widths, three species."""
    found = load_iris()
    columns = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    rows = [[*map(str, row), str(found.target_names[k])] for row, k in zip(found.data.tolist(), found.target)]
    (made / "iris.csv").write_text("\n".join(map(",".join, [columns, *rows])) + "\n", encoding="utf-8")
    return {"paths": [made / "iris.csv"], "target": "species", "test_share": 0.3}


def new_names(data: Path, made: Path) -> Given:
    """The parts of `names`; the name is written, the language is given."""
    given = names(data, made)
    return {
        "paths": given["paths"],
        "test": given["test"],
        "columns": "language,name",
        "target": "name",
        "given": "language",
    }


def names(data: Path, made: Path) -> Given:
    """Distinct pairs of language and name; of the distinct names a fifth, drawn with seed 0, is for the test."""
    with gzip.open(data / "names" / "names_by_nationality.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    pairs = list(dict.fromkeys((language, name) for language, name in rows))
    distinct = sorted({name for _, name in pairs})
    random.Random(0).shuffle(distinct)
    held_out = set(distinct[: len(distinct) // 5])
    paths = [made / f"names-{part}.tsv" for part in ("train", "test")]
    for path in paths:
        lines = [f"{a}\t{b}\n" for a, b in pairs if (b in held_out) == (path == paths[1])]
        path.write_text("".join(lines), encoding="utf-8")
    columns = {"columns": "language,name", "text": "name", "target": "language", "group": "name", "dropout": 0.5}
    return {"paths": paths[:1], "test": paths[1], **columns}


_COUNTED = "counted, no training; repeated in tests/program/tasks/test_counted_figures.py"
_DL4 = "hfawaz/dl-4-tsc, mean of 5 or 10 runs"
_LSTM_FCN = "titu1994/LSTM-FCN, checkpoint by training loss; uses convolutions"


def _of_series(dense: str, convolutional: str, echo_state: str, mixed: str, nearest: str) -> tuple[Published, ...]:
    return (
        Published("multi-layer perceptron", dense, _DL4),
        Published("fully convolutional network", convolutional, _DL4),
        Published("TWIESN, an echo-state network", echo_state, _DL4),
        Published("LSTM-FCN", mixed, _LSTM_FCN),
        Published("nearest series, Euclidean", nearest, _COUNTED),
    )


TASKS: tuple[RealTask, ...] = (
    RealTask(
        "imdb",
        "IMDB reviews, 25,000 to train on and 25,000 to test",
        imdb,
        10.0,
        1,
        (Aim("accuracy", 0.88),),
        (
            Published("naive Bayes on the presence of words", ".830", _COUNTED),
            Published("average of word vectors", ".8813", "Keras, imdb_fasttext"),
            Published("the same with pairs of words", ".9056", "Keras, imdb_fasttext"),
            Published("tf-idf and logistic regression", ".883 to .889", "fuyuanlyu/COMP551"),
            Published("two-layer BiLSTM of 300 units, GloVe vectors", ".862", "bentrevett, sentiment notebook 2"),
            Published("BiLSTM of 64 units, no vectors", ".8146", "Keras example, third-party run"),
        ),
    ),
    RealTask(
        "ewt",
        "Part-of-speech tags (UPOS) of the English Web Treebank",
        ewt,
        10.0,
        1,
        (Aim("tag_accuracy", 0.93), Aim("unknown_accuracy", 0.75)),
        (
            Published("most frequent tag of each word", ".8693", _COUNTED),
            Published("BiLSTM 2×128, GloVe vectors", ".8826", "bentrevett, tagging notebook"),
            Published("BiLSTM, no vectors", ".88", "graviraja/100-Days-of-NLP"),
            Published("BiLSTM of words, no vectors, on UD 1.2", ".921", "cdg720/bilstm-tagging, Plank 2016"),
            Published("BiLSTM of words and characters, on UD 1.2", ".9516", "stefan-it/flair-pos-tagging, Plank 2016"),
        ),
        "Unknown words are 9 % of the test words, whose share has an interval of about two points with the aim inside. "
        "Half of the words seen once are read as unknown in training, and the characters of each word by a layer of "
        "their own. The figures on UD 1.2 are of another treebank.",
    ),
    RealTask(
        "names",
        "Surnames by nationality, 18 classes, no name in two parts",
        names,
        3.0,
        5,
        (Aim("accuracy", 0.826), Aim("macro_f1", 0.538)),
        (
            Published("majority", ".530", _COUNTED),
            Published("naive Bayes on 1 to 4 characters: accuracy", ".826", _COUNTED),
            Published("naive Bayes on 1 to 4 characters: macro F1", ".538", _COUNTED),
        ),
        "Figures that other programs print are of rows that were trained on, or of splits with a name in both parts. "
        "The accuracy passes naive Bayes; macro F1, the mean over 18 classes of which some have fewer than 20 test "
        "rows, is 0.002 below its aim, with one seed.",
    ),
    RealTask(
        "names-written",
        "Surnames, written character by character, given their nationality",
        new_names,
        3.0,
        3,
        (Aim("nats_per_character", 1.94, lower_is_better=True),),
        (Published("n-grams of each nationality", "1.941", "the program's own baseline"),),
        metrics=("nats_per_character",),
    ),
    RealTask(
        "iris",
        "Iris: three species by four lengths, rows of one step",
        iris,
        0.5,
        5,
        (Aim("accuracy", 0.95),),
        (
            Published("nearest flower, each of the others in turn", ".960", _COUNTED),
            Published("linear discriminants, R. Fisher 1936, likewise", ".980", _COUNTED),
        ),
        "One of 41 test rows is 2.4 points. A row has one step, so nothing here needs recurrence: it is the shape "
        "of task from one to one.",
        metrics=("accuracy", "macro_f1", "log_loss"),
    ),
    RealTask(
        "JapaneseVowels",
        "JapaneseVowels: nine speakers, series of 7 to 29 steps of 12 channels",
        series("JapaneseVowels"),
        1.0,
        5,
        (Aim("accuracy", 0.97),),
        (
            *_of_series(".976", ".993", ".965", ".99", ".951"),
            Published("mean and deviation of each channel, without order", ".946", _COUNTED),
        ),
    ),
    RealTask(
        "GunPoint",
        "GunPoint: two movements of a hand, 150 steps, 50 training rows",
        series("GunPoint"),
        2.0,
        5,
        (Aim("accuracy", 0.95),),
        _of_series(".928", "1.00", ".989", "1.00", ".913"),
    ),
    RealTask(
        "ItalyPowerDemand",
        "ItalyPowerDemand: two seasons, 24 steps, 67 training rows",
        series("ItalyPowerDemand"),
        1.0,
        5,
        (Aim("accuracy", 0.95),),
        _of_series(".953", ".963", ".871", ".962", ".955"),
    ),
    RealTask(
        "BasicMotions",
        "BasicMotions: four activities, 100 steps of 6 channels, 40 training rows",
        series("BasicMotions"),
        1.0,
        5,
        (Aim("accuracy", 0.95),),
        (
            Published("nearest series, Euclidean", ".600", _COUNTED),
            Published("mean and deviation of each channel, without order", ".925", _COUNTED),
        ),
    ),
    *SERIES_TASKS,
    *SEQUENCE_TASKS,
    *MADE_TASKS,
)
