"""`ostinato stream` of series: each step is answered as `ostinato predict` answers the series up to it."""

import json

import numpy as np
import pytest

from program import made_files as made
from program.commands import ostinato
from program.streaming.lines import SMALL, lines_of, sequences


def test_the_last_step_of_a_series_has_the_class_that_predict_gives(series):
    given = sequences(series)
    typed = "".join(lines_of(steps) + "\n" for steps in given)
    ended = ostinato(series, "stream", "model", typed=typed)
    assert ended.status == 0 and ended.err == ""
    answers = ended.out.splitlines()
    lengths = [len(steps) for steps in given]
    assert len(answers) == sum(lengths) and len(set(lengths)) > 1
    whole = ostinato(series, "predict", "model", "-", typed="".join(json.dumps(s) + "\n" for s in given))
    assert [answers[end - 1] for end in np.cumsum(lengths)] == whole.out.splitlines()


def test_every_step_has_the_class_of_the_series_up_to_it(series):
    (steps,) = sequences(series, 1)
    answers = ostinato(series, "stream", "model", typed=lines_of(steps)).out.splitlines()
    parts = "".join(json.dumps(steps[: k + 1]) + "\n" for k in range(len(steps)))
    assert answers == ostinato(series, "predict", "model", "-", typed=parts).out.splitlines()


def test_columns_come_in_the_order_of_a_first_line_and_as_json(series):
    (steps,) = sequences(series, 1)
    expected = ostinato(series, "stream", "model", typed=lines_of(steps)).out
    turned = "time;right;left\n" + "".join(f"7;{right};{left}\n" for left, right in steps)
    assert ostinato(series, "stream", "model", typed=turned).out == expected
    objects = "".join(json.dumps({"right": right, "left": left}) + "\n" for left, right in steps)
    assert ostinato(series, "stream", "model", typed=objects).out == expected
    spaced = "".join(f"{left} {right}\n" for left, right in steps)
    assert ostinato(series, "stream", "model", typed=spaced).out == expected


def test_ids_keep_sequences_apart_in_any_order(series):
    one, two = sequences(series, 2)
    alone = [ostinato(series, "stream", "model", typed=lines_of(s)).out.splitlines() for s in (one, two)]
    order = [("a", s) for s in one] + [("b", s) for s in two]
    order.sort(key=lambda pair: repr(pair[1]))
    places = {"a": [k for n, k in order if n == "a"], "b": [k for n, k in order if n == "b"]}
    shuffled = [ostinato(series, "stream", "model", typed=lines_of(places[n])).out.splitlines() for n in "ab"]
    typed = "".join(f"{name}\t{left},{right}\n" for name, (left, right) in order)
    found = ostinato(series, "stream", "model", "--ids", typed=typed).out.splitlines()
    assert [a.partition("\t")[2] for a in found if a.startswith("a\t")] == shuffled[0]
    assert [a.partition("\t")[2] for a in found if a.startswith("b\t")] == shuffled[1]
    # An id with nothing behind it begins its sequence anew, and no other.
    typed = "".join(f"a,{x},{y}\n" for x, y in two) + "".join(f"b,{x},{y}\n" for x, y in two[:1]) + "a,\n"
    typed += "".join(f"a,{x},{y}\n" for x, y in one) + "".join(f"b,{x},{y}\n" for x, y in two[1:])
    found = ostinato(series, "stream", "model", "--ids", typed=typed).out.splitlines()
    assert [a.partition("\t")[2] for a in found if a.startswith("a\t")] == [*alone[1], *alone[0]]
    assert [a.partition("\t")[2] for a in found if a.startswith("b\t")] == alone[1]


def test_json_has_the_line_the_id_and_the_probability_of_every_class(series):
    ended = ostinato(series, "stream", "model", "--ids", "--json", typed="s1\t0.5,0.25\n\ns1\tx,1\ns1\t0.5,NA\n")
    first, second = map(json.loads, ended.out.splitlines())
    assert (first["line"], first["id"], second["line"]) == (1, "s1", 4)
    assert set(first["probabilities"]) == {"off", "on"} and sum(first["probabilities"].values()) == pytest.approx(1)
    assert first["prediction"] == max(first["probabilities"], key=first["probabilities"].get)
    assert ended.status == 2 and len(ended.err.splitlines()) == 2


def test_a_stream_goes_on_from_its_file_of_states(series):
    (steps,) = sequences(series, 1)
    whole = ostinato(series, "stream", "model", typed=lines_of(steps)).out
    parts = [
        ostinato(series, "stream", "model", "--state", "kept", typed=lines_of(part)).out
        for part in (steps[:2], [], steps[2:])
    ]
    assert "".join(parts) == whole
    ids = [f"{name}\t{line}\n" for line in lines_of(steps).splitlines() for name in "ab"]
    apart = [
        ostinato(series, "stream", "model", "--ids", "--state", "two", typed="".join(part)).out
        for part in (ids[:3], ids[3:])
    ]
    assert "".join(apart) == "".join(f"{n}\t{a}\n" for a in whole.splitlines() for n in "ab")


def test_numbers_of_series_are_those_of_predict(tmp_path):
    made.loads(tmp_path / "loads.npz")
    assert ostinato(tmp_path, "train", "loads.npz", "--updates", 20, *SMALL).status < 2
    steps = np.load(tmp_path / "loads.npz")["series"][0, :, 0].tolist()
    found = ostinato(tmp_path, "stream", "model", typed="".join(f"{s!r}\n" for s in steps)).out.splitlines()
    whole = ostinato(tmp_path, "predict", "model", "-", typed=json.dumps(steps) + "\n").out
    assert len(found) == 5 and float(found[-1]) == pytest.approx(float(whole), rel=1e-5)
