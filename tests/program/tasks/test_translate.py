"""The task of translation: what it learns, its rows, losses and files, and that no other row changes any of them."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.task import IGNORED
from ostinato.program.tasks.translating import attention, pair_units, translate
from ostinato.program.tasks.translating.pair_units import PairUnits
from ostinato.program.tasks.translating.scores import Read, Scores
from ostinato.program.tasks.translating.search import Output, search
from ostinato.program.tasks.translating.translate import Translate
from ostinato.program.training.evaluate import predict
from program.tasks.made_pairs import backwards, in_order, strings, trained

NETWORK = NetworkOptions(hidden=6, embedding=5, dropout=0.0)
KINDS = ("additive", "multiplicative", "none")


def pairs(sources, targets):
    return Examples("text", sources, "translation", targets, ("en",), "fr")


def share(task, network, examples):
    """Of the texts that are translated as their targets have them; by a beam, without being shown the targets."""
    bare = dataclasses.replace(examples, targets=None)
    values = predict(task, network, task.encode(bare))[0].values
    return np.mean([a == b for a, b in zip(values, examples.targets)])


def made(kind="additive", cell="gru", layers=1, unit="char", count=40):
    """(task, network, examples) before any training."""
    texts = strings(count, seed=3)
    examples = pairs(texts, [text[::2] + "x" for text in texts])
    options = dataclasses.replace(NETWORK, attention=kind, cell=cell, layers=layers, unit=unit)
    task = Translate.encode_from(examples, options)
    torch.manual_seed(1)
    return task, task.network(options), examples


@pytest.fixture(scope="module")
def reversing():
    texts = strings(2300)
    train, valid, test = (backwards(texts[a:b]) for a, b in ((0, 2000), (2000, 2060), (2060, 2300)))
    return *trained(train, valid, 300, threads=1), test


def test_strings_are_reversed_to_the_last_held_out_one(reversing):
    task, network, _, test = reversing
    assert share(task, network, test) == 1.0


def test_the_alignment_of_a_reversed_string_runs_from_the_end_to_the_beginning(reversing):
    task, network, _, _ = reversing
    said = predict(task, network, task.encode(backwards(["abcdefg", "hgf"])))[0]
    assert said.values == ["gfedcba", "fgh"]
    assert [a.shape for a in said.alignments] == [(7, 7), (3, 3)]
    for weights in said.alignments:
        np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-5)
        assert weights.argmax(1).tolist() == list(range(len(weights)))[::-1]


@pytest.mark.slow
def test_digits_are_sorted_in_every_held_out_string():
    texts = strings(6500, letters="0123456789", longest=6)
    train, valid, test = (in_order(texts[a:b]) for a, b in ((0, 6000), (6000, 6200), (6200, 6500)))
    task, network, _ = trained(train, valid, 500, threads=1, batch=128, hidden=96, dropout=0.1)
    assert share(task, network, test) == 1.0


def test_a_target_is_read_after_the_mark_and_ends_with_it():
    examples = pairs(["ab", "b"], ["xy", "y"])
    task = Translate.encode_from(examples, NETWORK)
    y, x = (task.units.target.encode(c)[0] for c in "yx")
    batch = task.batch(task.encode(examples), [0, 1])
    assert batch.x["units"].T.tolist() == [[task.mark, x, y], [task.mark, y, task.mark]]
    assert batch.target.T.tolist() == [[x, y, task.mark], [y, task.mark, IGNORED]]
    assert batch.lengths.tolist() == [2, 1] and batch.x["steps"].tolist() == [3, 2] and batch.weight == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("cell", "layers"), [("gru", 1), ("lstm", 2), ("lstm_projected", 1)])
def test_the_loss_and_gradient_of_a_batch_are_the_weighted_means_of_single_rows(kind, cell, layers):
    task, network, examples = made(kind, cell, layers)
    encoded = task.encode(examples)
    rows = [0, 3, 5, 9]

    def of(rows):
        network.zero_grad()
        batch = task.batch(encoded, rows)
        loss = task.loss(network(batch.x, batch.lengths), batch)
        loss.backward()
        return float(loss.detach()) * batch.weight, torch.cat(
            [p.grad.flatten() for p in network.parameters()]
        ) * batch.weight

    loss, gradient = of(rows)
    single = [of([row]) for row in rows]
    assert loss == pytest.approx(sum(value for value, _ in single), rel=1e-5)
    torch.testing.assert_close(gradient, sum(g for _, g in single), rtol=1e-3, atol=1e-4)
    assert gradient.abs().max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_padding_holds_changes_nothing(kind):
    task, network, examples = made(kind)
    batch = task.batch(task.encode(examples), [0, 1, 2, 3])
    loss = task.loss(network(batch.x, batch.lengths), batch)
    x = {name: t.clone() for name, t in batch.x.items()}
    x["source"][torch.arange(len(x["source"]))[:, None] >= batch.lengths] = 2
    x["units"][torch.arange(len(x["units"]))[:, None] >= x["steps"]] = 2
    assert torch.equal(loss, task.loss(network(x, batch.lengths), batch))


@pytest.mark.parametrize("most", [1 << 24, 8])
def test_the_nats_of_units_and_their_gradients_are_those_of_cross_entropy(most):
    torch.manual_seed(0)
    shapes = (3, 5, 4), (6, 4), (6,)
    read, weight, bias = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    target = torch.randint(6, (3, 5))
    target[2, 1:] = IGNORED
    scored = Read(read, Scores(weight, bias))
    scored.rows = most // 6
    nats = scored.nats(target)
    known = target.flatten() != IGNORED
    expected = torch.nn.functional.cross_entropy(
        (read @ weight.T + bias).flatten(0, 1)[known], target.flatten()[known], reduction="none"
    )
    torch.testing.assert_close(nats, expected)
    factors = torch.randn(len(nats), dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad(values @ factors, (read, weight, bias), retain_graph=True) for values in (nats, expected)
    )
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)


def test_additive_scores_in_pieces_have_the_same_gradient(monkeypatch):
    task, network, examples = made()
    batch = task.batch(task.encode(examples), list(range(8)))

    def gradient():
        network.zero_grad()
        task.loss(network(batch.x, batch.lengths), batch).backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    whole = gradient()
    monkeypatch.setattr(attention, "MOST_NUMBERS", 200)
    torch.testing.assert_close(gradient(), whole, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        pieces = task.loss(network(batch.x, batch.lengths), batch)
    monkeypatch.undo()
    torch.testing.assert_close(pieces, task.loss(network(batch.x, batch.lengths), batch), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_translations_and_losses_do_not_change_with_the_size_of_a_batch(kind, monkeypatch):
    task, network, examples = made(kind)
    network.eval()
    encoded = task.encode(examples)
    whole, loss = predict(task, network, encoded)
    monkeypatch.setattr(Translate, "rows_at_once", 3)
    parts, same = predict(task, network, encoded)
    assert parts.values == whole.values and same == pytest.approx(loss, rel=1e-5)
    assert (parts.alignments is None) == (kind == "none")
    if kind != "none":
        for a, b in zip(parts.alignments, whole.alignments):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_rows_of_one_source_are_searched_once(monkeypatch):
    task, network, _ = made()
    rows = []
    plain = pair_units.PairUnits.limit
    monkeypatch.setattr(PairUnits, "limit", lambda self, steps: rows.append(steps) or plain(self, steps))
    said = predict(task, network, task.encode(pairs(["ab", "c", "ab", "ab"], ["x", "y", "z", "x"])))[0].values
    assert sorted(rows) == [1, 2] and said[0] == said[2] == said[3]


def test_the_evaluations_of_a_fit_follow_one_hypothesis(monkeypatch):
    task, network, examples = made()
    batch = task.batch(task.encode(examples), [0, 1, 2])
    outputs = network.eval()(batch.x, batch.lengths)
    quick = task.answer(network, outputs, batch, True)
    assert quick.values == task.decode(outputs, batch).values and quick.alignments is None
    network.beam = 1
    assert task.answer(network, outputs, batch, False).values == quick.values


@pytest.mark.parametrize("unit", ["char", "word"])
def test_the_files_of_a_task_make_the_same_task(unit):
    task, network, examples = made(unit=unit)
    files = json.loads(json.dumps(task.to_json()))
    assert set(files) == {"vocabulary.json", "source_vocabulary.json", "lengths.json"}
    again = Translate.from_json(files)
    one, two = (predict(t, network.eval(), t.encode(examples)) for t in (task, again))
    assert one[0].values == two[0].values and one[1] == two[1]


def test_subword_units_have_files_of_their_own():
    texts = ["the cat sat", "the dog sat", "a cat ran"] * 5
    task = Translate.encode_from(pairs(texts, texts), dataclasses.replace(NETWORK, unit="bpe:300"))
    files = json.loads(json.dumps(task.to_json()))
    assert set(files) == {"tokenizer.json", "source_tokenizer.json", "lengths.json"}
    assert (
        Translate.from_json(files).units.target.encode("the cat").tolist()
        == task.units.target.encode("the cat").tolist()
    )
    assert task.part_notes(pairs(["zebra œ"], ["đ"]), "test") == []  # bytes spell everything


def test_units_are_characters_of_strings_words_of_sentences_and_parts_of_words_of_many(monkeypatch):
    def units(sources, targets):
        made = Translate.encode_from(pairs(sources, targets), NetworkOptions())
        return made.units.source.noun, made.units.target.noun, made.notes

    assert units(["abc", "de"], ["cba", "ed"])[:2] == ("character", "character")
    dates = ["the 2 of May", "the 3 of May"]
    assert units(dates, ["2020-05-02", "2020-05-03"]) == (
        "word", "character", ["Sources are read by 4 words, targets by 6 characters."],
    )  # fmt: skip
    monkeypatch.setattr(pair_units, "MANY_PAIRS", 2)
    monkeypatch.setattr(pair_units, "MANY_UNITS", "bpe:300")
    assert units(dates, dates)[:2] == ("sub-word unit", "sub-word unit")


def test_spaces_of_fixed_width_are_read_as_plain_ones():
    examples = pairs(["go on !"], ["va !"])
    task = Translate.encode_from(examples, dataclasses.replace(NETWORK, unit="char"))
    wide = task.encode(pairs(["go\u00a0on\u202f!"], ["va\u202f!"])).rows[0]
    plain = task.encode(examples).rows[0]
    assert all(a.tolist() == b.tolist() for a, b in zip(wide, plain))


def test_unknown_and_cut_units_of_both_sides_are_counted(monkeypatch):
    monkeypatch.setattr("ostinato.program.tasks.translating.translate.LONGEST", 3)
    task = Translate.encode_from(pairs(["ab", "b"], ["x", "xx"]), dataclasses.replace(NETWORK, unit="char"))
    rows = pairs(["abab", "zb"], ["xxx", "yxyxy"])
    assert task.part_notes(rows, "test") == [
        "1 source of test is cut after 3 characters.",
        "1 character of 6 in the sources of test is not in the vocabulary.",
        "1 target of test is cut after 3 characters.",
        "3 characters of 8 in the targets of test are not in the vocabulary.",
    ]
    encoded = task.encode(rows)
    assert encoded.lengths.tolist() == [3, 2] and encoded.training.lengths.tolist() == [7, 5]
    assert encoded.rows[0][1][-1] == task.mark and encoded.rows[1][1][-1] != task.mark
    assert task.part_notes(pairs(["ab"], None), "these rows") == []


def test_words_that_occur_once_teach_the_unknown_entry_and_no_translation_has_one():
    task = Translate.encode_from(pairs(["a b c"] * 2 + ["d e f"], ["u v w"] * 2 + ["x y z"]), NETWORK)
    assert task.units.source.entries == (" b", " c", "a") and task.units.target.entries == (" v", " w", "u")
    network = task.network(NETWORK).eval()
    with torch.no_grad():
        network.bias[0] = 50.0  # the unknown entry
    assert "\ufffd" not in predict(task, network, task.encode(pairs(["a b"], ["u"])))[0].values[0]


def test_an_empty_source_has_a_translation():
    task, network, _ = made()
    said = predict(task, network.eval(), task.encode(pairs(["", "ab"], None)))[0]
    assert isinstance(said.values[0], str) and said.alignments[0].shape[1] == 1
    assert task.source_pieces("") == [""] and task.source_pieces("ab") == ["a", "b"] and task.pieces("ax") == ["a", "x"]


def test_an_output_is_at_most_about_twice_as_long_as_is_usual():
    units = PairUnits.of(["abc", "a"], ["abcabc", "ab"], dataclasses.replace(NETWORK, unit="char"))
    assert (units.per_unit, units.mean) == (2.0, 4.0)
    assert (units.limit(1), units.limit(10)) == (18, 50)


def test_training_rows_without_targets_are_refused():
    with pytest.raises(InputError) as error:
        Translate.encode_from(pairs(["a"], None), NETWORK)
    assert str(error.value) == (
        "translate: the training rows must be rows with targets, got rows without targets. Give rows with their "
        "targets."
    )


def test_one_and_two_threads_train_the_same_bits():
    texts = strings(60)
    hashes = {trained(backwards(texts), backwards(texts), 12, threads=k, dropout=0.2)[2].sha256 for k in (1, 2)}
    assert len(hashes) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_whose_scores_are_too_many_is_searched_in_parts_and_the_same_is_found(kind, monkeypatch):
    task, network, examples = made(kind)
    with torch.no_grad():
        network.bias[task.mark] = -2.0
    bare = dataclasses.replace(examples, targets=None)
    whole, sizes = predict(task, network, task.encode(bare))[0], []
    monkeypatch.setattr(translate, "MOST_SCORES", 7 * 5 * len(task.units.target))
    monkeypatch.setattr(translate, "search", lambda *given: sizes.append(len(given[1])) or search(*given))
    found = predict(task, network, task.encode(bare))[0]
    assert max(sizes) <= 7 < sum(sizes) and found.values == whole.values and len(set(whole.values)) > 1
    for one, other in zip(found.alignments or (), whole.alignments or ()):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_translation_has_no_space_before_its_first_word(monkeypatch):
    examples = pairs(["one two", "two one"] * 20, ["un deux oui", "deux un oui"] * 20)
    task = Translate.encode_from(examples, dataclasses.replace(NETWORK, unit="word"))
    network = task.network(NETWORK)
    spaced = task.units.target.entries.index(" oui") + 1
    monkeypatch.setattr(translate, "search", lambda reader, limits, how: [Output([spaced], 0.0, True) for _ in limits])
    assert set(predict(task, network, task.encode(examples))[0].values) == {"oui"}
    batch = task.batch(task.encode(examples), [0, 1])
    assert task.decode(network(batch.x, batch.lengths), batch).values == ["oui"] * len(batch.lengths)
