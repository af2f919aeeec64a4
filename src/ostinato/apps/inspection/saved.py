"""Character models as files: weights as safetensors, and in their metadata what is needed to build the model again."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ostinato.apps.models import CharModel
from ostinato.errors import InputError, phrase
from ostinato.layers import GRU, LSTM, RNN

WHERE = "ostinato inspect"
KINDS = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}


@dataclass(frozen=True)
class Saved:
    """A model out of a file, and the K characters that its ids stand for, in order."""

    model: CharModel
    alphabet: str
    cell: str


def save_model(path: Path, cell: str, model: CharModel, alphabet: str) -> None:
    """Writes a model whose layer is of the class `cell`, one of RNN, GRU and LSTM with one layer."""
    about = {
        "cell": cell,
        "input_size": str(model.layer.input_size),
        "hidden_size": str(model.layer.hidden_size),
        "alphabet": json.dumps(alphabet),
    }
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    save_file(weights, path, about)


def load_model(path: Path) -> Saved:
    """Reads what `save_model` wrote; any other file is refused with the reason."""
    remedy = "`ostinato demo` writes such files, one for each cell."
    if not path.exists():
        raise InputError(phrase(WHERE, "MODEL", "an existing file", path, remedy))
    if not path.is_file():
        raise InputError(phrase(WHERE, "MODEL", "a file", f"the folder {path}", remedy))
    expected = "a model that `ostinato demo` saved"
    try:
        with safe_open(path, "pt") as opened:
            about = opened.metadata() or {}
        weights = load_file(path)
    except OSError as error:
        raise InputError(phrase(WHERE, "MODEL", "readable", f"{path} ({error.strerror or error})", remedy)) from None
    except SafetensorError as error:
        received = f"{path}, which is no safetensors file ({error})"
        raise InputError(phrase(WHERE, "MODEL", expected, received, remedy)) from None
    own = "For a model of your own write MODULE:FUNCTION, which returns (model, batch, loss)."
    missing = [name for name in ("cell", "input_size", "hidden_size", "alphabet") if name not in about]
    if missing:
        raise InputError(phrase(WHERE, "MODEL", expected, f"{path} without {', '.join(missing)} in its metadata", own))
    if about["cell"] not in KINDS:
        raise InputError(phrase(WHERE, "the model's cell", f"one of {', '.join(KINDS)}", repr(about["cell"]), own))
    try:
        alphabet = json.loads(about["alphabet"])
        layer = KINDS[about["cell"]](int(about["input_size"]), int(about["hidden_size"]))
        model = CharModel(layer, len(alphabet))
        model.load_state_dict(weights)
    except (ValueError, TypeError, RuntimeError) as error:
        received = f"{path}, whose metadata and weights disagree: {' '.join(str(error).split())}"
        raise InputError(phrase(WHERE, "MODEL", expected, received, remedy)) from None
    check_finite(model)
    return Saved(model, alphabet, about["cell"])


def check_finite(model: nn.Module) -> None:
    """Refuses a model of which a weight is inf or NaN: everything measured with it would be."""
    for name, p in model.named_parameters():
        bad = int((~torch.isfinite(p)).sum())
        if bad:
            received = f"{bad} of {p.numel()} values of {name} that are inf or NaN"
            remedy = "Take an earlier checkpoint; `lens.Live` stops a run before the update that breaks it."
            raise InputError(phrase(WHERE, "the weights", "finite", received, remedy))
