"""Token classes of a vocabulary: the kinds of word that recovery is split by.

| class | which tokens |
|---|---|
| special | the tokenizer's own: padding, mask, unknown, separators |
| number | a digit and no letter besides an ordinal's or plural's: 7, 1990, 3rd, 90s |
| function | `FUNCTION_WORDS`, in any case: they carry grammar and say little of the text |
| rare | a capitalised word, or one of the least frequent that make up `RARE_SHARE` of the text |
| common | every other token with a letter |
| punctuation | whatever has neither letter nor digit |

A piece of a word counts by itself. An uncased vocabulary has no capitals, so there only rarity
makes a word rare; in a cased one the first word of a sentence is capitalised too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

RARE_SHARE = 0.1  # of the tokens of the text that are words and no function words
CLASSES = ("special", "number", "function", "rare", "common", "punctuation")
CONTENT = ("number", "rare", "common")
JUDGED = ("number", "rare", "function")
"""The classes with a metric of their own."""

_WORDS = """
a an the this that these those some any no every each either neither such
i me my mine myself you your yours yourself he him his himself she her hers herself it its
itself we us our ours ourselves they them their theirs themselves who whom whose which what
and or but nor so yet if because although though while whereas unless until since than as
of in on at by for with about against between into through during before after above below
to from up down out off over under upon within without toward towards across among along
be am is are was were been being have has had having do does did doing
will would shall should can could may might must ought
not there here when where why how then too very just also only both all more most other
s t re ve ll d m don didn doesn isn aren wasn weren hasn haven hadn won wouldn couldn shouldn
"""
FUNCTION_WORDS = frozenset(_WORDS.split())


@dataclass(frozen=True)
class TokenClasses:
    """The class of every token [vocab], as an index into `CLASSES`."""

    index: np.ndarray

    def mask(self, *names: str) -> np.ndarray:
        """Return which tokens are of any of these classes, bool [vocab]."""
        return np.isin(self.index, [CLASSES.index(name) for name in names])

    @cached_property
    def content(self) -> np.ndarray:
        """Return which tokens are neither special, punctuation nor function words [vocab]."""
        return self.mask(*CONTENT)


def classify(tokens: Sequence[str], special: Sequence[int], counts: np.ndarray) -> TokenClasses:
    """Return the class of every token.

    tokens: the vocabulary as the tokenizer writes it, its marks for pieces and spaces included;
    special: the ids of special tokens; counts: how often each token occurs in the text, at most
    [vocab].
    """
    words = [plain(token)[0] for token in tokens]
    index = np.array([CLASSES.index(_kind(word)) for word in words])
    index[list(special)] = CLASSES.index("special")
    often = np.zeros(len(words), dtype=np.int64)
    often[: len(counts)] = counts[: len(words)]
    common = index == CLASSES.index("common")
    index[common & (often <= _limit(often[common]))] = CLASSES.index("rare")
    return TokenClasses(index)


def plain(token: str) -> tuple[str, bool]:
    """Return a token without the tokenizer's mark, and whether it continues a word.

    >>> plain("##ing"), plain("\\u0120the"), plain("the")
    (('ing', True), ('the', False), ('the', False))
    """
    if token.startswith("##") and len(token) > 2:
        return token[2:], True
    return token.lstrip("\u0120\u2581"), False


def _kind(word: str) -> str:
    """Return the class of a word by its letters alone."""
    if word.lower() in FUNCTION_WORDS:
        return "function"
    if any(letter.isdigit() for letter in word):
        return "number" if _number(word) else "common"
    if not any(letter.isalpha() for letter in word):
        return "punctuation"
    return "rare" if word[0].isupper() else "common"


def _number(word: str) -> bool:
    """Return whether a word with a digit has no letters but an ordinal's or a plural's."""
    letters = "".join(letter for letter in word if letter.isalpha()).lower()
    return letters in ("", "st", "nd", "rd", "th", "s")


def _limit(often: np.ndarray) -> int:
    """Return the largest count at which a word is rare: those up to it make up RARE_SHARE at most.

    Words that never occur are rare as well.
    """
    order = np.sort(often)
    total = order.cumsum()
    limit = 0
    for count in np.unique(order):
        if total[np.searchsorted(order, count, side="right") - 1] > RARE_SHARE * total[-1]:
            break
        limit = int(count)
    return limit
