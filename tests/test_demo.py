"""The main job on a small text with small models: what it writes, what it refuses, how it stops."""

import io
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file

from ostinato.apps.demo import Settings, digits, experiment, run
from ostinato.apps.demo.page import index_page
from ostinato.apps.reading import language_reference
from ostinato.apps.training import Text, Trainer, bits_per_character
from ostinato.errors import InputError, NoKernelsError

CONTENT = "the quick brown fox jumps over the lazy dog; " * 150
FILES = {
    "gradient-by-lag.png",
    "gru.safetensors",
    "index.html",
    "inspect.html",
    "live.html",
    "loss.png",
    "lstm.safetensors",
    "results.json",
    "rnn.safetensors",
}


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small gain nothing from threads, and lose much where other tests run beside them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def pages_without_pictures(request, monkeypatch):
    """Pictures of a page take seconds; one test has them."""
    if "page_with_pictures" not in request.fixturenames:
        monkeypatch.setattr("ostinato.lens.render.html.page.MOST_DRAWN", 0)


@pytest.fixture(autouse=True)
def no_digits(request, monkeypatch):
    """The training on a file takes seconds; one test has it."""
    if "digits" not in request.node.name:
        monkeypatch.setattr("ostinato.apps.demo.digits.seconds_for", lambda seconds: 0.0)


@pytest.fixture
def page_with_pictures():
    pass


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "fox.txt").write_text(CONTENT, encoding="utf-8")
    return Settings(
        text=tmp_path / "fox.txt",
        out=tmp_path / "out",
        steps=12,
        hidden=8,
        embedding=4,
        batch=4,
        chunk=8,
        lags=20,
        sample=30,
        blocks=1,
    )


def quiet():
    return Console(file=io.StringIO(), width=120)


def printed(console):
    return console.file.getvalue()


def test_everything_is_written_and_agrees(settings, page_with_pictures):
    console = quiet()
    assert run(settings, console) == 0
    assert {file.name for file in settings.out.iterdir()} == FILES
    results = json.loads((settings.out / "results.json").read_text(encoding="utf-8"))
    assert list(results["cells"]) == ["RNN", "GRU", "LSTM"]
    text = Text.of(CONTENT)
    for name, found in results["cells"].items():
        assert found["steps"] == 12
        assert found["speed"] > 0 and found["torch_speed"] > 0
        assert found["ratio"] == pytest.approx(found["speed"] / found["torch_speed"])
        assert found["valid_curve"][-1] == [12, found["bits"]]
        assert len(found["sample"]) == 30
        assert f"{found['bits']:.3f}" in printed(console)

        file = settings.out / f"{name.lower()}.safetensors"
        with safe_open(file, "pt") as opened:
            about = opened.metadata()
        assert json.loads(about["alphabet"]) == text.alphabet
        model = experiment.build(experiment.OURS[about["cell"]], settings, len(text.alphabet))
        model.load_state_dict(load_file(file))
        assert bits_per_character(model, text.valid) == pytest.approx(found["bits"], rel=1e-6)
        for when in ("gradient_before", "gradient_after"):
            assert set(found[when]) == ({"h", "c"} if name == "LSTM" else {"h"})
            assert all(len(norms) == 21 for norms in found[when].values())
        assert found["gradient_before"] != found["gradient_after"]
    best = min(results["cells"], key=lambda name: results["cells"][name]["bits"])
    page = (settings.out / "inspect.html").read_text(encoding="utf-8")
    assert f"<title>{best}, after training</title>" in page and page.count("<svg") == 9
    assert f"{results['cells'][best]['bits']:.4g}" in page and "held out" in page
    assert printed(console).splitlines()[-1].endswith("index.html, a page for a browser.")
    live = (settings.out / "live.html").read_text(encoding="utf-8")
    assert f"<title>{best}, live</title>" in live and json.dumps(list(text.alphabet)) in live
    assert 'href="live.html"' in (settings.out / "index.html").read_text(encoding="utf-8")
    said = f"The best network runs in this page while you type: {settings.out / 'live.html'}."
    assert printed(console).splitlines()[-2] == said


def test_on_a_machine_without_kernels_the_live_page_is_left_out(settings, monkeypatch):
    def none(*_, **__):
        raise NoKernelsError("none")

    monkeypatch.setattr("ostinato.export.page", none)
    console = quiet()
    assert run(settings, console) == 0
    assert {file.name for file in settings.out.iterdir()} == FILES - {"live.html"}
    assert "live.html" not in printed(console)
    assert "live.html" not in (settings.out / "index.html").read_text(encoding="utf-8")


def test_a_network_learns_digits_within_its_share_of_the_time(tmp_path):
    """The clock is a second for every time that it is read, so that the plan is of few updates on any machine."""
    now = iter(range(10**6))
    found = digits.train_digits(tmp_path, 400.0, lambda: float(next(now)))
    assert found.page == "digits-model/report.html" and (tmp_path / found.page).exists()
    metrics = json.loads((tmp_path / "digits-model/metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["model"]["value"] > 0.1 and metrics["n"] > 100
    assert found.headings[0] == "model" and found.rows[0][0] == "majority" and found.rows[-1][0] == "gru"
    with np.load(tmp_path / "digits.npz") as file:
        assert file["series"].shape == (1797, 8, 8)
    page = index_page([], "<script>", found)
    assert 'href="digits-model/report.html"' in page and "<script" not in page and "majority" in page


def test_digits_have_a_tenth_of_the_time_where_that_is_enough(tmp_path):
    assert digits.seconds_for(230.0) == pytest.approx(23.0)
    assert digits.seconds_for(60.0) == 0.0
    found = digits.train_digits(tmp_path, 0.0, lambda: 0.0)
    assert found.sentences == ("Not run, because it would have less than 10 seconds: give more --seconds.",)
    assert found.page == "" and "Not run" in index_page([], "text", found) and not list(tmp_path.iterdir())


def test_without_the_programs_libraries_digits_are_left_out_and_the_page_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "missing_packages", lambda: ["scikit-learn"])
    assert digits.seconds_for(230.0) == 0.0
    found = digits.train_digits(tmp_path, 23.0, lambda: 0.0)
    assert found.sentences == (
        "Not run, because these packages are not installed: scikit-learn. "
        "Install them: pip install 'ostinato[program]'.",
    )


def test_pictures_are_pictures_of_a_readable_size(settings):
    run(settings, quiet())
    for name in ("loss.png", "gradient-by-lag.png"):
        content = (settings.out / name).read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", content[16:24])
        assert 800 <= width <= 1600 and 300 <= height <= 1000
        assert len(content) < 300_000


@pytest.mark.slow
def test_a_second_run_has_a_folder_of_its_own_and_the_same_numbers(settings):
    run(settings, quiet())
    first = {file.name: file.read_bytes() for file in settings.out.iterdir()}
    run(settings, quiet())
    assert {file.name: file.read_bytes() for file in settings.out.iterdir()} == first
    second = settings.out.with_name("out-2")
    for cell in ("rnn", "gru", "lstm"):
        weights = load_file(second / f"{cell}.safetensors")
        for name, value in load_file(settings.out / f"{cell}.safetensors").items():
            assert torch.equal(value, weights[name]), name


def test_the_seed_changes_the_weights_and_both_libraries_start_alike(settings):
    ours = experiment.build(experiment.OURS["LSTM"], settings, 10).state_dict()
    torchs = experiment.build(experiment.TORCH["LSTM"], settings, 10).state_dict()
    assert list(ours) == list(torchs)
    assert all(ours[name].shape == torchs[name].shape for name in ours)
    other = experiment.build(experiment.OURS["LSTM"], Settings(seed=1, hidden=8, embedding=4), 10).state_dict()
    assert not torch.equal(ours["head.weight"], other["head.weight"])


@pytest.mark.slow
def test_a_small_budget_means_fewer_steps_for_all(settings):
    short = Settings(**{**vars(settings), "steps": 10**9, "seconds": 3.0})
    run(short, quiet())
    cells = json.loads((settings.out / "results.json").read_text(encoding="utf-8"))["cells"]
    assert all(1 <= found["steps"] < 10**6 for found in cells.values())


class SlowClock:
    """A clock that only training moves: so many seconds for each step of a trainer, and for reading held-out text."""

    def __init__(self, monkeypatch, seconds, held_out=0.0):
        self.now, self.trained = 0.0, []
        step, read = Trainer.step, experiment.bits_per_character

        def slow_step(trainer):
            self.now += seconds
            self.trained.append((type(trainer.model.layer).__module__.split(".")[0], self.now))
            return step(trainer)

        def slow_read(*arguments):
            self.now += held_out
            return read(*arguments)

        monkeypatch.setattr(Trainer, "step", slow_step)
        monkeypatch.setattr(experiment, "bits_per_character", slow_read)

    def __call__(self):
        return self.now


def timed(settings, monkeypatch, seconds, **slow):
    clock, console = SlowClock(monkeypatch, seconds, **slow), quiet()
    assert run(Settings(**{**vars(settings), "steps": 10**9, "seconds": 60.0, "blocks": 8}), console, clock) == 0
    results = json.loads((settings.out / "results.json").read_text(encoding="utf-8"))
    return clock, results, printed(console)


@pytest.mark.parametrize("held_out", [0.0, 3.0])
def test_a_slow_machine_spends_two_thirds_of_the_time_on_training_and_says_that_it_is_little(
    settings, monkeypatch, held_out
):
    clock, results, text = timed(settings, monkeypatch, 1.0, held_out=held_out)
    cells = results["cells"]
    updates = {name: found["steps"] for name, found in cells.items()}
    assert sum(updates.values()) >= 40 and len(set(updates.values())) == 1
    assert len([who for who, _ in clock.trained if who == "torch"]) == 6
    assert all(found["torch_speed"] == found["speed"] == 32 for found in cells.values())
    assert clock.now <= 60 + 6 * held_out
    said = (
        "The training was too short to compare cells or to judge samples (updates: RNN 14, GRU 14, LSTM 14; at least "
        "300 are needed): give more --seconds or --steps, fewer --hidden units, or run it on a machine that has less "
        "to do."
    )
    assert text.count(said) == 1 and results["too little training"] == said
    assert said in (settings.out / "inspect.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_machine_too_slow_for_the_comparison_leaves_it_out(settings, monkeypatch):
    clock, results, text = timed(settings, monkeypatch, 20.0)
    assert not [who for who, _ in clock.trained if who == "torch"]
    assert [found["torch_speed"] for found in results["cells"].values()] == [None] * 3
    assert [found["ratio"] for found in results["cells"].values()] == [None] * 3
    assert text.count("not timed") == 3 and "updates: RNN 1, GRU 1, LSTM 1;" in text


@pytest.mark.slow
def test_a_fast_machine_measures_all_blocks_and_says_nothing(settings, monkeypatch):
    clock, results, text = timed(settings, monkeypatch, 0.04)
    assert len([who for who, _ in clock.trained if who == "torch"]) == 3 * (3 + 1 + 8 * 5)
    assert results["too little training"] is None and "The training was too short" not in text
    assert all(found["steps"] >= 300 for found in results["cells"].values())
    assert clock.now <= 60


def test_interrupt_keeps_what_was_finished_and_says_so_in_one_line(settings, monkeypatch):
    complete = experiment.train

    def interrupted(model, text, settings, outcome, **rest):
        for count, bits in enumerate(complete(model, text, settings, outcome, **rest)):
            yield bits
            if outcome.cell == "GRU" and count == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "train", interrupted)
    console = quiet()
    assert run(settings, console) == 130
    assert {file.name for file in settings.out.iterdir()} == FILES - {
        "gru.safetensors",
        "lstm.safetensors",
        "inspect.html",
        "index.html",
        "live.html",
    }
    assert list(json.loads((settings.out / "results.json").read_text(encoding="utf-8"))["cells"]) == ["RNN"]
    last = printed(console).splitlines()[-1]
    assert last == f"Interrupted while GRU was at step 5 of 12: RNN finished, saved in {settings.out}."


def test_interrupt_before_anything_is_finished_leaves_nothing(settings, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "measure_speeds", interrupted)
    console = quiet()
    assert run(settings, console) == 130
    assert not settings.out.exists()
    expected = "Interrupted while RNN's speed was being measured: nothing was finished, nothing is left behind."
    assert printed(console).splitlines()[-1] == expected


def test_the_language_reference_says_everything_once():
    paragraphs = [paragraph.strip() for paragraph in language_reference().split("\n\n")]
    assert len(paragraphs) == len(set(paragraphs)) > 1000
    assert len(language_reference()) > 300_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "ostinato demo: --text must be an existing file, got .*text. Name a plain text file"),
        (b"\xff\xfe" * 4000, "--text must be UTF-8, got .*text, whose byte 0 is not. Save the file as UTF-8 first."),
        (b"short", "--text must be at least 5000 characters long, got 5."),
        (b"a" * 6000, "--text must be a text of two different characters or more, got 'a'."),
        ("folder", "--text must be a file, got the folder .*text."),
    ],
)
def test_texts_that_cannot_serve(tmp_path, content, message):
    path = tmp_path / "text"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        run(Settings(text=path, out=tmp_path / "out"), quiet())
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read and write everything")
def test_places_that_may_not_be_read_or_written(settings, tmp_path):
    settings.text.chmod(0)
    with pytest.raises(InputError, match="--text must be readable, got .*Permission denied"):
        run(settings, quiet())
    settings.text.chmod(0o600)
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="--out must be a folder that can be made, got .*Permission denied"):
        run(settings, quiet())


def test_a_folder_below_a_file_is_refused(settings):
    with pytest.raises(InputError, match="--out must be a folder that can be made, got .*Name another place"):
        run(Settings(text=settings.text, out=settings.text / "below"), quiet())


@pytest.mark.parametrize("name", ["steps", "seconds", "hidden"])
def test_settings_that_cannot_serve(name):
    with pytest.raises(InputError, match=f"ostinato demo: --{name} must be above 0, got 0"):
        Settings(**{name: 0})


def test_importing_the_library_imports_neither_pictures_nor_commands():
    heavy = ("matplotlib", "typer", "rich", "ostinato.apps.cli")
    code = f"import sys, ostinato; print(*[m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == ""
