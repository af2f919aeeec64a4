"""An audio effect in blocks of 64 samples, as a plug-in calls it: an LSTM that learned the sound of a driven amplifier.

    python examples/streaming/audio_blocks.py [--seconds 2]

The sound is made here, plucked strings; nothing is read from a file. The blocks are pushed through a stream, which
carries the state from one to the next, and give the same bits as the whole recording in one call.
"""

import argparse
import time

import torch
from torch import Tensor, nn

import ostinato

RATE, BLOCK = 48_000, 64
"""Samples a second; samples of a block, as audio drivers deliver them."""


class Effect(nn.Module):
    """x [T, B, 1] → y [T, B, 1]: the input, and what the network adds to it."""

    def __init__(self, hidden: int = 16):
        super().__init__()
        self.rnn, self.head = ostinato.LSTM(1, hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.head(self.rnn(x)[0])


def plucked(samples: int, generator: torch.Generator) -> Tensor:
    """Strings plucked three times a second: [samples, 1] between -1 and 1."""
    time_of = torch.arange(samples) / RATE
    pitch = 110.0 * 2 ** (torch.randint(24, (samples * 3 // RATE + 1,), generator=generator) / 12)
    note = (time_of * 3).long()
    since = time_of - note / 3
    tone = sum(torch.sin(2 * torch.pi * pitch[note] * k * since) / k for k in (1, 2, 3))
    return (0.5 * torch.exp(-6 * since) * tone)[:, None]


def amplifier(x: Tensor) -> Tensor:
    """What the network learns: the slope of the signal is boosted, then clipped softly. x [T, B, 1] → [T, B, 1]."""
    before = torch.cat([torch.zeros_like(x[:1]), x[:-1]])
    return torch.tanh(4 * x + 8 * (x - before))


def trained(updates: int, generator: torch.Generator) -> Effect:
    """An effect after so many updates on pieces of 256 samples."""
    torch.manual_seed(0)
    model = Effect()
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    sound = plucked(4 * RATE, generator)
    for _ in range(updates):
        first = torch.randint(len(sound) - 256, (16,), generator=generator)
        x = torch.stack([sound[k : k + 256] for k in first], 1)
        # The first steps begin from a state of zeros; the loss leaves them out.
        loss = (model(x) - amplifier(x))[16:].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"{updates} updates, squared error {loss.item():.4f}")
    return model.eval()


def main() -> dict[str, Tensor]:
    """Train, stream, compare; returns the sound in blocks, in one push, and from the model."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=2.0, help="of sound")
    options.add_argument("--updates", type=int, default=150, help="of the training")
    chosen = options.parse_args()
    torch.set_num_threads(1)  # an audio thread has one core
    generator = torch.Generator().manual_seed(1)
    model = trained(chosen.updates, generator)
    sound = plucked(int(chosen.seconds * RATE) // BLOCK * BLOCK, generator)

    stream = ostinato.stream(model)
    played = torch.empty_like(sound)
    stream.push(sound[:BLOCK])  # the first call is slower than later ones
    stream.reset()
    spent = []
    for x, y in zip(sound.split(BLOCK), played.split(BLOCK)):
        start = time.perf_counter()
        stream.push(x, out=y)  # [64, 1] → [64, 1]; nothing is allocated for the result
        spent.append(time.perf_counter() - start)
    length = len(sound) / RATE
    print(f"{len(spent)} blocks: {length / sum(spent):.1f} times real time")
    print(f"the slowest block took {1e3 * max(spent):.2f} ms of the {1e3 * BLOCK / RATE:.2f} ms that it lasts")

    stream.reset()
    whole = stream.push(sound)
    print(f"the same bits as the whole in one push: {torch.equal(played, whole)}")
    with torch.inference_mode():
        expected = model(sound[:, None])[:, 0]
    print(f"at most {(played - expected).abs().max().item():.0e} from the model's own call")
    return {"played": played, "whole": whole, "expected": expected}


if __name__ == "__main__":
    main()
