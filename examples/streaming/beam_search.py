"""Beam search over a character model, with the beam as rows of a stream: `fork` makes it, `take` reorders it.

    python examples/streaming/beam_search.py [--prompt "the old "] [--beams 4]

The model is trained here, in seconds, on sentences that are made here.
"""

import argparse
import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import ostinato

WORDS = (
    ("the old ", "the young ", "a tired ", "a "),
    ("cat ", "carpenter ", "sailor ", "singer "),
    ("sees ", "sells ", "sings to ", "follows "),
    ("the moon.", "the sea.", "a mouse.", "a song."),
)
"""A sentence takes one of each."""
END = "."


class CharacterModel(nn.Module):
    """tokens [T, B] → log-probabilities of the next one [T, B, K]."""

    def __init__(self, characters: int, hidden: int = 64):
        super().__init__()
        self.embedding = nn.Embedding(characters, 16)
        self.rnn, self.head = ostinato.GRU(16, hidden), nn.Linear(hidden, characters)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(tokens))[0]).log_softmax(-1)


@dataclass(frozen=True)
class Found:
    """A text that the search ended with, and its log-probability after the prompt."""

    text: str
    score: float


def trained(updates: int, alphabet: str) -> CharacterModel:
    """A model after so many updates on 32 sentences each."""
    torch.manual_seed(0)
    draw = random.Random(0)
    model = CharacterModel(len(alphabet))
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(updates):
        rows = ["".join(draw.choice(words) for words in WORDS) for _ in range(32)]
        length = max(map(len, rows))
        tokens = torch.tensor([encode(row.ljust(length, END), alphabet) for row in rows]).T
        scores = model(tokens[:-1])
        loss = nn.functional.nll_loss(scores.flatten(0, 1), tokens[1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def encode(text: str, alphabet: str) -> list[int]:
    return [alphabet.index(character) for character in text]


def search(model: nn.Module, prompt: str, alphabet: str, beams: int, most: int = 60) -> Found:
    """The most probable text that begins with `prompt` and ends with a full stop, among those that the beam keeps."""
    reader = ostinato.stream(model)
    first = reader.push(torch.tensor(encode(prompt, alphabet)))[-1]  # [K], after the prompt's last character
    # Every row of the beam begins from the state after the prompt, with a character of its own.
    beam = reader.fork([0] * beams)
    scores, tokens = first.topk(beams)
    texts = [prompt + alphabet[k] for k in tokens]
    for _ in range(most):
        if all(text.endswith(END) for text in texts):
            break
        after = beam.step(tokens)  # [beams, K]
        for row, text in enumerate(texts):
            if text.endswith(END):  # a finished text continues with full stops of log-probability 0
                after[row] = -torch.inf
                after[row, alphabet.index(END)] = 0.0
        scores, place = (scores[:, None] + after).flatten().topk(beams)
        parents, tokens = place // len(alphabet), place % len(alphabet)
        beam.take(parents.tolist())  # row k goes on from the state of its parent
        texts = [
            texts[p] if texts[p].endswith(END) else texts[p] + alphabet[k]
            for p, k in zip(parents.tolist(), tokens.tolist())
        ]
    return Found(texts[0], scores[0].item())


def main() -> list[Found]:
    """Train, and search with one row and with several; returns what both found."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--prompt", default="the old ")
    options.add_argument("--beams", type=int, default=4)
    options.add_argument("--updates", type=int, default=120, help="of the training")
    chosen = options.parse_args()
    alphabet = "".join(sorted({character for words in WORDS for word in words for character in word}))
    model = trained(chosen.updates, alphabet)
    results = [search(model, chosen.prompt, alphabet, beams) for beams in (1, chosen.beams)]
    for beams, found in zip((1, chosen.beams), results):
        tokens = torch.tensor(encode(found.text, alphabet))
        with torch.inference_mode():
            steps = model(tokens[:-1, None])[:, 0].gather(1, tokens[1:, None])
        again = steps[len(chosen.prompt) - 1 :].sum().item()
        print(f"beam of {beams}: {found.text!r}, log-probability {found.score:.4f}, by the whole model {again:.4f}")
    return results


if __name__ == "__main__":
    main()
