"""Training of character models by truncated backpropagation through time.

The text is cut into B streams that are read in parallel, T steps at a time. The state after one chunk starts the
next one, detached: the loss sees at most T steps back, the state sees everything since the streams began.

Letters: T steps, B streams, N characters of a text, K distinct characters.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ostinato.apps.models import CharModel, State
from ostinato.errors import InputError, phrase
from ostinato.loss import sequence_loss


@dataclass(frozen=True)
class Text:
    """A text as numbers: `train` [N] and `valid` [M] int64 index `alphabet`, the K distinct characters in order."""

    alphabet: str
    train: Tensor
    valid: Tensor

    @classmethod
    def of(cls, text: str, held_out: float = 0.07) -> Self:
        """Number the characters of `text`; the last `held_out` share of it, in one piece, is for validation."""
        if not 0 < held_out < 1:
            raise InputError(phrase("Text", "held_out", "a share between 0 and 1", held_out))
        alphabet = "".join(sorted(set(text)))
        number = {character: index for index, character in enumerate(alphabet)}
        ids = torch.tensor([number[character] for character in text], dtype=torch.int64, device="cpu")
        cut = len(ids) - round(held_out * len(ids))
        return cls(alphabet, ids[:cut], ids[cut:])

    def encode(self, text: str) -> Tensor:
        """[len(text)] int64; a character outside the alphabet is refused."""
        unknown = sorted(set(text) - set(self.alphabet))
        if unknown:
            remedy = "A model reads only characters that occur in the text it was trained on."
            raise InputError(phrase("Text.encode", "text", "characters of the alphabet", repr(unknown[0]), remedy))
        return torch.tensor([self.alphabet.index(character) for character in text], dtype=torch.int64, device="cpu")

    def decode(self, ids: Tensor) -> str:
        """The characters of ids [N]."""
        return "".join(self.alphabet[index] for index in ids.tolist())


def streams(ids: Tensor, batch: int) -> Tensor:
    """Cut ids [N] into `batch` pieces of equal length, side by side: [N // B, B]; what does not fit is left out."""
    steps = len(ids) // batch
    if batch < 1 or steps < 2:
        remedy = "Use fewer streams or a longer text; every stream needs two characters at least."
        expected = f"between 1 and {max(1, len(ids) // 2)} for {len(ids)} characters"
        raise InputError(phrase("streams", "batch", expected, batch, remedy))
    return ids[: steps * batch].view(batch, steps).t().contiguous()


def windows(ids: Tensor, count: int, length: int) -> Tensor:
    """`count` pieces of ids [N], evenly spread and overlapping where they must: [length, count]."""
    if count < 1 or not 1 <= length <= len(ids):
        expected = f"one at least, of 1 to {len(ids)} characters"
        raise InputError(phrase("windows", "count and length", expected, f"{count} of {length}"))
    starts = torch.linspace(0, len(ids) - length, count, dtype=torch.float32, device="cpu").long()
    return torch.stack([ids[start : start + length] for start in starts.tolist()], dim=1)


def chunks(streamed: Tensor, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Successive inputs and targets, each [T, B], of streamed [N, B]; the last chunk may be shorter."""
    for start in range(0, len(streamed) - 1, steps):
        stop = min(start + steps, len(streamed) - 1)
        yield streamed[start:stop], streamed[start + 1 : stop + 1]


def detach(state: State) -> State:
    """The same values without their history."""
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)


class Trainer:
    """One model, one text, one optimiser; every call of `step` is one chunk forward, back, and an update.

    Loss: cross entropy in nats, averaged over the T·B characters of the chunk. Optimiser: Adam; the learning rate
    falls linearly from `learning_rate` to a tenth of it over `total` steps. The gradient of all weights together is
    clipped to norm `clip`. At the end of the text the state is reset and the text is read again.
    """

    def __init__(
        self,
        model: CharModel,
        text: Text,
        *,
        batch: int = 32,
        steps: int = 64,
        total: int = 1000,
        learning_rate: float = 3e-3,
        clip: float = 1.0,
    ) -> None:
        self.model = model
        self.batch, self.steps, self.total, self.clip = batch, steps, total, clip
        self.characters = 0
        self._streams = streams(text.train, batch)
        self._state: State = None
        self._chunks = chunks(self._streams, steps)
        self._optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
        self._schedule = torch.optim.lr_scheduler.LinearLR(self._optimiser, 1.0, 0.1, max(1, total))

    def step(self) -> float:
        """Train on the next chunk; returns its loss in nats for each character. `characters` counts what was read."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self._chunks, self._state = chunks(self._streams, self.steps), None
            chunk = next(self._chunks)
        ids, targets = chunk
        self._optimiser.zero_grad()
        scores, state = self.model(ids, self._state)
        loss = sequence_loss(scores, targets)
        loss.backward()
        clip_grad_norm_(self.model.parameters(), self.clip)
        self._optimiser.step()
        self._schedule.step()
        self._state = detach(state)
        self.characters += ids.numel()
        return loss.item()


@torch.no_grad()
def bits_per_character(model: CharModel, ids: Tensor, *, batch: int = 16, steps: int = 256) -> float:
    """Mean cross entropy of the next character, in bits (nats / ln 2), over ids [N] read as `batch` streams.

    Every stream starts from the layer's own start, so a short text costs a little more than the same model would
    need inside a long one. A model that knows nothing needs log2 K.
    """
    streamed = streams(ids, batch)
    nats, count, state = 0.0, 0, None
    for inputs, targets in chunks(streamed, steps):
        scores, state = model(inputs, state)
        nats += sequence_loss(scores, targets, reduction="sum").item()
        count += targets.numel()
    return nats / count / math.log(2)


def weight_count(model: nn.Module) -> int:
    """How many numbers the model learns."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
