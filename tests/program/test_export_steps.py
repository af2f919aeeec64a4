"""`ostinato export --c`, `--wasm` and `--page`: networks that run step by step, with the bits of `ostinato.stream`."""

import json
import re
import subprocess
from functools import cache

import numpy as np
import pytest
import torch

import ostinato as package
from export.chips.browsers import attribute, node, node_flags, opened, same_bits
from ostinato.errors import NoKernelsError
from ostinato.program.exporting import chips
from ostinato.program.exporting.chips_core import steps_of
from ostinato.program.exporting.chips_text import SPACED, c_string, page_texts, pattern_of
from ostinato.program.running.model import open_model
from ostinato.program.tasks import vocabulary
from ostinato.program.tasks.texts import units
from program import made_models as made_model
from program.commands import ostinato
from program.compiled import HEAD, bits_of, built, readme_program
from program.tasks import made


def numbers():
    rows = made.numbers(60)
    options = {**made_model.SMALL, "cell": "mgu", "both_directions": False}
    return package.SequenceRegressor(**options).fit(rows.inputs, rows.targets)


MODELS = {
    "characters": made_model.of_language,
    "series": lambda: made_model.of_series(both_directions=False),
    "numbers": numbers,
    "words": lambda: made_model.of_texts(both_directions=False),
    "tags": lambda: made_model.of_tags(both_directions=False),
    "transcripts": lambda: made_model.of_transcripts(both_directions=False),
    "keys": lambda: made_model.of_music(chords="apart"),
    "parts of words": lambda: made_model.of_language(unit="bpe:300"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A function from a name of MODELS to the folder of that model, once for all tests."""
    return cache(lambda name: MODELS[name]().save(tmp_path_factory.mktemp("export") / "model"))


@pytest.fixture(scope="module")
def exported(folder):
    """A function from a name of MODELS and flags to the folder that an export wrote, once for all tests."""

    @cache
    def of(name, *flags):
        ended = ostinato(folder(name).parent, "export", "model", *flags, "--json")
        assert (ended.status, ended.err) == (0, ""), ended.err
        return folder(name).parent / ended.document["folder"]

    return of


@pytest.mark.parametrize("form", [(), ("--target", "c99")])
def test_a_character_model_in_c_gives_the_bits_of_the_stream(form, folder, exported):
    place = exported("characters", "--c", *form)
    opened_model = open_model(folder("characters"))
    entries = opened_model.task.units.encode("\nthe cat and the rug.")
    given = ", ".join(map(str, entries.tolist()))
    program = (
        HEAD
        + f"""
int main(void)
{{
    static const int64_t entries[] = {{ {given} }};
    float y[NET_OUTPUT];
    net_reset(&state);
    for (unsigned t = 0; t < {len(entries)}; t++) {{ net_step(&state, &work, entries + t, y); show(y, NET_OUTPUT); }}
    return 0;
}}
"""
    )
    found = bits_of(built(place, program))
    expected = package.stream(opened_model.network.core()).push(torch.from_numpy(entries.astype(np.int64)))
    assert same_bits(found, expected)
    assert int(found[-1].argmax()) == int(expected[-1].argmax()) > 0


def test_the_self_test_and_the_program_of_the_readme_run(exported):
    place = exported("series", "--c")
    assert re.fullmatch(r"(fall|rise) \S+\n(fall|rise) \S+\n", built(place, readme_program(place)))
    link = json.loads((place / "model.json").read_text(encoding="utf-8"))["link"]
    subprocess.run(link.split(), cwd=place, check=True)
    assert subprocess.run(["./net_test"], cwd=place, capture_output=True, text=True, check=True).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["characters", "words", "tags", "keys", "transcripts", "parts of words"])
def test_so_does_the_program_of_every_other_task(name, exported):
    place = exported(name, "--c")
    count = re.search(r"NET_OUTPUT\s+(\d+)", (place / "net.h").read_text(encoding="utf-8"))[1]
    assert built(place, readme_program(place)).count("\n") == int(count)


def test_values_are_scaled_in_c_with_the_bits_of_the_training(folder, exported):
    place, model = exported("series", "--c"), open_model(folder("series"))
    scaling = model.task.inputs.scaling
    assert scaling.flagged
    rows = scaling.mean + scaling.deviation * np.random.default_rng(3).normal(size=(9, len(scaling.mean)))
    rows[4, scaling.flagged[0]] = np.nan
    cells = ", ".join("0.0 / zero" if np.isnan(v) else float(v).hex() for v in rows.ravel())
    program = (
        HEAD
        + f"""
int main(void)
{{
    volatile double zero = 0.0;
    const double rows[] = {{ {cells} }};
    float x[NET_INPUT], y[NET_OUTPUT];
    net_reset(&state);
    for (unsigned t = 0; t < 9; t++) {{
        net_scale(rows + NET_CHANNELS * t, x);
        net_step(&state, &work, x, y);
        show(x, NET_INPUT);
        show(y, NET_OUTPUT);
    }}
    return 0;
}}
"""
    )
    lines = built(place, program).splitlines()
    x = torch.from_numpy(scaling.apply(rows))
    assert same_bits(bits_of("\n".join(lines[::2])), x)
    assert same_bits(bits_of("\n".join(lines[1::2])), package.stream(steps_of(model).network).push(x))


def test_a_number_in_c_is_that_of_predict(folder, exported):
    place, model = exported("numbers", "--c"), open_model(folder("numbers"))
    mean = model.task.inputs.scaling.mean
    estimator = package.load(folder("numbers"))
    predicted = float(estimator.predict([mean[None]])[0])
    assert float(built(place, readme_program(place))) == pytest.approx(predicted, rel=1e-6)


def test_a_tagger_reads_the_words_of_its_vocabulary_as_the_program_does(folder):
    model = open_model(folder("tags"))
    words = [str(word) for word in model.task.words.vocabulary.entries[:5]]
    scores = package.stream(steps_of(model).network).push(torch.arange(1, 6))
    expected = package.load(folder("tags")).predict([words])[0]
    assert [str(model.task.classes[int(k)]) for k in scores.argmax(-1)] == [str(tag) for tag in expected]


def test_the_document_has_what_a_foreign_program_needs_and_no_row_of_the_user(exported):
    document = json.loads((exported("series", "--c") / "model.json").read_text(encoding="utf-8"))
    assert document["format"] == "ostinato c" and document["classes"] == document["files"]["labels.json"]["classes"]
    assert (
        "float64" in document["x"] and "softmax" in document["y"] and document["reset"].startswith("at the beginning")
    )
    assert len(document["files"]["scaling.json"]["mean"]) == 3
    document = json.loads((exported("words", "--wasm") / "model.json").read_text(encoding="utf-8"))
    assert document["preprocessing"]["units"]["javascript"] == pattern_of("word", writes=False)
    assert document["arithmetic"] == "fused in software"


def test_a_module_and_its_class_are_written_with_a_program(folder, exported):
    place = exported("numbers", "--wasm")
    assert {path.name for path in place.iterdir()} == {"net.wasm", "net.mjs", "README.txt", "model.json"}
    node_flags()
    lines = [line[4:] for line in (place / "README.txt").read_text(encoding="utf-8").splitlines() if line[:4] == "    "]
    code = "\n".join(lines).replace("console.log(", "say(").replace("say(net.step(", "say(Array.from(net.step(")
    agrees, y = node(place, code.replace("length)));", "length))));"))
    x = torch.zeros(1, 3)
    assert agrees is True
    expected = package.stream(steps_of(open_model(folder("numbers"))).network).push(x)[0]
    assert same_bits(torch.tensor(y, dtype=torch.float64).float(), expected)


def test_the_page_of_a_character_model_shows_the_bits_of_the_stream(folder, exported):
    place = exported("characters", "--page")
    document = opened(place / "index.html", text="\nthe dog é")
    model = open_model(folder("characters"))
    entries = torch.from_numpy(model.task.units.encode("\nthe dog é").astype(np.int64))
    found = torch.tensor(json.loads(attribute(document, "output")), dtype=torch.float64).float()
    assert same_bits(found, package.stream(model.network.core()).push(entries)[-1])
    assert attribute(document, "same") == "yes" and attribute(document, "steps") == "10"
    assert "Not in the vocabulary, and read as" in document


@pytest.mark.slow
def test_the_page_of_a_classifier_has_the_names_and_units_of_its_columns(folder, exported):
    place = exported("series", "--page")
    document = opened(place / "index.html", x="0.5,-0.25,1,1")
    assert attribute(document, "same") == "yes" and attribute(document, "steps") == "1"
    assert "rise" in document and "fall" in document and " is there" in document


@pytest.mark.slow
def test_the_page_of_words_divides_a_text_as_the_program_does(folder, exported):
    place, model = exported("words", "--page"), open_model(folder("words"))
    word = str(model.task.inputs.vocabulary.entries[0])
    text = f"{word}, unheard {word}s {word}."
    expected = model.task.inputs.vocabulary.numbers(vocabulary.units_of(text, "word", False))
    document = opened(place / "index.html", text=text)
    assert attribute(document, "steps") == str(len(expected))
    scores = package.stream(steps_of(model).network).push(torch.from_numpy(expected.astype(np.int64)))[-1]
    assert same_bits(torch.tensor(json.loads(attribute(document, "output")), dtype=torch.float64).float(), scores)


@pytest.mark.parametrize("writes", [True, False])
def test_javascript_divides_texts_into_the_words_of_python(writes, tmp_path):
    node_flags()
    texts = [
        "Don't panic: 3.14 <b>bold</b> and naïve café\n\n  two  spaces \t tab",
        "l’été\u00a0à Paris ²³ ١٢ x_1 😀 漢字 e\u0301 \x1c \x85 \ufeff \u2028 end ",
        "a\rb\r\nc  \n d",
    ]
    pattern = (units.WORD if writes else vocabulary.WORD).findall
    head = "const codes = (text) => Array.from(text, (c) => c.codePointAt(0));\n"  # some of them are breaks of lines
    code = f"{head}const pattern = new RegExp({json.dumps(pattern_of('word', writes))}, 'gu');\n"
    code += f"for (const text of {json.dumps(texts)}) say(text.match(pattern).map(codes));"
    assert node(tmp_path, code) == [[list(map(ord, word)) for word in pattern(text)] for text in texts]
    code = f"{head}say({json.dumps(texts[1])}.match(new RegExp({json.dumps(SPACED)}, 'gu')).map(codes));"
    assert node(tmp_path, code) == [[list(map(ord, word)) for word in texts[1].split()]]


def test_characters_need_no_pattern_and_the_unknown_entry_has_a_text_of_its_own():
    assert pattern_of("char", writes=True) is None
    assert page_texts(["a", "\ufffd"]) == ["\ufffd\ufffd", "a", "\ufffd"]


def test_strings_of_c_have_the_bytes_of_utf8():
    assert c_string('a"\\?\né') == '"a\\042\\134\\077\\012\\303\\251"'


def test_a_second_export_has_a_folder_of_its_own_and_the_terminal_says_the_sizes(folder, exported, tmp_path):
    (tmp_path / "files").mkdir()
    words = ("export", folder("numbers"), "--c", "--target", "cortex-m4", "--out", "files")
    ended = ostinato(tmp_path, *words)
    assert ended.out.startswith("Written: files-2\n") and not list((tmp_path / "files").iterdir())
    assert "cortex-m4 (object, float32)" in ended.out and "multiply-adds" in ended.out
    assert "arm-none-eabi-gcc" in ended.out and "self-test, in the folder" in ended.out
    for path in (tmp_path / "files-2").iterdir():
        assert re.search(rf"^{re.escape(path.name)} +{path.stat().st_size:,} bytes$", ended.out, re.MULTILINE)
    page = ostinato(tmp_path, "export", folder("numbers"), "--page", "--out", "page")
    assert page.out.rstrip().endswith("Open page/index.html in a browser: the network runs in it, offline.")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "the format must be one of --onnx, --c, --wasm, --page, got none. Add --c, say."),
        (("--c", "--page"), "the format must be one of .*, got --c, --page. Write one of them for each export."),
        (("--page", "--target", "cortex-m4"), "--target must be given beside --c, got beside --page. Leave it out."),
        (("--onnx", "--form", "source"), "--form must be given beside --c, got beside --onnx."),
        (("--c", "--no-check"), "--no-check must be given beside --onnx, got beside --c."),
        (("--c", "--target", "cortex-m5"), "target must be one of .*, got 'cortex-m5'. Did you mean 'cortex-m"),
        (("--c", "--target", "cortex-m0", "--form", "object"), "form must be 'source' for cortex-m0"),
        (("--c", "--form", "text"), """form must be "object" or "source", got 'text'."""),
    ],
)
def test_flags_that_cannot_be(flags, message, folder, tmp_path):
    ended = ostinato(tmp_path, "export", folder("numbers"), *flags)
    assert ended.status == 2 and re.search(message, ended.err.replace("\n", " ")), ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "received", "remedy"),
    [
        (made_model.of_labels, "of the task classify that reads both directions", "Train with --one-direction"),
        (made_model.of_tags, "of the task tag that reads both directions", "Train with --one-direction"),
        (made_model.of_transcripts, "of the task transcribe that reads both", "Train with --one-direction"),
        (made_model.of_items, "of the task generate, whose condition is read beside every unit", "--onnx"),
        (made_model.of_music, "of the task music that decides the keys .* one after another", "--chords apart"),
        (made_model.of_gaps, "of the task fill, whose units depend on those after them", "train a language model"),
        (made_model.of_translations, "of the task translate, whose decoder reads the whole source", "--onnx"),
        (made_model.of_forecasts, "of the task forecast, which reads a whole window", "--onnx"),
    ],
)
def test_networks_that_do_not_run_step_by_step_are_refused_by_name(make, received, remedy, tmp_path):
    make().save(tmp_path / "model")
    before = sorted((tmp_path / "model").iterdir())
    ended = ostinato(tmp_path, "export", "model", "--page")
    expected = f"MODEL must be one whose network runs step by step, got one {received}.*{remedy}"
    assert ended.status == 2 and re.search(expected, ended.err.replace("\n", " ")), ended.err
    assert sorted((tmp_path / "model").iterdir()) == before


def test_sub_word_units_have_c_and_a_module_and_no_page(folder, exported):
    assert (exported("parts of words", "--wasm") / "net.wasm").exists()
    ended = ostinato(folder("parts of words").parent, "export", "model", "--page")
    assert ended.status == 2 and "got one of sub-word units" in ended.err and "--unit char" in ended.err


def test_a_machine_without_kernels_has_c_source(monkeypatch):
    def none():
        raise NoKernelsError("none")

    assert chips.this_machine() in package.export.CHIPS
    monkeypatch.setattr(chips, "host", none)
    assert chips.this_machine() == "c99"
