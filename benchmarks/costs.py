"""What a user meets besides the speed of long sequences: `python benchmarks/costs.py`, one line a measurement.

Import and first calls, one single step, memory, long sequences, checkpointing, denormal numbers, cells of the user's
own. Each is told beside its target, and a table is written to results/costs.md.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import checkpointing as through_time
import own_cells as cells
import own_process
import report
import torch
from measure import in_turns, pair
from peak import copied, peak
from rich.console import Console
from shapes import Kind, Shape
from torch import Tensor, nn

RESULTS = Path(__file__).parent / "results"
ROW = 100
"""Calls in a row: a stream is stepped through so, and nothing else has used the processor's caches meanwhile."""
MEMORY: dict[Kind, float] = {"LSTM": 6, "GRU": 5, "RNN tanh": 1, "RNN relu": 1}
"""Kind → the most that may be kept for backward beside input and output, in units of T·B·H numbers."""


@dataclass(frozen=True)
class Line:
    """One measurement: what, the most it may be (None: told without a target), what was found, unit, and a remark."""

    what: str
    most: float | None
    found: float
    unit: str = ""
    remark: str = ""

    @property
    def row(self) -> tuple[str, ...]:
        """For a table."""
        met = "" if self.most is None else "yes" if self.found <= self.most else "no"
        most = "" if self.most is None else f"≤ {_number(self.most)}"
        return self.what, most, f"{_number(self.found)} {self.unit}".strip(), met, self.remark


def imports(seconds: float) -> Iterator[Line]:
    """What `import ostinato` adds to a process that has imported torch."""
    yield Line("import ostinato, after torch", 0.15, own_process.import_seconds(5), "s")


def first_calls(seconds: float) -> Iterator[Line]:
    """The first call of a cell that no earlier process has seen, and the same from the cache of kernels."""
    for training in (False, True):
        cold, warm = own_process.first_call_seconds(training)
        most = 0.5 if training else 1.0
        yield Line(f"first call of a new cell, {report.mode(training)}: compiled", most, cold, "s")
        yield Line(f"first call of a new cell, {report.mode(training)}: from the cache", 0.05, warm, "s")


def one_step(seconds: float) -> Iterator[Line]:
    """One call at T = 1, B = 1, H = 64 in inference mode, through the layer."""
    kinds: tuple[Kind, ...] = ("LSTM", "GRU")
    for kind in kinds:
        ours, theirs = pair(Shape(kind, False, 1, 1, 64, 64))
        calls = [partial(layer, torch.randn(1, 1, 64)) for layer in (ours, theirs)]
        for count, how, target in ((ROW, "calls in a row", 20), (1, "after a call of torch.nn's", None)):
            with torch.inference_mode():
                spent = in_turns([partial(_repeat, call, count) for call in calls], seconds, 100)
            mine, torchs = (_median(times) / count * 1e6 for times in spent)
            what = f"{kind}, one call at T = B = 1, H = 64, {how}"
            yield Line(what, target, mine, "µs", f"torch.nn {torchs:.1f} µs")


def _repeat(call: Callable[[], object], count: int) -> None:
    for _ in range(count):
        call()


def memory(seconds: float) -> Iterator[Line]:
    """Kept for backward beside input, output, states and weights, in units of T·B·H numbers."""
    for kind, most in MEMORY.items():
        shape = Shape(kind, True, 100, 8, 64, 64)
        mine, torchs = (kept(layer, shape) for layer in pair(shape))
        yield Line(f"{kind}, kept for backward", most, mine, "T·B·H", f"torch.nn {torchs:.2f}")


def kept(layer: nn.Module, shape: Shape) -> float:
    """Numbers that one forward pass of `layer` saves for backward, over T·B·H."""
    x = torch.randn(shape.steps, shape.batch, shape.features, requires_grad=True)
    parts = tuple(torch.zeros(1, shape.batch, shape.hidden) for _ in range(2 if shape.kind == "LSTM" else 1))
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output, state = layer(x, parts if len(parts) > 1 else parts[0])
    finals = state if isinstance(state, tuple) else (state,)
    for tensor in (x, output, *finals, *parts, *layer.parameters()):
        sizes.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(sizes.values()) / (x.element_size() * shape.steps * shape.batch * shape.hidden)


def long(seconds: float) -> Iterator[Line]:
    """T = 20,000 against T = 200: proportional, and nothing that grows faster."""
    kinds: tuple[Kind, ...] = ("LSTM", "GRU")
    for kind in kinds:
        layer = pair(Shape(kind, True, 200, 1, 64, 64))[0]
        spent = in_turns([_training(layer, torch.randn(steps, 1, 64)) for steps in (200, 20_000)], seconds, 3)
        short, lengthy = map(_median, spent)
        yield Line(f"{kind}, training, B = 1, H = 64: T = 20,000 over T = 200", 150, lengthy / short, "times")


def checkpointing(seconds: float) -> Iterator[Line]:
    """checkpoint="sqrt" over a layer without: the most that is kept for backward, and the time of a training step."""
    kinds: tuple[Kind, ...] = ("LSTM", "GRU")
    for kind in kinds:
        what = f'{kind}, checkpoint="sqrt" over none, T = 10,000, B = 16, H = 256'
        less, all_of_it = through_time.memory(kind)
        remark = f"{less / 1e6:.1f} MB of {all_of_it / 1e6:.1f} MB"
        yield Line(f"{what}: memory", 0.1, less / all_of_it, "times", remark)
        spent = through_time.seconds(kind, seconds)
        yield Line(f"{what}: time", 1.45, _median(spent[0]) / _median(spent[1]), "times")


def denormals(seconds: float) -> Iterator[Line]:
    """Inputs and gradients that make every state and every product denormal, against ordinary ones."""
    kinds: tuple[Kind, ...] = ("LSTM", "GRU", "RNN tanh")
    for kind in kinds:
        shape = Shape(kind, True, 100, 8, 64, 64)
        layer = pair(shape)[0]
        for name, weight in layer.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(weight)
        x = torch.randn(shape.steps, shape.batch, shape.features)
        calls = [_training(layer, x * scale, scale) for scale in (1.0, 1e-39)]
        ordinary, denormal = map(_median, in_turns(calls, seconds, 5))
        yield Line(f"{kind}, training: denormal over ordinary numbers", 1.1, denormal / ordinary, "times")


def own_cells(seconds: float) -> Iterator[Line]:
    """A user's cell beside the built-in one of the same equations, and cells beside the plain one they vary."""
    for training in (False, True):
        for batch, hidden in ((4, 64), (32, 128)):
            ratio = cells.renamed(batch, hidden, training, seconds)
            what = f"the LSTM typed by a user over ostinato.LSTM, {report.mode(training)}, B = {batch}, H = {hidden}"
            yield Line(what, 1.03, ratio, "times")
    for name, plain in cells.VARIANTS.items():
        for training in (False, True):
            ratio, needed = cells.variant(name, plain, training, seconds)
            what = f"{name} over {plain}, {report.mode(training)}, for the products it has"
            yield Line(what, 1.3, ratio / needed, "times", f"time {ratio:.2f}, products {needed:.2f}")


def memory_bound(seconds: float) -> Iterator[Line]:
    """Cells whose states meet elementwise: bytes of input, output and weights a second, beside a large copy.

    What is left to multiply is the product with x, which a layer can do at its full rate; so C decides which of the
    two bounds them.
    """
    bound, most = copied(), peak()
    for name in cells.ELEMENTWISE:
        for inputs, training in ((8, False), (8, True), (256, False), (256, True)):
            moved, arithmetic = cells.traffic(name, inputs, training, seconds)
            remark = f"{moved / bound:.0%} of a copy's {bound / 1e9:.0f} GB/s, {arithmetic / most:.0%} of peak"
            what = f"{name}, {report.mode(training)}, T = 400, B = 32, C = {inputs}, H = 256"
            yield Line(what, None, moved / 1e9, "GB/s", remark)


MEASUREMENTS: dict[str, Callable[[float], Iterator[Line]]] = {
    each.__name__: each
    for each in (imports, first_calls, one_step, memory, long, checkpointing, denormals, own_cells, memory_bound)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and unless --only write results/costs.md."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", choices=["", *MEASUREMENTS], help="one of them; writes nothing")
    options.add_argument("--seconds", type=float, default=2.0, help="for each pair of timings")
    options.add_argument("--write", type=Path, metavar="PAGE", help="also put the table between the page's markers")
    chosen = options.parse_args(arguments)
    console, lines = Console(), []
    for name, measure in MEASUREMENTS.items():
        for line in measure(chosen.seconds) if chosen.only in ("", name) else ():
            lines.append(line)
            console.print(" · ".join(part for part in line.row if part), highlight=False, soft_wrap=True)
    if not chosen.only:
        text = page(lines)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "costs.md").write_text(f"# Costs beside the speed\n\n{text}", encoding="utf-8")
        if chosen.write:
            report.fill(chosen.write, "costs", text)
    return 0


def page(lines: Sequence[Line]) -> str:
    """The table with its machine."""
    return report.measured(
        report.markdown_table(["what", "target", "measured", "met", ""], [line.row for line in lines])
    )


def _training(layer: nn.Module, x: Tensor, scale: float = 1.0) -> Callable[[], None]:
    from_above = scale * torch.randn(*x.shape[:-1], layer.hidden_size)  # type: ignore[call-overload]

    def call() -> None:
        layer.zero_grad()
        layer(x)[0].backward(from_above)

    return call


def _median(times: Sequence[float]) -> float:
    return sorted(times)[len(times) // 2]


def _number(value: float) -> str:
    """Three significant digits, whole from 100 on."""
    digits = 3 - len(str(int(abs(value)))) if math.isfinite(value) and abs(value) >= 1 else 3
    text = f"{value:.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


if __name__ == "__main__":
    sys.exit(main())
