"""Subject and verb at a distance: "the dogs owned by Mrs Smith near the old tower … were"."""

import torch
from torch import Generator, Tensor

from .task import Examples, only_last, symbols, task

SINGULAR = "dog child teacher farmer horse boat house garden tower bridge".split()
PLURAL = "dogs children teachers farmers horses boats houses gardens towers bridges".split()
CLASSES: dict[str, list[str]] = {
    "the": ["the"],
    "noun": SINGULAR + PLURAL,
    "adjective": "old small red quiet famous".split(),
    "preposition": "near behind beside above from".split(),
    "participle": "owned seen painted loved known".split(),
    "by": ["by"],
    "title": ["Mrs", "Mr"],
    "surname": "Smith Brown Young Parker".split(),
    "first name": "Anna Peter Maria Paul".split(),
    "adverb": "today still often here".split(),
}
WORDS = [word for words in CLASSES.values() for word in words]
PHRASES = (
    "preposition the noun",
    "participle by first-name",
    "preposition the adjective noun",
    "participle by title surname",
    "participle by the noun",
    "participle by the adjective noun",
)
"""What may stand between subject and verb, in any number and order. One or two adverbs fill what no phrase fits."""

_NAMES = list(CLASSES)
_FIRST = torch.tensor([WORDS.index(words[0]) for words in CLASSES.values()], device="cpu")
_COUNT = torch.tensor([len(words) for words in CLASSES.values()], device="cpu")
_NOUN = _NAMES.index("noun")
_PROPER = (_NAMES.index("surname"), _NAMES.index("first name"))
_KINDS = [*(phrase.split() for phrase in PHRASES), ["adverb"], ["adverb"] * 2]
_LENGTHS = torch.tensor([len(kind) for kind in _KINDS], device="cpu")
_LONGEST = int(_LENGTHS.max())
_PATTERNS = torch.tensor(
    [[_NAMES.index(name.replace("-", " ")) for name in kind + ["the"] * (_LONGEST - len(kind))] for kind in _KINDS],
    device="cpu",
)


def _fillers() -> Tensor:
    """Kinds of exactly r = 0 … 4 words, two choices each (0 words: never read): [5, 2]."""
    choices: list[list[int]] = [[0, 0]]
    for length in range(1, _LONGEST):
        fitting = [index for index, kind in enumerate(_KINDS) if len(kind) == length]
        choices.append([fitting[0], fitting[-1]])
    return torch.tensor(choices, device="cpu")


_FILLERS = _fillers()


def _classes(length: int, batch: int, generator: Generator) -> Tensor:
    """The word class at each of `length` places between subject and verb: [length, batch]."""
    most = length // int(_LENGTHS[: len(PHRASES)].min()) + 1
    kinds = torch.randint(len(PHRASES), (most, batch), generator=generator, device="cpu")
    ends = _LENGTHS[kinds].cumsum(0)
    fitting = (ends <= length).sum(0)
    filled = torch.where(fitting > 0, ends.gather(0, (fitting - 1).clamp(min=0)[None])[0], 0)
    choice = torch.randint(2, (batch,), generator=generator, device="cpu")
    # The phrase that did not fit makes room for one of exactly the words that are left.
    kinds = torch.cat([kinds, kinds[:1]]).scatter(0, fitting[None], _FILLERS[length - filled, choice][None])
    ends = _LENGTHS[kinds].cumsum(0)
    place = torch.arange(length, device="cpu")[:, None].expand(length, batch)
    at = torch.searchsorted(ends.t().contiguous(), place.t().contiguous(), right=True).t()
    kind = kinds.gather(0, at)
    start = ends.gather(0, at) - _LENGTHS[kind]
    return _PATTERNS[kind, place - start]


@task(
    source="number prediction as in T. Linzen, E. Dupoux, Y. Goldberg, TACL 4 (2016), arXiv 1611.01368; grammar and "
    "words are our own",
    criterion="at most 1 % of the verbs wrong, what the paper finds for an LSTM told the number of each verb",
    loss="cross entropy",
    bound=0.01,
    chance=0.5,
    shortest=1,
    sizes=lambda lag: (len(WORDS), 2),
    grouped_by="misleading nouns",
)
def agreement(lag: int, batch: int, generator: Generator) -> Examples:
    """Whether "was" or "were" follows "the SUBJECT …", with lag - 1 words between the subject and the verb.

    Between them stand phrases such as "owned by Mrs Smith" or "near the old towers", drawn without regard to the
    subject. class 1 is "were". T = lag + 1 words, the answer is due after the last. A row's group is the number of
    nouns between, names included, whose number is not the subject's: the words that mislead.
    """
    subject = torch.randint(len(SINGULAR + PLURAL), (1, batch), generator=generator, device="cpu")
    plural = (subject >= len(SINGULAR)).long()
    classes = _classes(lag - 1, batch, generator)
    word = (torch.rand(classes.shape, generator=generator, dtype=torch.float32, device="cpu") * _COUNT[classes]).long()
    noun, proper = classes == _NOUN, torch.isin(classes, torch.tensor(_PROPER, device="cpu"))
    number = noun & (word >= len(SINGULAR))
    misleading = ((noun | proper) & (number.long() != plural)).sum(0)
    the = torch.full((1, batch), WORDS.index("the"), device="cpu")
    ids = torch.cat([the, WORDS.index(SINGULAR[0]) + subject, _FIRST[classes] + word])
    last = only_last(lag + 1, batch)
    return Examples(symbols(ids, len(WORDS)), plural.expand(lag + 1, batch), last, last, misleading)
