"""The benchmark on real data: its made files, the twin on torch.nn, and the page. No real data is read here."""

import gzip
import json

import pytest
import real_data
import real_task
import results
import results_page
import torch
import torch_twin
from torch import nn

import ostinato

NAMES = [("Russian", "Ivanov"), ("Russian", "Ivanov"), ("English", "Ivanov"), *(("Irish", f"O'{n}") for n in range(8))]


def test_names_are_distinct_pairs_and_no_name_is_in_both_parts(tmp_path):
    (tmp_path / "names").mkdir()
    with gzip.open(tmp_path / "names" / "names_by_nationality.tsv.gz", "wt", encoding="utf-8") as file:
        file.write("".join(f"{language}\t{name}\n" for language, name in NAMES))
    given = real_data.names(tmp_path, tmp_path)
    train, test = (path.read_text(encoding="utf-8").splitlines() for path in (given["paths"][0], given["test"]))
    assert sorted(train + test) == sorted({f"{language}\t{name}" for language, name in NAMES})
    parts = [{line.split("\t")[1] for line in part} for part in (train, test)]
    assert not parts[0] & parts[1] and len(parts[1]) == 1  # a fifth of nine names


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = ostinato.Recurrent("gru", 3, 4, bidirectional=True)

    def forward(self, x, lengths):
        return self.layers(x, lengths=lengths)[0]


def test_the_twin_is_torchs_layer_over_packed_sequences_with_the_same_outputs_for_the_same_weights():
    ours = Small()
    theirs = torch_twin.twin(ours)
    assert isinstance(theirs.layers.layer, nn.GRU) and isinstance(ours.layers, ostinato.Recurrent)
    theirs.layers.layer.load_state_dict(ours.layers.state_dict())
    x, lengths = torch.randn(6, 3, 3), torch.tensor([2, 6, 4])
    inside = torch.arange(6)[:, None] < lengths
    torch.testing.assert_close(ours(x, lengths)[inside], theirs(x, lengths)[inside])


def record(*accuracies):
    run = {
        "command": "ostinato train a.ts",
        "baselines": {"majority": {"accuracy": 0.5}, "nearest series": {"accuracy": 0.951}},
        "updates": 400,
        "planned_updates": 400,
        "threads": 1,
        "stopped": "updates",
        "seconds": 60.0,
        "load": [0.5, 6.25],
    }
    runs = [{**run, "metrics": {"accuracy": a}} for a in accuracies]
    machine = dict.fromkeys(("cpu", "cores", "vector unit", "torch", "ostinato"), "x")
    return {"runs": runs, "environment": machine, "torch": {"ours": 0.1, "theirs": 0.4, "ratio": 4.0, "updates": 50}}


def test_a_row_has_mean_and_deviation_over_seeds_and_the_minutes_of_torch():
    text = results_page.page({"JapaneseVowels": record(0.96, 1.0)})
    row = next(line for line in text.splitlines() if line.startswith("| JapaneseVowels"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["JapaneseVowels, accuracy", "0.970", "0.951 nearest series", "0.980 ± 0.028"]
    assert cells[4:] == ["2", "400", "1.0", "3.0", "4.0", "6.2"]
    assert "Not run: IMDB reviews" in text and "## JapaneseVowels" in text and "## GunPoint" not in text


def test_an_aim_that_is_not_reached_is_called_so():
    assert "| 0.970, not reached |" in results_page.page({"JapaneseVowels": record(0.9)})


def test_of_a_metric_that_should_be_low_the_lowest_baseline_is_the_best():
    aim = real_task.Aim("nats", 1.55, lower_is_better=True)
    assert aim.reached(1.55) and not aim.reached(1.56)
    baselines = {"unigram": {"nats": 3.3}, "4 units before it": {"nats": 1.7}}
    assert results_page.best_baseline({"runs": [{"baselines": baselines}]}, aim) == ("4 units before it", "1.700")


def test_a_folder_that_is_absent_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["results.py", "--data", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="none is no folder. Give the folder of the data"):
        results.main()


@pytest.mark.slow
def test_a_run_is_recorded_with_the_metrics_of_network_and_baselines_and_is_not_repeated(monkeypatch, tmp_path, capsys):
    rows = [f"{k % 2}.5,{k % 2},{k % 3}:{'ab'[k % 2]}" for k in range(40)]
    for part in ("TRAIN", "TEST"):
        text = "\n".join(["@univariate true", "@classLabel true a b", "@data", *rows]) + "\n"
        (tmp_path / f"Made_{part}.ts").write_text(text, encoding="utf-8")

    def given(data, made):
        return {"paths": [data / "Made_TRAIN.ts"], "test": data / "Made_TEST.ts"}

    task = real_task.RealTask("made", "Made", given, 1.0, 1, (real_task.Aim("accuracy", 0.5),), ())
    monkeypatch.setattr(results, "RECORDS", tmp_path / "records")
    words = ["--data", str(tmp_path), "--updates", "3", "--threads", "1", "--twin-updates", "2"]
    results.run(task, results.arguments(words))
    found = json.loads((tmp_path / "records" / "made.json").read_text(encoding="utf-8"))
    (run,) = found["runs"]
    assert (
        set(run["metrics"]) == {"accuracy", "macro_f1", "log_loss"} and run["baselines"]["majority"]["accuracy"] == 0.5
    )
    assert run["updates"] == 3 and found["torch"]["updates"] == 2
    assert run["command"] == "ostinato train Made_TRAIN.ts --test Made_TEST.ts --updates 3 --threads 1"
    monkeypatch.setattr(results, "trained", None)
    results.run(task, results.arguments(words))
