"""What `ostinato evaluate` prints of what a task counts apart."""

from ostinato.program.running.evaluate import Evaluated
from ostinato.program.tasks.metric_names import is_share, title_of
from ostinato.program.tasks.task import Metric
from program import made_files as made
from program.commands import ostinato

METRIC = Metric("mase", 0.5, 0.4, 0.6, 36, False)


def record(step, **more):
    return {"step": step, "mase": step / 10, "mase_low": 0.0, "mase_high": 9.0, "mase_of_last_value": None, **more}


def test_steps_ahead_stand_in_a_table_without_their_intervals_and_the_remark_last():
    details = {"by_step": [record(1, known=36), record(2, known=35)], "remark": "It repeats the last value."}
    lines = Evaluated("36 windows.", [METRIC], [], details).text().splitlines()
    table = [line.split("  ") for line in lines]
    assert [cell.strip() for cell in table[5] if cell] == ["step ahead", "MASE", "MASE of the last value", "known"]
    assert lines[6].split() == ["1", "0.100", "-", "36"] and lines[7].split() == ["2", "0.200", "-", "35"]
    assert lines[-1] == "It repeats the last value."
    assert not any("steps" in line for line in lines)  # windows have one length


def test_of_many_steps_some_are_printed_and_all_are_in_json():
    details = {"by_step": [record(step) for step in range(1, 97)]}
    found = Evaluated("Windows.", [METRIC], [], details)
    steps = [int(line.split()[0]) for line in found.text().splitlines() if line[:1].isdigit()]
    assert len(steps) == 24 and steps[0] == 1 and steps[-1] == 96
    assert len(found.content()["details"]["by_step"]) == 96


def test_series_and_columns_have_a_table_each():
    details = {"by_series": {"a": {"mae": 12345.6}}, "by_channel": {"load": {"mae": 0.5}}}
    text = Evaluated("Windows.", [METRIC], [], details).text()
    assert "series  mean absolute error\na                 1.235e+04" in text
    assert "column  mean absolute error\nload                  0.500" in text


def test_metrics_of_bands_have_names_in_words():
    assert title_of("coverage_80") == "coverage of 80 % bands" and is_share("coverage_97.5")
    assert title_of("interval_score_95") == "interval score of 95 % bands" and not is_share("width_95")
    assert title_of("mase") == "MASE" and title_of("macro_f1") == "macro F1"


def test_a_model_folder_is_evaluated_from_anywhere_with_the_file_beside_it(tmp_path):
    (tmp_path / "made").mkdir()
    made.flowers(tmp_path / "made" / "flowers.csv")
    ended = ostinato(tmp_path / "made", "train", "flowers.csv", "--target", "species", "--updates", 5, *made.SMALL)
    assert "the order of the steps" not in ended.out  # rows of features have one step
    assert "Inside the network" in ended.out
    here = ostinato(tmp_path / "made", "evaluate", "flowers-model")
    (tmp_path / "made").rename(tmp_path / "moved")
    elsewhere = ostinato(tmp_path, "evaluate", tmp_path / "moved" / "flowers-model")
    assert elsewhere.out == here.out and "test rows of the training" in here.out
    again = ostinato(tmp_path, "train", "--config", tmp_path / "moved" / "flowers-model" / "config.json")
    assert "The weights have the hash of the run that was repeated." in again.err
    (tmp_path / "moved" / "flowers.csv").unlink()
    gone = ostinato(tmp_path, "evaluate", tmp_path / "moved" / "flowers-model")
    assert gone.status == 2 and gone.err.endswith(
        "ostinato evaluate: the file of the training must be still there, got none at flowers.csv, here or beside the "
        "model folder. Give a file with rows to evaluate as DATA.\n"
    )
