"""The tasks: shapes, padding, losses, round trips, and a small rule that each learns."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ostinato.cells import catalogue
from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.tasks.classify import Classify
from ostinato.program.tasks.registry import TASKS, task_named
from ostinato.program.tasks.regress import Regress
from ostinato.program.tasks.tag import Tag
from ostinato.program.training.threads import torch_on_one_thread
from program.tasks.made import SMALL, labelled, learn, numbers, ordered, predict, sentences, series, texts
from tolerance import check

KINDS = {
    "text": (Classify, texts),
    "series": (Classify, lambda: series(missing=True)),
    "labels": (Classify, labelled),
    "number": (Regress, numbers),
    "tags": (Tag, sentences),
}


def started(kind, options=SMALL):
    task_class, make = KINDS[kind]
    train = make()
    task = task_class.encode_from(train, options)
    torch.manual_seed(0)
    return task, task.network(options), train


@pytest.mark.parametrize("cell", ["gru", "lstm", "minlstm", "lstm_projected"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_unequal_rows_gives_what_the_rows_give_one_by_one(kind, cell):
    task, network, train = started(kind, replace(SMALL, cell=cell, layers=2))
    network.eval()
    encoded = task.encode(train)
    rows = [0, 1, 2, 5, 7]
    whole = task.batch(encoded, rows)
    together = network(whole.x, whole.lengths)
    for b, row in enumerate(rows):
        alone = task.batch(encoded, [row])
        found = network(alone.x, alone.lengths)
        expected = together[: found.shape[0], b : b + 1] if kind == "tags" else together[b : b + 1]
        check("outputs", {"outputs": found}, {"outputs": expected}, row)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_past_a_rows_end_changes_no_bit(kind):
    task, network, train = started(kind)
    batch = task.batch(task.encode(train), range(6))
    inside = torch.arange(int(batch.lengths.max()))[:, None] < batch.lengths
    spoiled = dict(batch.x)
    for name in ("words", "which"):
        if name in spoiled:
            spoiled[name] = torch.where(inside, spoiled[name], 1)
    if "x" in spoiled:
        spoiled["x"] = torch.where(inside[..., None], spoiled["x"], float("nan"))
    results = []
    for x in (batch.x, spoiled):
        network.zero_grad()
        network.eval()
        outputs = network(x, batch.lengths)
        task.loss(outputs, batch).backward()
        kept = outputs.detach() * inside[..., None] if kind == "tags" else outputs.detach()
        gradients = [p.grad.clone() for name, p in network.named_parameters() if "embedding" not in name]
        results.append([kept, *gradients])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_updates_have_the_same_bits_twice_and_at_one_and_two_threads(kind):
    weights, options = [], replace(SMALL, dropout=0.3, hidden=33, layers=2)
    for count in (1, 1, 2):
        with torch_on_one_thread(count):
            task, _, train = started(kind, options)
            weights.append(learn(task, train, options, updates=4, batch=7).state_dict())
    for other in weights[1:]:
        assert all(torch.equal(value, other[name]) for name, value in weights[0].items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_that_comes_back_from_json_predicts_the_same(kind):
    task, network, train = started(kind)
    files = json.loads(json.dumps(task.to_json()))
    again = type(task).from_json(files)
    other = again.network(SMALL)
    other.load_state_dict(network.state_dict())
    rows = replace(train, targets=None)
    one, two = predict(task, network, rows), predict(again, other, rows)
    assert one.values == two.values and again.metric == task.metric and again.classes == task.classes
    assert again.to_json() == task.to_json()
    assert set(files) <= {"vocabulary.json", "labels.json", "scaling.json"}


@pytest.mark.parametrize(("kind", "updates"), [("text", 60), ("series", 60), ("labels", 80), ("tags", 100)])
def test_a_network_learns_a_small_rule_to_the_last_row(kind, updates):
    task, _, train = started(kind)
    network = learn(task, train, updates=updates)
    new = {"text": lambda: texts(seed=1), "tags": lambda: sentences(seed=1)}.get(kind, lambda: train)()
    found = predict(task, network, new)
    assert task.score(new, found) == 1.0
    metrics = task.metrics(new, found, seed=3)
    assert metrics[0].name == task.metric and metrics[0].value == metrics[0].high == 1.0
    assert 0.9 < metrics[0].low < 1.0  # of so few rows
    assert metrics[0].n == len(new)
    assert task.details(new, found)["by_class"]


def test_a_network_learns_an_order_of_which_the_bag_of_words_says_nothing():
    train, new = ordered(), ordered(60, seed=1)
    task = Classify.encode_from(train, SMALL)
    found = predict(task, learn(task, train, updates=150), new)
    assert task.score(new, found) == 1.0


def test_a_regression_learns_a_mean():
    train, new = numbers(120), numbers(40, seed=1)
    task = Regress.encode_from(train, SMALL)
    network = learn(task, train, updates=200)
    found = predict(task, network, new)
    assert task.score(new, found) < 0.25 * task.deviation
    assert [m.name for m in task.metrics(new, found)] == ["mae", "rmse", "r2"]
    constant = task.baselines()[0].fit(train).predict(new)
    gain = task.gain(new, found, constant)
    assert gain.name == "gain_mae" and gain.low > 0
    assert task.details(new, found)["error_quantiles"]["0.05"] < task.details(new, found)["error_quantiles"]["0.95"]


def test_losses_have_known_answers():
    classify, tag, regress = (started(kind)[0] for kind in ("text", "tags", "number"))
    rows = [0, 1, 2]
    batch = classify.batch(classify.encode(texts()), rows)
    assert classify.loss(torch.zeros(3, 2), batch).item() == pytest.approx(np.log(2))
    batch = tag.batch(tag.encode(sentences()), rows)
    flat = torch.zeros(int(batch.lengths.max()), 3, len(tag.classes))
    assert tag.loss(flat, batch).item() == pytest.approx(np.log(len(tag.classes)))
    assert batch.weight == int(batch.lengths.sum())
    batch = regress.batch(regress.encode(numbers()), rows)
    assert regress.loss(batch.target[:, None] + 2, batch).item() == pytest.approx(4)
    several = started("labels")[0]
    batch = several.batch(several.encode(labelled()), rows)
    assert several.loss(torch.zeros(3, 3), batch).item() == pytest.approx(3 * np.log(2))


def test_balanced_weights_make_all_classes_count_alike():
    rows = replace(texts(4), targets=["yes", "no", "no", "no"])
    task = Classify.encode_from(rows, SMALL)
    task.balance(rows)
    assert task.class_weights.tolist() == pytest.approx([4 / 6, 2])
    batch = task.batch(task.encode(rows), range(4))
    assert task.loss(torch.zeros(4, 2), batch).item() == pytest.approx(np.log(2))
    rows = replace(rows, target_kind="labels", targets=[("a",), ("a",), ("a",), ("b",)])
    several = Classify.encode_from(rows, SMALL)
    several.balance(rows)
    assert several.class_weights.tolist() == pytest.approx([1 / 3, 3])
    rows = Examples("tokens", [["a", "b", "a", "a"]], "tags", [["x", "y", "x", "x"]])
    tag = Tag.encode_from(rows, SMALL)
    tag.balance(rows)
    assert tag.class_weights.tolist() == pytest.approx([4 / 6, 2])


def test_the_metric_is_macro_f1_where_the_largest_class_is_more_than_twice_the_median():
    rows = texts(9)
    even = Classify.encode_from(replace(rows, targets=list("aabbbcccc")), SMALL)
    uneven = Classify.encode_from(replace(rows, targets=list("aabbccccc")), SMALL)
    assert (even.metric, uneven.metric) == ("accuracy", "macro_f1")
    assert Tag.encode_from(Examples("tokens", [["a", "b"]], "tags", [["B-X", "O"]]), SMALL).metric == "span_f1"


def test_classes_that_training_rows_lack_add_nothing_to_the_loss():
    task, network, train = started("text")
    rows = replace(train.take([0, 1]), targets=["new", "new"])
    batch = task.batch(task.encode(rows), range(2))
    assert task.loss(network(batch.x, batch.lengths), batch).item() == 0
    assert task.score(rows, predict(task, network, rows)) == 0


def test_features_are_a_series_of_one_step_and_empty_texts_a_row_of_none():
    draw = np.random.default_rng(0)
    rows = Examples("features", list(draw.normal(size=(20, 3))), "class", ["a", "b"] * 10)
    task = Classify.encode_from(rows, SMALL)
    encoded = task.encode(rows)
    assert set(encoded.lengths.tolist()) == {1} and task.batch(encoded, [0, 1]).x["x"].shape == (1, 2, 3)
    task, network, _ = started("text")
    empty = Examples("text", ["", ""], "class", ["yes", "no"])
    assert np.isfinite(predict(task, network, empty).probabilities).all()


def test_a_cell_by_its_canonical_text_and_options_of_the_layers_reach_the_network():
    options = replace(SMALL, cell=catalogue()["lstm"].text, options={"zoneout": 0.1}, both_directions=False)
    _, network, _ = started("text", options)
    assert network.layers.cell.name.startswith("lstm") and network.layers.options.zoneout == 0.1
    assert not network.layers.bidirectional


def test_the_registry_names_the_tasks():
    assert {name: made.name for name, made in TASKS.items()} == {name: name for name in TASKS}
    assert task_named("tag") is Tag
    with pytest.raises(InputError, match="--task: the task must be one of .*Did you mean 'classify'"):
        task_named("clasify")


@pytest.mark.parametrize(
    ("task_class", "train", "message"),
    [
        (Classify, replace(texts(4), targets=["a"] * 4), "of at least two classes, got only 'a'. There is nothing"),
        (Classify, replace(texts(4), targets=None), "the training rows must be rows with targets, got rows without"),
        (Classify, texts(4).take([]), "rows with targets, got no rows. Give rows with their targets"),
        (Classify, replace(labelled(4), targets=[()] * 4), "the training rows must be labels, got none"),
        (Regress, replace(numbers(4), targets=[1.0, 2.0, 3.0, float("nan")]), "finite numbers, got NaN or infinity"),
        (Tag, Examples("tokens", [["a"]], "tags", [["x", "y"]]), "tags of sentence 0 must be 1, one for each token"),
        (Tag, Examples("tokens", [["a"]], "tags", [["x"]]), "of at least two kinds, got only 'x'. There is nothing"),
        (Tag, Examples("text", ["a"], "tags", [["x"]]), "the rows must be tokens with tags, got text. Give a list"),
    ],
)
def test_rows_that_no_task_can_learn_from_are_refused(task_class, train, message):
    with pytest.raises(InputError, match=message):
        task_class.encode_from(train, SMALL)


def test_metrics_without_targets_or_of_other_rows_are_refused():
    task, network, train = started("text")
    found = predict(task, network, train)
    with pytest.raises(InputError, match="the rows must be rows with targets, got rows without. Metrics need"):
        task.metrics(replace(train, targets=None), found)
    with pytest.raises(InputError, match="the predictions must be 2, one for each row, got 60. Predict the rows"):
        task.metrics(train.take([0, 1]), found)
