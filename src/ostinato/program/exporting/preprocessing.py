"""What another program does before and after the network: how texts are divided, numbers scaled, recordings read.

Everything here is a part of model.json: sentences, and the numbers and patterns that they name.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..data.sound.log_mel import FLOOR, GRID, HOP, WINDOW, Frames
from ..running.model import Model
from ..tasks import vocabulary
from ..tasks.inputs import TextInputs
from ..tasks.texts import units
from ..tasks.texts.units import TextUnits

SCALED = (
    "Scaled: (value - mean) / deviation of each channel, 0 where the value is missing; then for each channel of "
    "`flagged` one more number, 1 where the value is there."
)


def preprocessing(model: Model) -> dict[str, Any]:
    """Name of a step → what it does, for a model."""
    task: Any = model.task
    found: dict[str, Any] = {}
    if task.name in ("classify", "regress", "tag", "transcribe"):
        found["input"] = _rows(task.inputs)
    if task.name in ("language-model", "generate", "fill"):
        found["text"] = _text(task.units)
    if task.name == "translate":
        found |= {"source": _text(task.units.source), "target": _text(task.units.target)}
        plain = "U+00A0, U+2007 and U+202F are read as spaces. An empty source is one mark."
        found["both"] = {"says": plain, "mark_of_sources": len(task.units.source), "mark": task.mark}
        most = "10 + ceil(2 * max(per_unit * units of the source, mean)), by lengths.json"
        found["output"] = {"says": f"Begins and ends with the mark; has no unknown unit, 0; at most {most}."}
    if task.name == "generate":
        found["output"] = {"says": "Begins and ends with the mark.", "mark": task.mark}
    if task.name == "fill":
        found["edge"] = {"says": "Before and after a text; a gap is the unknown unit, 0.", "entry": len(task.units)}
    if task.name == "classify":
        scores = "sigmoid of each score; labels are those above 0.5" if task.several else "softmax of the scores"
        found["output"] = {"says": f"The probability is the {scores}, in the order of labels.json."}
    if task.name == "tag":
        found["output"] = {"says": "The probability is the softmax of the scores, in the order of labels.json."}
    if task.name == "regress":
        found["output"] = {"says": "number = score * deviation + mean of `target` in scaling.json"}
    if task.name == "transcribe":
        found |= _transcripts(model)
    if task.name == "forecast":
        found |= _forecast(task)
    if task.name == "music":
        temperature = "for a temperature t give 1 / (1 + (1 / u - 1) ** t) for each draw u"
        found["numbers"] = {"says": f"Draws from 0 to 1; {temperature}."}
    return found


def _rows(inputs: Any) -> dict[str, Any]:
    if not isinstance(inputs, TextInputs):
        return {"says": SCALED, "channels": list(inputs.channels)}
    own = {"unit": inputs.unit, "lowercase": inputs.lowercase, "normal_form": "NFC"}
    says = "Entry k + 1 is the k-th of `entries`; 0 is every other unit."
    if inputs.kind == "tokens":
        return {"says": f"A row is a list of tokens. {says}", **own}
    pattern = {"pattern": vocabulary.WORD.pattern} if inputs.unit == "word" else {}
    return {"says": f"Units are {_divided(inputs.unit)}. {says}", **own, **pattern}


def _text(found: TextUnits) -> dict[str, Any]:
    if found.tokenizer:
        library = "Entry k + 1 is token k of tokenizer.json, a file of the package tokenizers; 0 is unknown."
        return {"says": library, "unit": found.unit}
    own = {"unit": found.unit, "lowercase": found.lowercase, "normal_form": "NFC"}
    pattern = {"pattern": units.WORD.pattern} if found.unit == "word" else {}
    says = f"Units are {_divided(found.unit)}. Entry k + 1 is the k-th of `entries`; 0 is every other unit."
    return {"says": says, **own, **pattern}


def _divided(unit: str) -> str:
    return "what the regular expression `pattern` finds" if unit == "word" else "the characters of the text"


def _transcripts(model: Model) -> dict[str, Any]:
    task: Any = model.task
    joined = f"{task.steps} neighbouring steps side by side are one frame, zeros after the last."
    path = "The label of the largest score of each frame, without repetitions, then without the blank 0."
    found = {"frames": {"says": joined, "steps": task.steps}, "output": {"says": f"{path} Label k + 1 is entry k."}}
    data = model.config.options.data
    if data.audio is None or data.rate is None:
        return found
    sizes = Frames.at(data.rate)
    formula = (
        "log(floor + filters @ |FFT|^2) of windows with a periodic Hann window, padded with zeros to `points`, rounded "
        "to multiples of 1 / grid; triangles of unit area in hertz, evenly spaced on Slaney's mel scale"
    )
    own = {"rate": data.rate, "bands": len(task.inputs.channels), "floor": FLOOR, "grid": GRID, **asdict(sizes)}
    seconds = {"window_seconds": WINDOW, "hop_seconds": HOP}
    return {"recording": {"says": f"Steps are log-mel numbers: {formula}.", **own, **seconds}, **found}


def _forecast(task: Any) -> dict[str, Any]:
    steps = [
        "1. y = log(value) where `log` is set, else the value.",
        "2. z = (y - mean) / deviation of the series in `scales`; of another series, of its own values.",
        "3. A missing z is the last one before it. own = z - z of the last step; beside it 1 where z was there, where "
        "`flagged` is set.",
        f"4. guess: `{task.scaling.guess}` with the season {task.scaling.season}, as README.txt computes it.",
        "5. forecast = mean + deviation * (guess + error * errors), exp of it where `log` is set.",
    ]
    quantiles = [float(q) for q in task.quantiles]
    cycles = "known: scaled columns, then sin and cos of 2 pi * seconds since 1970 / cycle for each of `cycles`."
    return {"forecast": {"says": steps, "quantiles": quantiles}, "covariates": {"says": f"{SCALED} {cycles}"}}
