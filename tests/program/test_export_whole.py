"""`ostinato export --c --max-steps` and `--wasm`: models of both directions, which run on whole sequences."""

import json
import re
import subprocess
from functools import cache

import pytest
import torch

from export.chips.browsers import node, node_flags, same_bits
from ostinato.program.exporting.chips_core import steps_of
from ostinato.program.running.model import open_model
from ostinato.streaming.choose import run_whole
from ostinato.streaming.read import read
from program import made_models as made_model
from program.commands import ostinato
from program.compiled import HEAD, bits_of, built, readme_program

MOST = 9
MODELS = {"classes": made_model.of_series, "tags": made_model.of_tags, "numbers": made_model.of_numbers}
MORE = {
    "words": made_model.of_texts,
    "transcripts": made_model.of_transcripts,
    "two layers": lambda: made_model.of_series(layers=2, cell="lstm"),
    "forwards": lambda: made_model.of_series(both_directions=False),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A function from a name of MODELS or MORE to the folder of that model, once for all tests."""
    return cache(lambda name: {**MODELS, **MORE}[name]().save(tmp_path_factory.mktemp("whole") / "model"))


def exported(model, place, *flags):
    """The folder that an export wrote."""
    ended = ostinato(place, "export", model, *flags, "--out", "made", "--json")
    assert (ended.status, ended.err) == (0, ""), ended.err
    return place / ended.document["folder"]


def drawn(steps, count):
    """Inputs of `count` steps: numbers, or entries."""
    generator = torch.Generator().manual_seed(count)
    if steps.samples.is_floating_point():
        return torch.randn(count, steps.samples.shape[1], generator=generator)
    return torch.randint(0, int(steps.samples.max()) + 1, (count,), generator=generator)


def expected(steps, x):
    """What Python gives: an output for each step, or the one of the whole sequence."""
    network = read(steps.network, whole=True)
    y = run_whole(network, x)
    return y[-1:] if network.last else y


def runs(sequences):
    """A program of C that runs the sequences one after the other and shows every output."""
    calls = []
    for k, (x, answers) in enumerate(sequences):
        kind = "float" if x.is_floating_point() else "int64_t"
        values = ", ".join(float(v).hex() + "f" if kind == "float" else str(int(v)) for v in x.reshape(-1))
        calls += [
            f"    static const {kind} x{k}[] = {{ {values} }};",
            f"    if (net_run(&state, &work, x{k}, y, {len(x)}) != NET_OK) return 1;",
            f"    for (unsigned t = 0; t < {answers}; t++) show(y + t * NET_OUTPUT, NET_OUTPUT);",
        ]
    head = f"int main(void)\n{{\n    static float y[{MOST} * NET_OUTPUT];\n"
    return HEAD + head + "\n".join([*calls, "    return 0;", "}", ""])


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("classes", "object"),
        ("tags", "source"),
        *(pytest.param(name, "object", marks=pytest.mark.slow) for name in ("numbers", "words", "transcripts")),
        pytest.param("two layers", "source", marks=pytest.mark.slow),
    ],
)
def test_whole_sequences_in_c_have_the_bits_of_python(name, form, folder, tmp_path):
    place = exported(folder(name), tmp_path, "--c", "--max-steps", MOST, "--form", form)
    steps = steps_of(open_model(folder(name)))
    xs = [drawn(steps, count) for count in (5, MOST, 1, 5)]
    right = [expected(steps, x) for x in xs]
    found = bits_of(built(place, runs([(x, len(y)) for x, y in zip(xs, right, strict=True)])))
    assert same_bits(found, torch.cat(right))
    link = json.loads((place / "model.json").read_text(encoding="utf-8"))["link"]
    subprocess.run(link.split(), cwd=place, check=True)
    assert subprocess.run(["./net_test"], cwd=place, capture_output=True, text=True, check=True).returncode == 0


@pytest.mark.parametrize("name", ["classes", "numbers", pytest.param("two layers", marks=pytest.mark.slow)])
@pytest.mark.parametrize("count", [1, 7])
def test_the_exported_network_gives_the_numbers_of_the_model_in_both_directions(name, count, folder):
    model = open_model(folder(name))
    x = drawn(steps_of(model), count)
    with torch.no_grad():
        right = model.network({"x": x[:, None]}, torch.tensor([count]))
    torch.testing.assert_close(expected(steps_of(model), x), right, rtol=1e-5, atol=1e-6)


def test_the_files_say_that_a_call_reads_the_whole_sequence(folder, tmp_path):
    place = exported(folder("classes"), tmp_path, "--c", "--max-steps", MOST)
    document = json.loads((place / "model.json").read_text(encoding="utf-8"))
    says = "A call reads a whole row, of 1 to 9 steps, from the initial states every time."
    assert document["run"] == says and document["max_steps"] == MOST and "reset" not in document
    assert "of each class, of the whole row" in document["y"]
    values = (place / "net_values.h").read_text(encoding="ascii")
    assert "numbers of net_run stand for" in values and f"net_run: {says}" in values
    readme = (place / "README.txt").read_text(encoding="utf-8")
    assert f"net_run: {says}" in readme and "net_step" not in readme and "net_reset" not in readme


@pytest.mark.parametrize(
    ("name", "most", "lines"),
    [
        ("classes", 1, 2),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("classes", 9, 2), ("numbers", 9, 1), ("tags", 9, None), ("transcripts", 1, None))
        ),
    ],
)
def test_the_program_of_the_readme_runs(name, most, lines, folder, tmp_path):
    place = exported(folder(name), tmp_path, "--c", "--max-steps", most)
    count = int(re.search(r"NET_OUTPUT\s+(\d+)", (place / "net.h").read_text(encoding="utf-8"))[1])
    assert built(place, readme_program(place)).count("\n") == (lines or min(2, most) * count)


def test_a_module_takes_whole_sequences_of_any_length(folder, tmp_path):
    node_flags()
    place = exported(folder("tags"), tmp_path, "--wasm")
    readme = (place / "README.txt").read_text(encoding="utf-8")
    assert "net.run(xs): A call reads a whole sentence, from the initial states every time." in readme
    code = "\n".join(line[4:] for line in readme.splitlines() if line.startswith("    "))
    code = code.replace("console.log(net.run([1, 1]))", "say(Array.from(net.run([1, 1])))").replace(
        "console.log", "say"
    )
    agrees, y = node(place, code)
    assert agrees is True
    right = expected(steps_of(open_model(folder("tags"))), torch.tensor([1, 1]))
    assert same_bits(torch.tensor(y, dtype=torch.float64).float().reshape(right.shape), right)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        (
            "classes",
            "--c",
            "MODEL must be one whose network .*, got .* classify that reads both .*Write --max-steps 100",
        ),
        ("tags", "--c", "got one of the task tag that reads both directions. Write --max-steps 100"),
        ("tags", "--page", "got one of the task tag that reads both directions. Train with --one-direction"),
        ("tags", "--page --max-steps 9", "--max-steps must be given beside --c, got beside --page. Leave it out."),
        ("tags", "--wasm --max-steps 9", "--max-steps must be given beside --c, got beside --wasm. Leave it out."),
        ("tags", "--c --max-steps 0", "--max-steps must be at least 1, got 0. Write --max-steps 100"),
        (
            "forwards",
            "--c --max-steps 9",
            "--max-steps must be given for a model of both directions, got 9 .* one direction. Leave it out: ",
        ),
    ],
)
def test_flags_that_do_not_fit_the_model_are_refused(name, flags, message, folder, tmp_path):
    ended = ostinato(tmp_path, "export", folder(name), *flags.split())
    assert ended.status == 2 and re.search(message, ended.err.replace("\n", " ")), ended.err
    assert not list(tmp_path.iterdir())
