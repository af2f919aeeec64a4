"""`ostinato train` in several processes: one writes, a lost one ends the run with a sentence, and it is resumed."""

import json
import os
import re
import subprocess
import sys

import pytest

from ostinato.errors import InputError
from ostinato.program.commands.launched import Launched, launched
from program import made_files as made
from program.commands import ostinato
from program.training.in_ranks import run_jobs
from source_files import ROOT

DATA = ("train", "reviews.csv", "--text", "review", "--target", "label")
COMMAND = (*DATA, "--no-lens", "--quiet", *made.SMALL, "--updates", "24", "--json")
WORDS = {
    "whole": (*COMMAND, "--out", "whole"),
    "killed": (*COMMAND, "--no-baselines", "--out", "killed"),
    "resumed": ("train", "--resume", "killed", "--quiet", "--json"),
    "first killed": (*COMMAND, "--no-baselines", "--out", "lost"),
    "repeated": ("train", "--config", "whole/config.json", "--json"),
    "interrupted": (*COMMAND, "--no-baselines", "--out", "interrupted"),
    "terminated": (*DATA, "--no-lens", *made.SMALL, "--updates", "24", "--no-baselines", "--out", "terminated"),
    "refused": ("train", "absent.csv", "--target", "label", "--json"),
    "many": ("train", "--config", "whole/config.json"),
    "evaluate": ("evaluate", "whole", "--json"),
    "predict": ("predict", "whole"),
    "generate": ("generate", "whole"),
    "check": ("check", "reviews.csv"),
    "compare": ("compare", "reviews.csv"),
}
DO = {
    "killed": [(1, 13, "SIGKILL")], "first killed": [(0, 13, "SIGKILL")], "interrupted": [(1, 9, "SIGINT")],
    "terminated": [(0, 9, "SIGTERM"), (1, 9, "SIGTERM")],
}  # fmt: skip
ALONE = ("evaluate", "predict", "generate", "check", "compare")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("torchrun")
    made.reviews(place / "reviews.csv", 120)
    return place


@pytest.fixture(scope="module")
def ended(place):
    """What both ranks of every command ended with."""
    jobs = [
        {"name": n, "words": words, "size": 3 if n == "many" else 2, "do": DO.get(n, ())} for n, words in WORDS.items()
    ]
    return run_jobs(place, [*jobs, {"name": "early", "function": "lost_in_baselines", "size": 2}])


def sha(place, folder):
    return json.loads((place / folder / "config.json").read_text(encoding="utf-8"))["weights_sha256"]


@pytest.mark.slow
def test_rank_0_writes_one_folder_and_one_document(place, ended):
    first, second = ended["whole"]
    document = json.loads(first.out)
    assert (first.status, document["status"], document["folder"]) == (0, 0, "whole") or document["status"] == 1
    assert (second.status, second.out, second.err) == (0, "", "") and not (place / "whole-2").exists()
    config = json.loads((place / "whole/config.json").read_text(encoding="utf-8"))
    assert config["settings"]["processes"] == 2 and config["weights_sha256"] == document["weights_sha256"]
    names = {"majority", "naive Bayes", "each word alone", "bag of words", "window of 2 words"}
    assert set(document["metrics"]["test"]["baselines"]) == names
    assert (place / "whole/report.html").exists() and (place / "whole/predictions.csv").exists()


@pytest.mark.slow
def test_the_metrics_of_several_processes_are_of_all_rows(place, ended):
    alone = ostinato(place, *COMMAND, "--out", "alone").document
    shared = json.loads(ended["whole"][0].out)
    assert shared["metrics"]["n"] == alone["metrics"]["n"]
    assert shared["metrics"]["test"]["baselines"] == alone["metrics"]["test"]["baselines"]
    assert shared["weights_sha256"] != alone["weights_sha256"]  # another order of sums
    losses = [
        [json.loads(line)["valid_loss"] for line in (place / name / "history.jsonl").read_text().splitlines()]
        for name in ("whole", "alone")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_config_repeats_the_run_of_as_many_processes_and_refuses_others(place, ended):
    document = json.loads(ended["repeated"][0].out)
    assert document["notes"] == ["The weights have the hash of the run that was repeated."]
    refused = ostinato(place, "train", "--config", "whole/config.json")
    assert refused.status == 2 and refused.err == (
        "ostinato train: the number of processes must be 2, as in that run, got 1. "
        "Start it with torchrun --nproc-per-node 2 (on one machine).\n"
    )
    first, *others = ended["many"]
    assert first.status == 2 and "must be 2, as in that run, got 3." in first.err
    assert [(rank.status, rank.err) for rank in others] == [(2, "")] * 2


@pytest.mark.slow
def test_a_killed_rank_ends_the_run_with_a_sentence_and_it_is_resumed_to_the_same_hash(place, ended):
    first, second = ended["killed"]
    message = (
        "ostinato train: rank 1 of 2 must be running, got no answer: its process has ended, or its machine cannot be "
        "reached. Go on with the same torchrun and `-m ostinato train --resume killed`."
    )
    assert (first.status, second.status) == (2, -9)
    assert first.err.count(message) == 1 and json.loads(first.out) == {"error": message, "status": 2}
    assert ended["resumed"][0].status in (0, 1) and sha(place, "killed") == sha(place, "whole")


@pytest.mark.slow
def test_where_rank_0_is_killed_another_says_so_and_an_unfinished_folder_wants_as_many_processes(place, ended):
    first, second = ended["first killed"]
    assert (first.status, second.status, first.out) == (-9, 2, "")
    assert "ostinato train: rank 0 of 2 must be running, got no answer" in second.err
    assert "`-m ostinato train --resume lost`" in second.err
    refused = ostinato(place, "train", "--resume", "lost")
    assert refused.status == 2 and "the number of processes must be 2, as in that run, got 1." in refused.err


@pytest.mark.slow
def test_a_rank_that_dies_while_rank_0_fits_baselines_ends_it_at_the_signal_of_torchrun(ended):
    first, second = ended["early"]
    message = (
        "ostinato train: rank 1 of 2 must be running, got its end: the process is gone. "
        "Go on with the same torchrun and `-m ostinato train --resume early`.\n"
    )
    assert (first.status, first.err, second.status) == (2, message, -9)


@pytest.mark.slow
def test_an_interrupt_at_one_rank_ends_all_at_the_same_update(place, ended):
    first, second = ended["interrupted"]
    document = json.loads(first.out)
    assert (first.status, second.status, document["stopped"], document["updates"]) == (130, 0, "interrupted", 10)
    assert ostinato(place, "evaluate", "interrupted").status == 0
    first, second = ended["terminated"]
    assert (first.status, second.status, second.err) == (130, 0, "")
    assert "Finishing the step, then evaluating and saving. Ctrl-C again stops at once." in first.err


@pytest.mark.slow
def test_a_refusal_is_said_once(ended):
    first, second = ended["refused"]
    assert (first.status, second.status, second.out, second.err) == (2, 2, "", "")
    assert json.loads(first.out)["error"] in first.err and "absent.csv" in first.err


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
def test_commands_that_do_not_share_their_work_refuse_torchrun_once(ended, name):
    first, second = ended[name]
    message = (
        f"ostinato {name}: the number of processes must be 1, got 2. "
        "Run it without torchrun; only `ostinato train` shares its work."
    )
    assert first.status == 2 and message in first.err and (second.status, second.out, second.err) == (2, "", "")


@pytest.mark.slow
def test_the_commands_with_torchrun_of_the_documents_run(place):
    lines = re.findall(r"^torchrun --.*", (ROOT / "docs" / "program.md").read_text(encoding="utf-8"), re.MULTILINE)
    made.reviews(place / "things.csv", 120)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GLOO_SOCKET_IFNAME": "lo"}
    assert len(lines) == 2
    for line in lines:
        more = [] if "--config" in line else ["--text", "review", "--target", "label", *made.SMALL, "--no-lens"]
        words = [sys.executable, "-m", "torch.distributed.run", *line.split()[1:], *more, "--quiet", "--json"]
        done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=3000)
        assert done.returncode == json.loads(done.stdout)["status"] <= 1, done.stderr
    assert sha(place, "together") == sha(place, "things-model")


TORCHRUN = {
    "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "one",
    "MASTER_PORT": "29500",
}  # fmt: skip


def test_the_environment_of_torchrun_is_read_and_one_process_is_alone():
    assert launched(TORCHRUN) == Launched(1, 4, 1, 2)
    assert launched({}) is launched({"RANK": "3"}) is None
    assert launched({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}) is None


@pytest.mark.parametrize(
    "name, value", [("MASTER_PORT", ""), ("RANK", "4"), ("LOCAL_RANK", "2"), ("WORLD_SIZE", "two")]
)
def test_an_environment_that_contradicts_itself_is_refused(name, value):
    with pytest.raises(InputError) as caught:
        launched({**TORCHRUN, name: value})
    values = " ".join(f"{key}={other}" for key, other in {**TORCHRUN, name: value}.items())
    assert str(caught.value) == (
        f"ostinato: the environment must be as torchrun sets it, got {values}. "
        "Start the command with torchrun, or unset RANK and WORLD_SIZE."
    )
