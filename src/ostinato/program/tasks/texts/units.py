"""Texts that a network reads and writes unit by unit: characters, words or sub-word units, without loss.

Letters: N units of a text, V entries.
"""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ....errors import InputError, phrase
from ...data.libraries import needed
from ...options import NetworkOptions

UNKNOWN = 0
"""The entry that all units outside the vocabulary share."""
UNKNOWN_TEXT = "\ufffd"
"""What an unknown unit is written as."""
WORD = re.compile(r"\n| ?\w+(?:['’]\w+)*| ?[^\w\s]|[^\S\n]+?(?= \S)|[^\S\n]+")
"""A line break; a word or one sign of punctuation, with the space before it; other white space. After A. Radford et
al., Language models are unsupervised multitask learners, 2019, whose pattern this is but for line breaks."""
_LAST = 0x110000


@dataclass(frozen=True)
class TextUnits:
    """The units that texts are divided into, and their entries in a vocabulary of training texts.

    The units of a text, joined, are the text: white space and line breaks are units, or parts of units. A text may be
    divided after a line break, or before a single space, and encoded part by part with the same result.
    """

    unit: str
    """char, word, or bpe: with the number of its entries."""
    lowercase: bool
    entries: Sequence[str] = ()
    """Of characters and words: entry k + 1 is the k-th of these, the most frequent first."""
    tokenizer: str = ""
    """Of sub-word units: the JSON of the tokenizers library."""

    @classmethod
    def of(cls, texts: Iterable[str], options: NetworkOptions, least: int = 1) -> TextUnits:
        """From training texts; `auto` is characters. What occurs less than `least` times has no entry of its own.

        Raises MissingPackageError for sub-word units without the tokenizers package.
        """
        unit = "char" if options.unit == "auto" else options.unit
        texts = (normal(text, options.lowercase) for text in texts)
        if unit.startswith("bpe:"):
            return cls.from_json(json.loads(_trained(texts, int(unit[4:]), options.lowercase)))
        counts = _characters(texts) if unit == "char" else _words(texts)
        known = [entry for entry in counts if counts[entry] >= least]
        order = sorted(known, key=lambda entry: (-counts[entry], entry))
        return cls(unit, options.lowercase, tuple(order[: options.vocabulary]))

    def __len__(self) -> int:
        """V: the entries, the unknown one among them."""
        return 1 + (self._bpe.get_vocab_size() if self.tokenizer else len(self.entries))

    @property
    def file(self) -> str:
        """The name under which the model folder keeps this."""
        return "tokenizer.json" if self.tokenizer else "vocabulary.json"

    @property
    def noun(self) -> str:
        """A unit in words."""
        return {"char": "character", "word": "word"}.get(self.unit, "sub-word unit")

    def encode(self, text: str) -> np.ndarray:
        """int32 [N]: the entry of each unit."""
        if self.tokenizer:
            found = np.array(self._bpe.encode(text, add_special_tokens=False).ids, np.int32)
            return (found + 1).astype(np.int32)
        text = normal(text, self.lowercase)
        if self.unit == "char":
            return self._by_code[_codes(text)]
        places = self._places
        return np.array([places.get(word, UNKNOWN) for word in WORD.findall(text)], np.int32)

    def decode(self, entries: Iterable[int]) -> str:
        """The text of entries; an unknown unit is U+FFFD."""
        return "".join(self.pieces(entries))

    def pieces(self, entries: Iterable[int]) -> list[str]:
        """[N] the text of each entry. A character that several sub-word units spell is the last one's."""
        texts = self._texts
        if not self.tokenizer:
            return [texts[int(entry)] for entry in entries]
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        found = [decoder.decode(texts[int(entry)]) for entry in entries]
        rest = decoder.decode(b"", True)
        return [*found[:-1], found[-1] + rest] if found else []

    def to_json(self) -> dict[str, Any]:
        if self.tokenizer:
            return dict(json.loads(self.tokenizer))
        return {"unit": self.unit, "lowercase": self.lowercase, "entries": list(self.entries)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TextUnits:
        """What `to_json` gave. Raises InputError for a tokenizer that its library cannot read."""
        if "entries" in content:
            entries = tuple(str(entry) for entry in content["entries"])
            return cls(str(content["unit"]), bool(content["lowercase"]), entries)
        text = json.dumps(content, ensure_ascii=False)
        steps = (content.get("normalizer") or {}).get("normalizers", [])
        made = cls("bpe:0", any(step.get("type") == "Lowercase" for step in steps), tokenizer=text)
        return cls(f"bpe:{len(made) - 1}", made.lowercase, tokenizer=text)

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {entry: k for k, entry in enumerate(self.entries, 1)}

    @cached_property
    def _by_code(self) -> np.ndarray:
        """int32 [characters of Unicode]: the entry of each."""
        found = np.full(_LAST, UNKNOWN, np.int32)
        found[[ord(entry) for entry in self.entries]] = np.arange(1, len(self.entries) + 1)
        return found

    @cached_property
    def _texts(self) -> Sequence[Any]:
        """[V]: the text of each entry; of sub-word units its bytes."""
        if not self.tokenizer:
            return [UNKNOWN_TEXT, *self.entries]
        byte_of = {letter: byte for byte, letter in enumerate(_byte_letters())}
        names = [self._bpe.id_to_token(k) for k in range(len(self) - 1)]
        return [UNKNOWN_TEXT.encode(), *(bytes(byte_of[letter] for letter in name) for name in names)]

    @cached_property
    def _bpe(self) -> Any:
        library: Any = needed("tokenizers", "--unit bpe")
        try:
            return library.Tokenizer.from_str(self.tokenizer)
        except Exception as error:  # the library raises nothing more special
            remedy = "Copy the folder again from where it was made."
            received = str(error)[:100]
            raise InputError(phrase("load", "tokenizer.json", "of the tokenizers library", received, remedy)) from error


def normal(text: str, lowercase: bool) -> str:
    """The text in Unicode's composed form, and in small letters where it is so read."""
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return text.lower() if lowercase else text


def _codes(text: str) -> np.ndarray:
    """uint32 [characters]"""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _characters(texts: Iterable[str]) -> Mapping[str, int]:
    counts = np.zeros(_LAST, np.int64)
    for text in texts:
        codes, found = np.unique(_codes(text), return_counts=True)
        counts[codes] += found
    return {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}


def _words(texts: Iterable[str]) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(WORD.findall(text))
    return counts


def _trained(texts: Iterable[str], entries: int, lowercase: bool) -> str:
    """The JSON of a byte-level tokenizer with at most so many entries: any text can be encoded, and decoded exactly."""
    library: Any = needed("tokenizers", "--unit bpe")
    made = library.Tokenizer(library.models.BPE())
    steps: list[Callable[[], Any]] = [library.normalizers.NFC]
    steps += [library.normalizers.Lowercase] if lowercase else []
    made.normalizer = library.normalizers.Sequence([step() for step in steps])
    split, level = library.pre_tokenizers.Split, library.pre_tokenizers.ByteLevel
    made.pre_tokenizer = library.pre_tokenizers.Sequence([split("\n", "isolated"), level(add_prefix_space=False)])
    made.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=entries, initial_alphabet=level.alphabet(), show_progress=False, special_tokens=[]
    )
    made.train_from_iterator(texts, trainer)
    return str(made.to_str())


def _byte_letters() -> list[str]:
    """[256] the letter that the library writes for each byte: its own where it is visible, else one from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) if byte in visible else chr(256 + hidden.index(byte)) for byte in range(256)]
