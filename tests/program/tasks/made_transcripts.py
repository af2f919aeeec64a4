"""Made inputs whose transcripts are known: noisy codes of letters, keys of a telephone, digits as pairs of tones."""

import numpy as np

from ostinato.program.data.examples import Examples
from ostinato.program.data.sound.log_mel import log_mel
from ostinato.program.tasks.transcribing.transcribe import Transcribe
from program.tasks.trained_tasks import trained_task

SMALL = {"hidden": 16, "layers": 1, "batch": 32, "learning_rate": 0.03, "dropout": 0.0}
KEYS = {"a": "2", "b": "22", "d": "3", "e": "33", "h": "44", "l": "555", "o": "666", "s": "7777", "t": "8"}
"""How often which key of a telephone is pressed for a letter."""
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE = 8000


def codes(count, seed=0, noise=0.2, letters="abcde", longest=5):
    """Each letter is one to three noisy steps of a code [6]; two equal letters have a step of another code between."""
    draw, code = np.random.default_rng(seed), np.random.default_rng(99).normal(size=(len(letters) + 1, 6))
    series, texts = [], []
    for _ in range(count):
        text = "".join(draw.choice(list(letters), int(draw.integers(1, longest + 1))))
        steps, last = [], ""
        for letter in text:
            steps += [code[-1]] if letter == last else []
            steps += [code[letters.index(letter)]] * int(draw.integers(1, 4))
            last = letter
        series.append(np.array(steps) + noise * draw.normal(size=(len(steps), 6)))
        texts.append(text)
    return Examples("series", series, "transcript", texts, tuple("uvwxyz"), "said")


def keys(count, seed=0, kind="tokens"):
    """Texts of doubled letters, and the keys that are pressed for them, with a pause between letters of one key."""
    draw = np.random.default_rng(seed)
    rows, texts = [], []
    for _ in range(count):
        text = "".join(letter * int(draw.integers(1, 3)) for letter in draw.choice(list(KEYS), 3))
        pressed = []
        for place, letter in enumerate(text):
            pause = place and KEYS[letter][0] == KEYS[text[place - 1]][0]
            pressed += [*(["_"] if pause else []), *KEYS[letter]]
        rows.append(pressed if kind == "tokens" else "".join(pressed))
        texts.append(text)
    return Examples(kind, rows, "transcript", texts, ("keys",), "text")


def dialled(text, draw):
    """float64 [S]: each digit is a pair of tones of 160 to 300 ms, a pause after it; each call has its own loudness."""
    low, high = (697, 770, 852, 941), (1209, 1336, 1477)
    parts = [np.zeros(int(RATE * draw.uniform(0.03, 0.1)))]
    for word in text.split():
        times = np.arange(int(RATE * draw.uniform(0.16, 0.3))) / RATE
        digit = DIGITS.index(word)
        tones = [f * draw.uniform(0.98, 1.02) for f in (low[digit % 4], high[digit // 4])]
        parts.append(sum(np.sin(2 * np.pi * f * times) for f in tones) * draw.uniform(0.2, 0.4))
        parts.append(np.zeros(int(RATE * draw.uniform(0.03, 0.1))))
    signal = np.concatenate(parts)
    return signal + 0.01 * draw.normal(size=len(signal))


def digits(count, seed=0):
    """Log-mel frames of one to three digits, and the words for them."""
    draw = np.random.default_rng(seed)
    texts = [" ".join(draw.choice(DIGITS, int(draw.integers(1, 4)))) for _ in range(count)]
    frames = [np.asarray(log_mel(dialled(text, draw), RATE, 24), np.float64) for text in texts]
    return Examples("series", frames, "transcript", texts, tuple(f"m{k}" for k in range(24)), "said")


def trained(train, valid, updates=100, **options):
    """(task, network, fitted) of made rows."""
    return trained_task(Transcribe, train, valid, {**SMALL, "updates": updates, **options})
