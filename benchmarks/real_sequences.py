"""The translations, music and agreement of `results.py`: files of real data, published figures, aims."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from real_series import shakespeare
from real_task import Aim, Asked, Given, Published, RealTask


def tatoeba(**options: str) -> Callable[[Path, Path], Given]:
    """English to French. All pairs of an English sentence are in one part, which the program sees to by itself."""

    def given(data: Path, made: Path) -> Given:
        path = data / "translation" / "tatoeba_fra-eng.txt.gz"
        return {"paths": [path], "columns": "en,fr", "text": "en", "target": "fr", "task": "translate", **options}

    return given


def chorales(**options: str) -> Callable[[Path, Path], Given]:
    """The file has the three parts of the literature."""

    def given(data: Path, made: Path) -> Given:
        return {"paths": [data / "music" / "JSB_Chorales.mat"], **options}

    return given


def treebank(data: Path, made: Path) -> Given:
    """The test part of the English Web Treebank."""
    return {"agreement": data / "tagging" / "en_ewt-ud-test.conllu.gz"}


def agreed(document: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Model → the shares of verbs in the right number, of all pairs and of those with a misleading noun between."""
    found = {name: {"agreement": share["value"]} for name, share in models(document["all"]).items()}
    misled = [row for row in document["by_misleading"] if row["name"] != "0"]
    for name, values in found.items() if misled else ():
        values["agreement_if_misled"] = sum(row[name]["right"] for row in misled) / sum(
            row[name]["n"] for row in misled
        )
    return found


def models(row: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    return {name: share for name, share in row.items() if isinstance(share, dict)}


_MUSIC_COUNTED = "counted, no training; repeated in the tests of the task music"
_TCN = "S. Bai and others, arXiv 1803.01271, table 1"
_OF_MUSIC = ("nats_per_frame", "nats_per_frame_of_pieces", "frame_accuracy")
_RBM = "N. Boulanger-Lewandowski and others, arXiv 1206.6392, table 1"
_LJM = "ljm565/neural-machine-translator-GRU, README"


def _translation(name: str, title: str, published: tuple[Published, ...], **options: str) -> RealTask:
    note = (
        "The aims are our own, without attention the best baselines. "
        "No figure of others is comparable: they are of other splits, of lower-cased words, or of one reference. Here "
        "each held-out English sentence is translated once and judged by all its French sentences; the signatures are "
        "in metrics.json of the model folder and on its page."
    )
    aims = (Aim("chrf", 50.0), Aim("bleu", 35.0)) if not options else (Aim("chrf", 45.4), Aim("bleu", 21.3))
    return RealTask(name, title, tatoeba(**options), 10.0, 1, aims, published, note, ("chrf", "bleu", "exact_match"))


SEQUENCE_TASKS = (
    _translation(
        "translation",
        "Tatoeba, English to French, 167,130 pairs, attention",
        (Published("GRU with attention, lower-cased words, own split, BLEU-4", "40.0", _LJM),),
    ),
    _translation(
        "translation-plain",
        "Tatoeba, English to French, without attention",
        (Published("GRU without attention, lower-cased words, own split, BLEU-4", "38.9", _LJM),),
        attention="none",
    ),
    RealTask(
        "chorales",
        "JSB Chorales, the next frame of 88 keys, each key by itself, the split of the literature",
        chorales(chords="apart"),
        10.0,
        3,
        (Aim("nats_per_frame", 8.45, lower_is_better=True),),
        (
            Published("share of each key", "11.09", _MUSIC_COUNTED),
            Published("Markov chain of each key", "10.49", _MUSIC_COUNTED),
            Published("RNN", "8.91", _TCN),
            Published("LSTM", "8.45", _TCN),
            Published("GRU", "8.43", _TCN),
            Published("temporal convolutions (TCN)", "8.10", _TCN),
        ),
        metrics=_OF_MUSIC,
    ),
    RealTask(
        "chorales-joint",
        "JSB Chorales, the next frame of 88 keys, each key after the lower ones of the frame",
        chorales(),
        10.0,
        3,
        (Aim("nats_per_frame", 6.27, lower_is_better=True),),
        (
            Published("recurrent network with a Boltzmann machine (RNN-RBM)", "6.27", _RBM),
            Published("recurrent network with an autoregressive distribution (RNN-NADE)", "5.56", _RBM),
        ),
        metrics=_OF_MUSIC,
    ),
    RealTask(
        "agreement",
        "Agreement of verbs with their subjects, EWT test, by a character model of Tiny Shakespeare",
        shakespeare,
        10.0,
        1,
        (Aim("agreement", 0.91),),
        (
            Published("agree with the last noun", ".91", "counted on the test part, no training"),
            Published("agree with the last noun, where a noun of the other number is between", ".34", "counted"),
        ),
        "The model has read plays of about 1600 and judges text of the web: the aim, the last noun, is not its own "
        "domain. Each pair is judged by which form of the verb has the larger probability. A run of 1,200 updates "
        "gave 0.547: at 1.7 nats a character the model has learned spelling, not "
        "agreement. On made sentences a model of words learns it whole: docs/agreement.md.",
        ("nats_per_character",),
        Asked(treebank, agreed),
    ),
)
