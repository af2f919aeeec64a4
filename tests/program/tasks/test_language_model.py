"""Language models: known entropy, contexts that no batch changes, metrics by hand, streams, baselines."""

import math

import numpy as np
import pytest
import torch

from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.data.text.files import of_strings, whole_text
from ostinato.program.options import DataOptions, FitOptions, NetworkOptions
from ostinato.program.tasks.baselines.texts import FixedWindow, NGram, Unigram
from ostinato.program.tasks.task import Predictions
from ostinato.program.tasks.texts.language_model import LanguageModel
from ostinato.program.tasks.texts.passage_units import CONTEXT, PassageUnits, context_of
from ostinato.program.tasks.texts.units import TextUnits
from ostinato.program.training.evaluate import predict
from ostinato.program.training.fit import Part, fit
from ostinato.program.training.seeds import new_network

SMALL = NetworkOptions(cell="lstm", hidden=16, embedding=8, both_directions=False, dropout=0.1)
CHAIN = np.array([[0.0, 0.8, 0.1, 0.1], [0.1, 0.0, 0.8, 0.1], [0.1, 0.1, 0.0, 0.8], [0.8, 0.1, 0.1, 0.0]])
"""p(next | last) of four letters: 0.639 nats for each after its predecessor; alone, all are equally frequent: 1.386."""
ENTROPY = -(0.8 * math.log(0.8) + 0.2 * math.log(0.1))


def chain(count, seed):
    """A text drawn from `CHAIN`."""
    draw, state, letters = np.random.default_rng(seed), 0, []
    for number in draw.random(count):
        state = int(np.searchsorted(CHAIN[state].cumsum(), number, "right"))
        letters.append("abcd"[min(state, 3)])
    return "".join(letters)


def parts_of(texts, **named):
    examples = of_strings(texts, DataOptions(**named))
    rows = {name: [k for k, p in enumerate(examples.parts) if p == name] for name in ("train", "valid", "test")}
    return tuple(examples.take(rows[name]) for name in ("train", "valid", "test"))


def trained(texts, updates, options=SMALL, **named):
    train, valid, test = parts_of(texts)
    task = LanguageModel.encode_from(train, options)
    network = new_network(task, options, 0)
    chosen = FitOptions(**{"updates": updates, "batch": 16, "k1": 32, "learning_rate": 0.01, **named})
    found = fit(task, network, Part(train, task.encode(train)), Part(valid, task.encode(valid)), chosen)
    return task, network, train, test, found


def test_a_text_of_known_entropy_needs_as_many_nats():
    task, network, train, test, _ = trained([chain(40_000, 0)], 250)
    found, _ = predict(task, network, task.encode(test))
    nats = task.score(test, found)
    # What the drawn test text itself has, which differs from the rate by chance.
    text = "".join(passage.text for passage in test.inputs)
    steps = list(zip(text, text[1:]))
    drawn = -np.mean([math.log(CHAIN["abcd".index(a), "abcd".index(b)]) for a, b in steps])
    assert drawn == pytest.approx(ENTROPY, rel=0.05)
    assert drawn - 0.005 < nats < 1.03 * drawn
    counted = NGram(task.units, 3).fit(train)
    assert counted.order == 1
    assert drawn - 0.005 < task.score(test, counted.predict(test)) < 1.02 * drawn
    alone = task.score(test, Unigram(task.units).fit(train).predict(test))
    assert alone == pytest.approx(math.log(4), abs=0.01)
    assert 0.6 < task.gain(test, found, Unigram(task.units).fit(train).predict(test)).low < alone - drawn


def test_a_window_learns_a_chain_too(monkeypatch):
    monkeypatch.setattr("ostinato.program.tasks.baselines.texts.UPDATES", 300)
    train, _, test = parts_of([chain(20_000, 1)])
    task = LanguageModel.encode_from(train, SMALL)
    window = FixedWindow(task.units).fit(train)
    assert window.note == ""
    assert task.score(test, window.predict(test)) < 1.1 * ENTROPY


def test_a_unit_that_the_joint_of_documents_would_tell_is_not_predicted_from_it():
    """Each document is one letter; within one the next letter is certain, and a joint never joins the same letters."""
    texts = [letter * 400 for letter in "abcdefgh"]
    train = of_strings(texts, DataOptions(valid_share=0.01, test_share=0.01))
    task = LanguageModel.encode_from(train, SMALL)
    stream = task.encode(train).streams
    ends = {int(b) for b in stream.begins}
    assert {400 * k for k in range(1, 7)} < ends
    begins = [row for row, passage in zip(task.encode(train).rows, train.inputs) if passage.start == passage.begin]
    # A document is read after a line break, which no training text has: the unknown entry.
    assert all(row.before.tolist() == [0] for row in begins)


def test_passages_of_one_part_give_the_units_of_the_whole_text():
    text = "".join(f"line {n} of the book, which goes on\n" for n in range(300))
    for unit in ("char", "word", "bpe:300"):
        units = TextUnits.of([text], NetworkOptions(unit=unit))
        passages = whole_text(text).inputs
        found = PassageUnits(units, in_memory=100).encoded(passages)
        assert isinstance(found.stream.units, np.memmap)
        assert found.stream.units.tolist() == units.encode(text).tolist() and found.stream.begins.tolist() == [0]
        assert [row.own.tolist() for row in found.rows] == [units.encode(p.text).tolist() for p in passages]
        # The context is the same whether the passages before it are encoded beside it or not.
        alone = PassageUnits(units).encoded([passages[2]]).rows[0]
        assert alone.before.tolist() == found.rows[2].before.tolist() and len(alone.before) == CONTEXT
        assert context_of(passages[0], units).tolist() == units.encode("\n").tolist()


@pytest.mark.parametrize("unit", ["char", "word"])
def test_batches_of_other_passages_change_no_number(unit):
    text = "".join(f"line {n} of the book, which goes on and on\n" for n in range(300))
    task = LanguageModel.encode_from(whole_text_with_targets(text), NetworkOptions(unit=unit))
    network = new_network(task, NetworkOptions(**{**vars(SMALL), "unit": unit}), 0)
    examples = whole_text_with_targets(text)
    together, loss = predict(task, network, task.encode(examples))
    for row in range(len(examples)):
        alone, _ = predict(task, network, task.encode(examples.take([row])))
        np.testing.assert_allclose(alone.values[0], together.values[row], rtol=1e-4, atol=1e-5)
    assert loss == pytest.approx(task.score(examples, together), rel=1e-5)
    assert sum(map(len, together.values)) == len(task.units.encode(text))


def whole_text_with_targets(text):
    found = whole_text(text)
    return Examples("passage", found.inputs, "text", found.inputs)


def test_nats_bits_and_perplexity_are_those_that_a_hand_computes():
    examples = whole_text_with_targets("né\n")
    task = LanguageModel.encode_from(examples, SMALL)
    found = {m.name: m.value for m in task.metrics(examples, Predictions([np.array([1.0, 2.0, 0.5])]))}
    assert list(found) == ["nats_per_character", "bits_per_character", "bits_per_byte", "perplexity_per_character"]
    assert found["nats_per_character"] == pytest.approx(3.5 / 3)
    assert found["bits_per_character"] == pytest.approx(3.5 / 3 / math.log(2))
    assert found["bits_per_byte"] == pytest.approx(3.5 / 4 / math.log(2))
    assert found["perplexity_per_character"] == pytest.approx(math.exp(3.5 / 3))
    details = task.details(examples, Predictions([np.array([1.0, 2.0, 0.5])]))
    assert (details["units"], details["characters"], details["bytes"], details["unknown_units"]) == (3, 3, 4, 0)
    assert details["by_position"] == {"0 to 9": {"units": 3, "nats_per_character": pytest.approx(3.5 / 3)}}


def test_the_name_of_the_metric_says_the_unit():
    text = whole_text_with_targets("one two three\n" * 30)
    named = {unit: LanguageModel.encode_from(text, NetworkOptions(unit=unit)).metric for unit in ("word", "bpe:300")}
    assert named == {"word": "nats_per_word", "bpe:300": "nats_per_sub_word_unit"}


@pytest.mark.parametrize("unit", ["char", "word", "bpe:300"])
def test_the_files_of_a_task_give_it_back(unit):
    text = whole_text_with_targets("one two three\n" * 30)
    task = LanguageModel.encode_from(text, NetworkOptions(unit=unit))
    again = LanguageModel.from_json(task.to_json())
    assert again.metric == task.metric and len(again.units) == len(task.units)
    a, b = (t.encode(text).streams.units.tolist() for t in (task, again))
    assert a == b


def test_one_and_two_threads_give_the_same_bits():
    hashes = set()
    for threads in (1, 2):
        hashes.add(trained([chain(6_000, 3)], 12, threads=threads)[-1].sha256)
    assert len(hashes) == 1


def test_gradients_that_reach_further_back_give_other_weights():
    assert trained([chain(6_000, 3)], 6, k2=64)[-1].sha256 != trained([chain(6_000, 3)], 6)[-1].sha256


def test_rows_that_are_no_passages_are_refused():
    with pytest.raises(InputError) as error:
        LanguageModel.encode_from(Examples("text", ["a"], "class", ["b"]), SMALL)
    assert str(error.value) == (
        "language model: the training rows must be passages of a text, got text. Give .txt files."
    )


def test_a_large_vocabulary_makes_batches_and_windows_smaller(monkeypatch):
    task = LanguageModel(TextUnits("word", False, tuple(f"w{n}" for n in range(20_000))))
    assert task.rows_at_once == 1 and LanguageModel(TextUnits("char", False, ("a",))).rows_at_once == 64
    monkeypatch.setattr("ostinato.program.tasks.baselines.texts.PRODUCTS", 1e9)
    train, _, _ = parts_of([chain(3_000, 1)])
    window = FixedWindow(LanguageModel.encode_from(train, SMALL).units).fit(train)
    assert window.note == "19 updates instead of 2,000, for its 5 entries."


def test_a_text_that_is_longer_than_a_baseline_reads_is_said(monkeypatch):
    monkeypatch.setattr("ostinato.program.tasks.baselines.texts.MOST_UNITS", 500)
    train, _, _ = parts_of([chain(3_000, 1)])
    units = LanguageModel.encode_from(train, SMALL).units
    assert Unigram(units).fit(train).note == "Fitted on the first 500 of 2,400 training units."


def test_dropout_and_draws_of_others_are_left_alone_by_the_window(monkeypatch):
    monkeypatch.setattr("ostinato.program.tasks.baselines.texts.UPDATES", 3)
    train, _, _ = parts_of([chain(3_000, 1)])
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    FixedWindow(LanguageModel.encode_from(train, SMALL).units).fit(train)
    assert torch.equal(torch.rand(1), expected)
