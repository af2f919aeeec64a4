"""Models for whole tasks, each a recurrent layer with what it needs around it.

Letters: T steps, B sequences, C input features, H hidden units, L layers, D directions, K characters.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from ostinato.errors import InputError, phrase

State = Any
"""What a recurrent layer carries on: a tensor [D·L, B, H], or a tuple of them, or None for the layer's own start."""


class CharModel(nn.Module):
    """A character language model: at every step the scores of the next character.

        x_t = E[character_t]           E [K, C], one row for each character
        h_t = layer(x_t, h_{t-1})      any recurrent layer with torch.nn's calling convention, time first
        score_t = V h_t + c            V [K, H]

    Shapes: ids [T, B] int64 → scores [T, B, K], state as the layer's own ([L, B, H] for each of its states).

    `layer` may come from ostinato or from torch.nn; the parameters have the same names and sizes, so
    `model.load_state_dict(other.state_dict())` moves weights between the two.
    """

    def __init__(self, layer: nn.Module, characters: int) -> None:
        super().__init__()
        if getattr(layer, "bidirectional", False):
            remedy = "A layer that reads ahead has already seen the character to predict; use bidirectional=False."
            raise InputError(phrase("CharModel", "layer", "one-directional", "a bidirectional layer", remedy))
        if getattr(layer, "batch_first", False):
            remedy = "Build the layer with batch_first=False; ids are [T, B]."
            raise InputError(phrase("CharModel", "layer", "time first", "batch_first=True", remedy))
        input_size = cast(int, layer.input_size)
        width = cast(int, getattr(layer, "proj_size", 0) or layer.hidden_size)
        self.embedding = nn.Embedding(characters, input_size)
        self.layer = layer
        self.head = nn.Linear(width, characters)

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Scores of the next character: ids [T, B] → ([T, B, K], state after the last step)."""
        output, state = self.layer(self.embedding(ids), state)
        return self.head(output), state

    @torch.no_grad()
    def generate(self, prompt: Tensor, length: int, temperature: float = 1.0, seed: int = 0) -> Tensor:
        """Draw `length` characters after `prompt`, one at a time, each fed back as the next input.

        Shapes: prompt [T] int64 → [length] int64. Each character is drawn from softmax(score / temperature) with a
        generator of its own, so the same seed gives the same text and the global generator is not used.
        """
        if prompt.numel() == 0:
            raise InputError(phrase("CharModel.generate", "prompt", "at least one character", "none"))
        if not temperature > 0:
            remedy = "Small values such as 0.1 come close to always taking the likeliest character."
            raise InputError(phrase("CharModel.generate", "temperature", "above 0", temperature, remedy))
        generator = torch.Generator("cpu").manual_seed(seed)
        scores, state = self(prompt[:, None])
        drawn = []
        for _ in range(length):
            chances = torch.softmax(scores[-1, 0] / temperature, dim=0)
            drawn.append(torch.multinomial(chances, 1, generator=generator))
            scores, state = self(drawn[-1][:, None], state)
        return torch.cat(drawn) if drawn else prompt.new_empty(0)
