"""`ostinato inspect`: which model, which data, which file."""

from pathlib import Path

import torch

from ostinato.apps.reading import read_text
from ostinato.apps.training import Text
from ostinato.errors import InputError, phrase
from ostinato.lens import Report
from ostinato.program.packages import require_program

from .saved import WHERE, Saved, check_finite, load_model
from .user_example import example
from .watched import ROWS, STEPS, example_page, text_page

KINDS = (".html", ".json", ".png", ".svg")


def inspect(
    model: str,
    *,
    text: Path | None = None,
    data: Path | None = None,
    out: Path | None = None,
    rows: int = ROWS,
    steps: int = STEPS,
) -> tuple[Report, Path]:
    """Looks into a model and writes the page; returns what was measured, and where it is.

    model       a folder that `ostinato train` wrote; the file of a character model that `ostinato demo` saved; or
                "module:function", which returns (model, batch, loss): any torch model, what it is called with, and a
                function from what it returns to a single number
    text        for a saved file: a UTF-8 file; by default Python's language reference. The last 7 % are read, which
                the demo holds out
    data        for a folder: rows with targets; by default the validation rows of its training
    out         a file that is not there yet: .html, or .json, .png, .svg as `Report.save`; by default named after the
                model
    rows, steps for a saved file: how many windows of the text, and of how many characters; rows also of a folder

    Raises InputError for everything that cannot serve, before a file is written.
    """
    from_file = Path(model).exists() or Path(model).suffix == ".safetensors" or ":" not in model
    folder = Path(model).is_dir()
    name = Path(model).resolve().name if folder else Path(model).stem if from_file else model.partition(":")[2]
    _only_beside("--text", text, from_file and not folder, "a file that `ostinato demo` saved")
    _only_beside("--data", data, folder, "a folder that `ostinato train` wrote")
    target = _free(Path(f"{name or 'inspect'}.html") if out is None else out)
    for option, value, least in (("--rows", rows, 1), ("--steps", steps, 2)) if from_file else ():
        if value < least:
            raise InputError(phrase(WHERE, option, f"{least} or more", value))
    if folder:
        require_program("ostinato inspect")
        from .model_folder import folder_page  # imports the packages of the program

        report, options = folder_page(Path(model), data, rows)
    elif from_file:
        saved = load_model(Path(model))
        source, ids = _ids(saved, text, rows, steps)
        about = {"model": model, "text": source, "characters of it that were at hand": len(ids)}
        report, options = text_page(
            saved.model, saved.alphabet, ids, title=Path(model).name, about=about, rows=rows, steps=steps
        )
    else:
        given = example(model)
        check_finite(given.model)
        report, options = example_page(given, model)
    return report, report.save(target, **(options if target.suffix.lower() == ".html" else {}))


def _only_beside(option: str, value: Path | None, fits: bool, kind: str) -> None:
    """Refuses an option of one kind of model beside another."""
    if value is not None and not fits:
        raise InputError(phrase(WHERE, option, f"absent unless MODEL is {kind}", value, "Leave it out."))


def _free(path: Path) -> Path:
    """A place for a file of a kind that can be written, and where nothing is overwritten."""
    remedy = "Name another with --out."
    if path.suffix.lower() not in KINDS:
        expected = f"the name of a file that ends in one of {', '.join(KINDS)}"
        raise InputError(phrase(WHERE, "--out", expected, path, remedy))
    if path.exists():
        raise InputError(phrase(WHERE, "--out", "a file that is not there yet", path, remedy))
    if not path.parent.is_dir():
        raise InputError(phrase(WHERE, "--out", "in a folder that exists", path, remedy))
    return path


def _ids(saved: Saved, path: Path | None, rows: int, steps: int) -> tuple[str, torch.Tensor]:
    """(name of the text, the characters at its end as the model numbers them, [N])."""
    source, text = read_text(path, WHERE, steps + 1)
    unknown = sorted(set(text) - set(saved.alphabet))
    if unknown:
        line = text[: text.index(unknown[0])].count("\n") + 1
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        received = f"{unknown[0]!r} in line {line} of {source}{more}"
        remedy = (
            "A model reads only what it learned to read: name with --text the text it was trained on, or one like it."
        )
        raise InputError(phrase(WHERE, "--text", f"of the model's {len(saved.alphabet)} characters", received, remedy))
    numbers = Text(saved.alphabet, torch.empty(0, device="cpu"), torch.empty(0, device="cpu")).encode(text)
    # As much as the demo holds out, and enough that windows do not overlap where the text has it.
    return source, numbers[-max(round(0.07 * len(numbers)), rows * (steps + 1)) :]
