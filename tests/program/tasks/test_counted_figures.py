"""Figures that counting gives on real data, to three digits; skipped where the data is absent.

The rules: distinct (language, name) pairs, names sorted, shuffled from seed 0, a fifth for the test; multinomial naive
Bayes on runs of 1 to 4 letters with add .1 and the log-likelihood halved, unseen runs included. Reviews: words
[a-z0-9']+ and .,!? that three training reviews have, presence alone, add 1. Tags: unknown words are PROPN.
"""

import gzip
import json
import random
import re

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from ostinato.program.data.examples import Examples
from ostinato.program.tasks.baselines.estimators import NaiveBayes
from ostinato.program.tasks.baselines.extract import Bag, Moments, Resampled, letters
from ostinato.program.tasks.baselines.features import FeatureBaseline
from ostinato.program.tasks.baselines.tags import MostFrequentTag
from ostinato.program.tasks.metrics import tally_of_classes
from ostinato.program.tasks.tag_metrics import tally_of_tags
from program.tasks.made import data


def lines(name):
    with gzip.open(data(name), "rt", encoding="utf-8") as file:
        return file.read().split("\n")


def scored(baseline, train, test):
    found = baseline.fit(train).predict(test)
    return tally_of_classes(test.targets, found.values, found.probabilities, sorted(set(train.targets)), None)


@pytest.mark.parametrize(
    "model, share", [(KNeighborsClassifier(1), 0.96), (LinearDiscriminantAnalysis(), 0.98)], ids=["nearest", "linear"]
)
def test_iris_by_each_of_the_others_in_turn(model, share):
    x, y = load_iris(return_X_y=True)
    assert cross_val_score(model, x, y, cv=LeaveOneOut()).mean() == pytest.approx(share)


def test_names_by_naive_bayes():
    rows = lines("names/names_by_nationality.tsv.gz")
    pairs = list(dict.fromkeys(tuple(line.split("\t")) for line in rows if line))
    names = sorted({name for _, name in pairs})
    random.seed(0)
    random.shuffle(names)
    held = set(names[: len(names) // 5])

    def part(chosen):
        return Examples("text", [n for _, n in chosen], "class", [language for language, _ in chosen])

    train, test = part([p for p in pairs if p[1] not in held]), part([p for p in pairs if p[1] in held])
    bag = Bag(letters, 4, joint="", unseen=True)
    tally = scored(FeatureBaseline("counting", bag, lambda: NaiveBayes(0.1, 0.5), False), train, test)
    assert len(test) == 3583
    assert round(tally.value("accuracy"), 3) == 0.826 and round(tally.value("macro_f1"), 3) == 0.538


@pytest.mark.slow
def test_reviews_by_naive_bayes():
    parts = {"train": ([], []), "test": ([], [])}
    for line in lines("sentiment/imdb.jsonl.gz"):
        if line:
            row = json.loads(line)
            parts[row["split"]][0].append(row["text"])
            parts[row["split"]][1].append(str(row["label"]))
    train, test = (Examples("text", inputs, "class", targets) for inputs, targets in parts.values())
    word = re.compile(r"[a-z0-9']+|[!?.,]")
    bag = Bag(lambda text: word.findall(text.lower().replace("<br />", " ")), least=3, presence=True)
    tally = scored(FeatureBaseline("counting", bag, NaiveBayes, True), train, test)
    assert round(tally.value("accuracy"), 3) == 0.830
    low, high = tally.interval("accuracy", 0)
    assert 0.008 < high - low < 0.011


def sentences_of(name):
    tokens, targets = [[]], [[]]
    for line in lines(name):
        cells = line.split("\t")
        if not line:
            tokens.append([])
            targets.append([])
        elif cells[0].isdigit():
            tokens[-1].append(cells[1])
            targets[-1].append(cells[3])
    return Examples("tokens", [t for t in tokens if t], "tags", [t for t in targets if t])


def test_tags_by_the_most_frequent_tag_of_the_word():
    train, test = (sentences_of(f"tagging/en_ewt-ud-{part}.conllu.gz") for part in ("train", "test"))
    found = MostFrequentTag("PROPN").fit(train).predict(test)
    known = {word for row in train.inputs for word in row}
    tally = tally_of_tags(test.targets, found.values, test.inputs, known, False, None)
    assert sum(map(len, test.inputs)) == 25_094
    assert round(tally.value("tag_accuracy"), 4) == 0.8693
    assert round(tally.value("unknown_accuracy"), 3) == 0.387


def series_of(name):
    inputs, targets = [], []
    for line in lines(name):
        if line and line[0] not in "#@":
            *channels, label = line.split(":")
            inputs.append(np.array([[float(v) for v in channel.split(",")] for channel in channels]).T)
            targets.append(label)
    return Examples("series", inputs, "class", targets)


@pytest.mark.parametrize(("name", "nearest", "moments"), [("JapaneseVowels", 95.1, 94.6), ("BasicMotions", 60.0, 92.5)])
def test_series_by_the_nearest_neighbour_with_and_without_order(name, nearest, moments):
    train, test = (series_of(f"classification/{name}_{part}.ts.gz") for part in ("TRAIN", "TEST"))
    for extractor, expected in ((Resampled(scaled=False), nearest), (Moments(), moments)):
        tally = scored(FeatureBaseline("nearest", extractor, lambda: KNeighborsClassifier(1), False), train, test)
        assert round(100 * tally.value("accuracy"), 1) == expected
