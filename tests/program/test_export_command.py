"""`ostinato export`: a model folder of every task as files that ONNX Runtime runs without this package."""

import json
import re
import runpy
import shutil
import sys
from functools import cache

import numpy as np
import onnxruntime
import pytest

from ostinato.errors import InputError, MissingPackageError
from ostinato.program.exporting import export
from ostinato.program.exporting.export import export_folder
from ostinato.program.exporting.table import plan_of
from ostinato.program.exporting.write import write_plan
from ostinato.program.running.model import Model, open_model
from ostinato.program.tasks.registry import TASKS
from program.commands import ostinato
from program.made_models import EVERY, MORE

MOST = 2e-6
"""The largest difference of numbers of about 1: a few roundings of float32."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A function from a name of EVERY to (the model, its folder), once for all tests."""

    @cache
    def of(name):
        model = EVERY[name][0]()
        return model, model.save(tmp_path_factory.mktemp("export") / "model")

    return of


@pytest.fixture(scope="module")
def exported(folder):
    """A function from a name of EVERY to what `ostinato export` of its folder ended with, once for all tests."""
    return cache(lambda name: ostinato(folder(name)[1].parent, "export", "model", "--onnx"))


def test_every_task_is_tested():
    assert set(EVERY) == set(TASKS)


def asked(ended, model, place, answer, monkeypatch):
    """Reads what an export wrote, and runs README.txt."""
    assert (ended.status, ended.err) == (0, ""), ended.err
    made = place / "onnx"
    for path in made.iterdir():
        assert re.search(rf"^{re.escape(path.name)} +{path.stat().st_size:,} bytes$", ended.out, re.MULTILINE)
    document = json.loads((made / "model.json").read_text(encoding="utf-8"))
    check = document["check"]
    assert check["inputs"] == 40 and 1e-3 < check["largest_number"]
    assert 0 < check["largest_difference"] < MOST * max(1, check["largest_number"])
    for name, part in document["parts"].items():
        session = onnxruntime.InferenceSession(str(made / name), providers=["CPUExecutionProvider"])
        inputs = [*part["inputs"], *part["states"]]
        assert [value.name for value in session.get_inputs()] == [value["name"] for value in inputs]
        assert [value.shape for value in session.get_inputs()] == [value["shape"] for value in inputs]
        assert [value.name for value in session.get_outputs()] == [
            *(value["name"] for value in part["outputs"]), *(state["next"] for state in part["states"]),
        ]  # fmt: skip
        assert b"/site-packages/" not in (made / name).read_bytes()  # no paths of the machine that wrote it
    assert document["weights_sha256"] == open_model(place).config.weights_sha256
    program = (made / "README.txt").read_text(encoding="ascii")
    assert len(program.splitlines()) < 30 and "torch" not in program and "import ostinato" not in program
    assert max(map(len, program.splitlines())) < 140
    monkeypatch.chdir(made)
    said = runpy.run_path("README.txt")
    assert said["answer"] == answer(model, said)
    return document


LONG = ("translate", "classify", "tag", "forecast", "transcribe")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in EVERY])
def test_a_model_gives_the_same_answers_through_onnx_runtime_alone(name, folder, exported, monkeypatch, capsys):
    model, place = folder(name)
    document = asked(exported(name), model, place, EVERY[name][1], monkeypatch)
    assert document["task"] == name and capsys.readouterr().out.endswith("\n")
    by_steps = {"language-model", "generate", "music", "translate"}
    assert any(part["states"] for part in document["parts"].values()) == (name in by_steps)
    assert document["runs"].startswith("Step by step" if name in by_steps - {"translate"} else ("On whole", "The enc"))


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
def test_so_does_one_with_other_options(name, tmp_path, monkeypatch):
    model = MORE[name][0]()
    place = model.save(tmp_path / "model")
    ended = ostinato(tmp_path, "export", "model", "--onnx")
    document = asked(ended, model, place, MORE[name][1], monkeypatch)
    if name == "two layers with a learned start":
        states = document["parts"]["model.onnx"]["states"]
        assert [s["name"] for s in states] == ["layers.0.h", "layers.0.c", "layers.1.h", "layers.1.c"]
        layers = model.network_.layers
        assert states[0]["initial"] == pytest.approx(layers.initial_h_l0.detach().numpy())
    if name == "transcripts as they come":
        assert [s["name"] for s in document["parts"]["model.onnx"]["states"]] == ["layers.0.h", "layers.1.h"]


def test_the_terminal_says_what_was_written_how_it_runs_and_how_far_it_is_from_the_network(exported):
    lines = exported("translate").out.splitlines()
    assert lines[0] == "Written: model/onnx"
    assert [re.fullmatch(r"(\S+) +[\d,]+ bytes", line)[1] for line in lines[1:5]] == [
        "encoder.onnx", "decoder_step.onnx", "model.json", "README.txt",
    ]  # fmt: skip
    assert lines[6] == "The encoder on whole sources, the decoder step by step: its state goes in and comes out."
    said = r"ONNX Runtime [\d.]+ and the network differ by at most \d\.\de-\d\d over 40 made inputs; "
    assert re.fullmatch(said + r"the largest number is [\d.]+\.", lines[7])


@pytest.fixture
def written_before(folder, exported, monkeypatch):
    """The files of the regression are copied from its first export instead of written again; the same network."""

    def copied(plan, place):
        for part in plan.parts:
            shutil.copy(folder("regress")[1] / "onnx" / part.file, place)

    assert exported("regress").status == 0
    monkeypatch.setattr(export, "write_plan", copied)
    return copied


@pytest.mark.usefixtures("written_before")
def test_a_second_export_has_a_folder_of_its_own_and_one_without_a_check_says_so(folder, tmp_path):
    (tmp_path / "files").mkdir()
    words = ("export", folder("regress")[1], "--onnx", "--no-check", "--out", "files")
    ended = ostinato(tmp_path, *words, "--json")
    assert ended.document == {
        "folder": "files-2",
        "files": {path.name: path.stat().st_size for path in (tmp_path / "files-2").iterdir()},
        "runs": "On whole sequences: the layers read from both ends.",
        "check": None,
    }
    assert not list((tmp_path / "files").iterdir())
    assert json.loads((tmp_path / "files-2" / "model.json").read_text())["check"] is None
    assert "Not compared with the network." in ostinato(tmp_path, *words).out


def test_hypotheses_of_a_beam_are_rows_of_the_decoder_s_state(folder, exported):
    """Two hypotheses of each of three sources in one call give what each of them gives alone."""
    assert exported("translate").status == 0
    made = folder("translate")[1] / "onnx"
    encoder, decoder = (onnxruntime.InferenceSession(str(made / f"{n}.onnx")) for n in ("encoder", "decoder_step"))
    draw = np.random.default_rng(0)
    source, lengths = draw.integers(1, 4, (5, 3)), np.array([5, 2, 4])
    read = dict(zip((o.name for o in encoder.get_outputs()), encoder.run(None, {"source": source, "lengths": lengths})))
    first, second = draw.integers(0, 4, (2, 2, 3))
    state = {name: np.concatenate([value, value]) for name, value in read.items() if name.startswith("decoder.")}
    names = [o.name.removesuffix(".next") for o in decoder.get_outputs()]
    for units in (first, second):
        together = dict(zip(names, decoder.run(None, {**read, **state, "units": units})))
        state = {name: together[name] for name in state}
    for k in range(2):
        alone = {name: value for name, value in read.items() if name.startswith("decoder.")}
        for units in (first, second):
            found = dict(zip(names, decoder.run(None, {**read, **alone, "units": units[k : k + 1]})))
            alone = {name: found[name] for name in alone}
        np.testing.assert_allclose(found["scores"][0], together["scores"][k], rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("written_before")
def test_what_is_no_model_or_names_no_format_is_refused(folder, tmp_path):
    assert ostinato(tmp_path, "export", "nothing", "--onnx").err == (
        "the model folder: the folder must be one that exists, got nothing. Give the folder that `ostinato train` "
        "wrote.\n"
    )
    ended = ostinato(tmp_path, "export", folder("regress")[1])
    expected = "ostinato export: the format must be one of --onnx, --c, --wasm, --page, got none. Add --c, say.\n"
    assert (ended.status, ended.err) == (2, expected)
    (tmp_path / "file").write_text("")
    ended = ostinato(tmp_path, "export", folder("regress")[1], "--onnx", "--no-check", "--out", "file/files")
    assert ended.status == 2 and ended.err.startswith("ostinato export: the folder of the model must be a new one")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_and_nothing_is_written(package, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError) as error:
        export_folder(folder("regress")[1], tmp_path / "files")
    if package == "onnxruntime":
        assert str(error.value) == (
            "ostinato export: the package onnxruntime must be installed, to compare the files with the network, got "
            "none. Install it: pip install onnxruntime, or write --no-check."
        )
    else:
        assert str(error.value) == (
            f"export.onnx: the package {package} must be installed, got none. Install it: pip install {package}, or "
            "pip install 'ostinato[onnx]' for all that exports to ONNX need."
        )
    assert not (tmp_path / "files").exists()


def test_a_part_that_onnx_cannot_hold_is_named_with_the_reason(folder, tmp_path):
    opened = open_model(folder("regress")[1])
    halves = Model(opened.config, opened.task, opened.network.half())
    with pytest.raises(InputError) as error:
        write_plan(plan_of(halves), tmp_path)
    assert str(error.value) == (
        "ostinato export: the part model must be one that can be written as ONNX, got Recurrent: x must be of the "
        "weights' number type, torch.float16, got torch.float32. Convert x with x.to(dtype) or the layer with "
        "layer.to(dtype). docs/export.md says what is written."
    )


def test_a_task_without_a_plan_is_refused(folder):
    opened = open_model(folder("regress")[1])
    other = type("Other", (), {"name": "other"})()
    with pytest.raises(InputError) as error:
        plan_of(Model(opened.config, other, opened.network))
    assert str(error.value) == (
        "ostinato export: MODEL must be of a task that is exported, classify, regress, tag, forecast, generate, "
        "language-model, fill, transcribe, translate, music, got other. The weights are in model.safetensors."
    )


def test_files_that_give_other_numbers_are_refused_and_not_written(folder, tmp_path, written_before, monkeypatch):
    """The weights change between the file and the comparison."""

    def spoiled(plan, place):
        written_before(plan, place)
        plan.parts[0].network.head.bias.data += 0.5

    monkeypatch.setattr(export, "write_plan", spoiled)
    with pytest.raises(InputError) as error:
        export_folder(folder("regress")[1], tmp_path / "files")
    assert re.fullmatch(
        r"ostinato export: the difference from the network in ONNX Runtime must be at most 0\.0001 of the largest "
        r"number, got 5\.0e-01 where the largest number is [\d.]+\. Write --no-check to have the files, and report the "
        r"model's options\.",
        str(error.value),
    )
    assert not (tmp_path / "files").exists()
