"""A small trained model of every task, and what it answers to what the program of README.txt asks."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
import torch

import ostinato
from ostinato.program.data.time.windows import Series, Window
from program.tasks import made
from program.tasks.made_items import letters
from program.tasks.made_pairs import strings
from program.tasks.made_rolls import periodic
from program.tasks.made_transcripts import codes, keys

SMALL = {"hidden": 8, "updates": 12, "dropout": 0.0, "learning_rate": 0.03, "seed": 1}
TEXT = "the cat sat on the mat and the dog sat on the rug.\n" * 40


def of_texts(**options):
    rows = made.texts(60)
    return ostinato.SequenceClassifier(**{**SMALL, "embedding": 8, **options}).fit(rows.inputs, rows.targets)


def of_labels():
    rows = made.labelled(60)
    return ostinato.SequenceClassifier(**SMALL, embedding=8).fit(rows.inputs, rows.targets)


def of_series(**options):
    rows = made.series(60, missing=True)
    return ostinato.SequenceClassifier(**SMALL, **options).fit(rows.inputs, rows.targets)


def of_numbers():
    rows = made.numbers(60)
    return ostinato.SequenceRegressor(**SMALL, cell="mgu").fit(rows.inputs, rows.targets)


def of_tags(**options):
    rows = made.sentences(60)
    return ostinato.SequenceTagger(**SMALL, embedding=8, **options).fit(rows.inputs, rows.targets)


def of_forecasts(log=False, horizon=6, **options):
    steps = np.arange(96)
    values = 10 + 3 * np.sin(2 * np.pi * steps / 12) + np.random.default_rng(0).normal(size=96) + 0.1 * steps
    frame = pandas.DataFrame({"unique_id": "a", "ds": steps, "y": np.exp(values / 5) if log else values})
    scale = "log" if log else "none"
    return ostinato.Forecaster(horizon=horizon, scale=scale, hidden=8, updates=12, seed=1, **options).fit(frame)


def of_language(**options):
    return ostinato.LanguageModel(**SMALL, embedding=8, **options).fit(TEXT)


def of_items(kind="given", **options):
    rows = letters(60, kind=kind)
    given = [row[0] for row in rows.inputs] if kind == "given" else np.stack(rows.inputs)
    return ostinato.LanguageModel(**SMALL, embedding=8, **options).fit(rows.targets, given)


def of_gaps(**options):
    return ostinato.TextFiller(**{**SMALL, "embedding": 8, "unit": "char", **options}).fit(TEXT)


def of_transcripts(made_rows=codes, **options):
    rows = made_rows(80)
    return ostinato.Transcriber(**SMALL, beam=1, **options).fit(rows.inputs, rows.targets)


def of_translations(**options):
    texts = strings(80, letters="abcd", longest=4)
    targets = [text.upper() for text in texts]
    return ostinato.Translator(**SMALL, embedding=8, beam=1, **options).fit(texts, targets)


def of_music(**options):
    return ostinato.MusicModel(**SMALL, **options).fit(periodic(16).inputs)


def class_said(model, said):
    asked = said.get("text", said.get("series"))
    return model.predict([asked])[0]


def labels_said(model, said):
    return list(class_said(model, said))


def number_said(model, said):
    return near(model.predict([said["series"]])[0])


def tags_said(model, said):
    return model.predict([said["words"]])[0]


def forecast_said(model, said):
    """[H, K, Q] of the values that the program has, which are those of no training row."""
    task, shape = model.task_, model.task_.scaling.shape
    values = np.concatenate([said["values"], np.full((shape.horizon, shape.series), np.nan)])
    none = np.zeros((len(values), 0))
    series = Series("a", np.arange(len(values)), values, none, none)
    window = Window(series, shape.length, shape.length, shape.horizon)
    encoded = type("Rows", (), {"rows": [window]})()
    batch = task.batch(encoded, [0])
    return near(task.decode(model.network_(batch.x, batch.lengths), batch).quantiles[0])


def near(values):
    """Within 1e-4 of the largest: the program of README.txt computes in float64 what is around the network."""
    return pytest.approx(values, rel=1e-4, abs=1e-4 * float(np.abs(values).max()))


def text_said(model, said):
    return model.generate(prompt=said["text"], length=20, temperature=0)[0]


def entries_said(model, said):
    """The most probable entries after the first three, by the whole network on all of them each time."""
    entries = [1, 2, 3]
    for _ in range(20):
        with torch.no_grad():
            scores = model.network_({"units": torch.tensor(entries)[:, None]})[-1, 0]
        entries.append(int(scores[1:].argmax()) + 1)
    return entries


def item_said(model, said):
    conditions = model.task_.conditions
    given = [values[0] for values in conditions.values] if conditions.scaling is None else conditions.scaling.mean
    return model.generate(given=dict(zip(conditions.columns, map(str, given))), temperature=0, length=59)[0]


def gap_said(model, said):
    pieces = model.task_.units.pieces(model.task_.units.encode(said["text"]))
    gap = said["gap"]
    space = pieces[gap][:1] if pieces[gap].startswith(" ") else ""
    return model.fill("".join([*pieces[:gap], space, "___", *pieces[gap + 1 :]]), 1)[0][0][0]


def transcript_said(model, said):
    return model.predict([said.get("text", said.get("units", said.get("series")))])[0]


def translation_said(model, said):
    return model.predict([said["text"]], beam=1)[0]


def music_said(model, said):
    return [[model.task_.keys[k] for k in np.flatnonzero(frame)] for frame in model.generate(8, temperature=0)]


EVERY = {
    "classify": (of_texts, class_said),
    "regress": (of_numbers, number_said),
    "tag": (of_tags, tags_said),
    "forecast": (of_forecasts, forecast_said),
    "language-model": (of_language, text_said),
    "generate": (of_items, item_said),
    "fill": (of_gaps, gap_said),
    "transcribe": (of_transcripts, transcript_said),
    "translate": (of_translations, translation_said),
    "music": (of_music, music_said),
}
"""Task → (a model of it, what that model answers)."""
MORE = {
    "labels of texts": (of_labels, labels_said),
    "characters": (lambda: of_texts(unit="char", lowercase=True), class_said),
    "series with flags, one direction": (lambda: of_series(both_directions=False), class_said),
    "tags of lowercase words, one direction": (lambda: of_tags(lowercase=True, both_directions=False), tags_said),
    "forecasts of logarithms": (lambda: of_forecasts(log=True, cell="lstm"), forecast_said),
    "two layers with a learned start": (
        lambda: of_language(layers=2, cell="lstm", options={"learn_initial_state": True}), text_said,
    ),
    "words": (lambda: of_language(unit="word", cell="mgu"), text_said),
    "parts of words": (lambda: of_language(unit="bpe:300"), entries_said),
    "items of numbers": (lambda: of_items("features"), item_said),
    "transcripts as they come": (lambda: of_transcripts(both_directions=False, layers=2), transcript_said),
    "transcripts of symbols": (lambda: of_transcripts(keys), transcript_said),
    "translation without attention": (
        lambda: of_translations(attention="none", cell="lstm", layers=2), translation_said,
    ),
    "translation by products": (lambda: of_translations(attention="multiplicative"), translation_said),
    "keys apart": (lambda: of_music(chords="apart"), music_said),
}  # fmt: skip
"""The same of options that make other files."""
