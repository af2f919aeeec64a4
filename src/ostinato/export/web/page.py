"""`page`: one HTML file in which a network runs, offline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..._version import __version__
from ...lens.render.html.markup import Html, listed, tag, together
from ...lens.render.html.style import STYLE
from ...network import Network, Recurrent
from ...output_files import file_path, write_file
from ...streaming.streams import Stream
from ..products import multiply_adds
from .contents import Contents, contents, embedded
from .meaning import Meaning, described
from .net_script import NET_SCRIPT
from .page_script import PAGE_SCRIPT
from .pictures import PICTURES_STYLE, picture_section, pictures

_WHERE = "export.page"
MOST_INPUTS = 12
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'wasm-unsafe-eval'"
"""The browser itself refuses whatever the page would ask the network for."""
_OWN_STYLE = """
.ill { border-left: 0.35rem solid var(--red); background: var(--soft); padding: 0.6rem 0.9rem; max-width: 60rem; }
textarea { width: 100%; min-height: 6rem; font: 1rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; color: var(--ink);
  background: var(--soft); border: 1px solid var(--line); border-radius: 0.25rem; padding: 0.5rem; }
button { font: inherit; color: var(--ink); background: var(--soft); border: 1px solid var(--line);
  border-radius: 0.25rem; padding: 0.4rem 0.9rem; min-height: 2.75rem; cursor: pointer; }
button:hover { border-color: var(--ink); }
button:focus-visible, textarea:focus-visible, input:focus-visible { outline: 3px solid var(--blue);
  outline-offset: 2px; }
input[type="range"], input[type="checkbox"] { accent-color: var(--blue); }
.controls { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center; margin: 0.5rem 0; }
.controls label { display: flex; gap: 0.5rem; align-items: center; }
#note { color: var(--mark); margin: 0.25rem 0; }
#bars { display: grid; grid-template-columns: fit-content(12rem) 1fr 4.5rem; gap: 0.25rem 0.6rem;
  align-items: center; max-width: 46rem; }
#bars .row { display: contents; }
#bars .lead { grid-column: 1 / -1; }
.symbol { white-space: pre-wrap; overflow-wrap: anywhere; }
.token .symbol { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
.bar { background: var(--soft); height: 1rem; border-radius: 0.2rem; overflow: hidden; }
.bar span { display: block; height: 100%; background: var(--blue); }
.share { text-align: right; font-variant-numeric: tabular-nums; color: var(--dim); }
.slider { display: grid; grid-template-columns: minmax(4rem, 9rem) 1fr 3.5rem auto; gap: 0.6rem; align-items: center;
  min-height: 2.25rem; }
.slider input[type="range"] { width: 100%; min-width: 0; }
.slider output { text-align: right; font-variant-numeric: tabular-nums; }
canvas { display: block; width: 100%; }
@media (max-width: 32rem) { .slider { grid-template-columns: minmax(3rem, 5rem) 1fr 3rem auto; gap: 0.4rem; } }
.keys { display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
.key i { display: inline-block; width: 1.1rem; height: 0.25rem; margin-right: 0.4rem; vertical-align: middle; }
.live h2 { margin-top: 1.5rem; }
"""


@dataclass(frozen=True)
class ExportedPage:
    """The file of a page."""

    file: Path
    """One HTML file."""
    file_bytes: int
    """Its size in bytes."""
    code_bytes: int
    """Bytes of both modules in it, before base64."""
    weights_bytes: int
    """Bytes of the packed weights, before base64."""

    def __str__(self) -> str:
        return f"{self.file}: {self.file_bytes} bytes; {self.code_bytes} of code, {self.weights_bytes} of weights"


def page(
    model: nn.Module | Network | Stream,
    file: str | PathLike[str],
    meaning: Meaning | None = None,
    *,
    bits: str = "same",
    samples: Tensor | None = None,
) -> ExportedPage:
    """Writes one HTML file in which a model that `ostinato.stream` runs is run in the browser, offline.

    model    in float32; a Network, or a Stream for its network
    file     where the page goes, its name ending in .html
    meaning  what the numbers stand for: with a vocabulary the reader types a text and sees the next token's
             probabilities; without one the reader moves sliders and sees the outputs as lines
    bits     as in `ostinato.export.wasm`
    samples  the same: [T, C], or tokens int64 [T]

    The page runs the self-test and shows its result. `#text=abc` after the address is the text that it begins with,
    `#x=0.1,0.2;0.3,0.4` the steps of a network of numbers. Raises what `ostinato.export.wasm` raises, and InputError
    and ShapeError where the meaning does not fit the model.
    """
    path = file_path(_WHERE, "file", file, (".html", ".htm"))
    found = contents(_WHERE, model, bits, samples, probed=True)
    text = page_text(found, meaning or Meaning())
    write_file(_WHERE, "file", path, text)
    code = sum(len(found.emitted.module(way, False).data) for way in ("relaxed", found.portable))
    return ExportedPage(path, len(text.encode()), code, len(found.emitted.weights))


def page_text(found: Contents, meaning: Meaning) -> str:
    """The page, every string of the caller's escaped."""
    network, layout = found.network, found.emitted.kernel.layout
    drawn = pictures(layout)
    record = described(meaning, network) | {"pictures": drawn, "sliders": MOST_INPUTS}
    head = together(
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", meaning.title),
        tag("style", Html(STYLE + _OWN_STYLE + PICTURES_STYLE)),
    )
    header = tag("header", tag("h1", meaning.title), tag("p", meaning.about, class_="lead") if meaning.about else "")
    parts = [
        _check(),
        *(_text(record) if record["vocabulary"] is not None else _numbers(record, network)),
        picture_section(layout, drawn),
    ]
    foot = tag(
        "footer", f"Ostinato {__version__}. The network runs in this file, which asks for nothing outside of it."
    )
    script = f'"use strict";\n{found.script()}const PAGE = {embedded(record)};\n{NET_SCRIPT}{PAGE_SCRIPT}'
    facts = tag("section", tag("h2", "The network"), listed(_facts(found)))
    inside = together(header, tag("main", *parts, facts), foot, tag("script", Html(f"(() => {{\n{script}}})();\n")))
    body = tag("body", inside, class_="live")
    return "<!doctype html>\n" + tag("html", tag("head", head), "\n", body, lang="en") + "\n"


def _check() -> Html:
    words = "Same bits as in Python: "
    said = together(
        words, tag("strong", "not yet known", id="same"), ". Here: ", tag("span", "-", id="arithmetic"), "."
    )
    script = tag("noscript", tag("p", "The network needs JavaScript to run.", class_="ill"))
    return tag("section", script, tag("p", said, id="selftest", role="status"))


def _buttons(step: str, go: str, more: object = "") -> Html:
    steps = tag("span", tag("span", "0", id="steps"), " steps")
    made = [tag("button", words, id=name, type="button") for name, words in (("step", step), ("go", go)) if words]
    return tag("div", *made, tag("button", "Reset", id="reset", type="button"), more, steps, class_="controls")


def _text(record: dict[str, Any]) -> Iterator[Html]:
    heat = tag(
        "label",
        "Temperature",
        tag("input", type="range", id="heat", min="0", max="1.5", step="0.1", value="0.7"),
        tag("output", "0.7", id="heat-value", for_="heat"),
    )
    predicts = record["predicts"]
    box = Html('<textarea id="text" spellcheck="false" autocapitalize="off" autocomplete="off"></textarea>')
    buttons = _buttons("Step", "Write on", heat) if predicts else _buttons("", "")
    title = "Text" if predicts else "Input"
    yield tag("section", tag("h2", tag("label", title, for_="text")), box, tag("p", id="note", role="status"), buttons)
    single = all(len(word) == 1 for word in record["vocabulary"])
    yield from _outputs(record, f"Next {'character' if single else 'token'}" if predicts else "Output")


def _numbers(record: dict[str, Any], network: Network) -> Iterator[Html]:
    sliders = [_slider(record, k, name) for k, name in enumerate(record["inputs"][:MOST_INPUTS])]
    more = network.input.width - MOST_INPUTS
    rest = tag("p", f"The other {more} inputs are 0.", class_="lead") if more > 0 else ""
    drawn = _lines("signal", "The input, step by step")
    yield tag("section", tag("h2", "Input"), *sliders, rest, _buttons("Step", "Run"), drawn)
    yield from _outputs(record, "Output")


def _slider(record: dict[str, Any], k: int, name: str) -> Html:
    low, high = record["low"], record["high"]
    sine: object = tag("label", tag("input", type="checkbox", id=f"sine{k}", checked="" if k == 0 else None), " sine")
    reach = {"min": low, "max": high, "step": (high - low) / 200, "value": _between(low, high)}
    if k in record["flags"]:
        sine, reach = tag("span"), {"min": 0, "max": 1, "step": 1, "value": 1}
    slider = tag("input", type="range", id=f"input{k}", **reach)
    value = tag("output", "", id=f"value{k}", for_=f"input{k}")
    return tag("div", tag("label", name, for_=f"input{k}"), slider, value, sine, class_="slider")


def _between(low: float, high: float) -> float:
    return min(max(0.0, low), high)


def _outputs(record: dict[str, Any], title: str) -> Iterator[Html]:
    if record["output"] == "numbers":
        yield tag("section", tag("h2", title), _lines("outputs", "The output, step by step"))
    else:
        yield tag("section", tag("h2", title), tag("div", id="bars", class_="token" if record["predicts"] else None))


def _lines(name: str, words: str) -> Html:
    key = tag("div", id=f"{name}-key", class_="keys")
    return together(tag("canvas", id=name, role="img", aria_label=words), key)


def _facts(found: Contents) -> list[tuple[str, object]]:
    network = found.network
    layers = [f"{n.cell.name} {n.sizes[0]} → {n.width}" for n in network.nodes if isinstance(n, Recurrent)]
    x = network.input
    return [
        ("recurrent layers", ", ".join(layers) or "none"),
        ("input", f"{x.width} numbers" if x.tokens is None else f"1 of {x.tokens} tokens"),
        ("output", f"{network.nodes[network.output].width} numbers"),
        ("multiply-adds a step", f"{multiply_adds(network):,}".replace(",", "\u202f")),
        ("weights", f"{len(found.emitted.weights) / 1024:.0f} KiB"),
        ("code", f"{len(found.emitted.module(found.portable, False).data) / 1024:.1f} KiB"),
        ("state", f"{len(found.emitted.initial)} bytes"),
    ]
