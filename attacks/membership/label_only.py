"""Label-only membership: the classes that a model gives to a text and to altered copies of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attacks.attack import Lacks, served
from attacks.signals import Signals
from fedbert.data.batches import Encoded
from fedbert.errors import expect

MOST = 1000  # copies
RATES = (0.1, 0.2, 0.3, 0.4)
"""Shares of a text's words that are altered, of one copy after the other."""


@dataclass(frozen=True)
class LabelGap:
    """Scores a candidate 1 where the model's class is its label, else 0: one query.

    Threat model: anyone who is told the released model's class for a text, no score with it, and
    holds candidates with their labels.

    Reference: Yeom, Giacomelli, Fredrikson, Jha (2018), "Privacy risk in machine learning",
    section 3.1.
    """

    name: str = "label gap"
    view: str = "release"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return _lacking(signals, 0)

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return 1 or 0 [candidate]."""
        first: np.ndarray = _right(served(signals, self.missing(signals), self.name))[0]
        return first


@dataclass(frozen=True)
class LabelOnly:
    """Scores by the share of altered copies of a candidate that are given its label, and by whether
    it is itself, which counts as much as all copies: 1 + `copies` queries for each candidate.

    Copies lose words, have neighbours swapped, or other words in their place (`altered`). A member
    lies further from where the model's class changes.

    Threat model: as `LabelGap`.

    Reference: Choquette-Choo, Tramer, Carlini, Papernot (2021), "Label-only membership inference
    attacks", section 4; a sum in place of the attack model that is trained on a shadow.
    """

    copies: int = 8
    name: str = "label only"
    view: str = "release"

    def __post_init__(self) -> None:
        """Check the number of copies."""
        expect(1 <= self.copies <= MOST, f"1 <= copies <= {MOST}", "copies", self.copies)

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return _lacking(signals, self.copies)

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return a number from 0 to 2 [candidate]."""
        right = _right(served(signals, self.missing(signals), self.name))
        score: np.ndarray = right[0] + right[1 : 1 + self.copies].mean(0)
        return score


def altered(
    encoded: Encoded, special: Sequence[int], number: int, rng: np.random.Generator
) -> Encoded:
    """Return copy `number` of every text: some words dropped, swapped with the next, or replaced.

    Of each text a share of RATES is altered, one word at least; special tokens stay, and so does a
    last word. Words to replace others by are drawn from all of the texts'.
    """
    rate, words = RATES[number % len(RATES)], encoded.tokens[~np.isin(encoded.tokens, special)]
    texts, kinds = (
        np.split(each, encoded.offsets[1:-1]) for each in (encoded.tokens, encoded.token_types)
    )
    found = []
    for text, types in zip(texts, kinds, strict=True):
        found.append(_altered(text, types, ~np.isin(text, special), words, rate, rng))
    tokens, token_types = (np.concatenate(parts) for parts in zip(*found, strict=True))
    offsets = np.concatenate(([0], np.cumsum([len(text) for text, _ in found])))
    documents = np.arange(len(found))
    return Encoded(encoded.task, tokens, token_types, offsets, encoded.labels, documents)


def _altered(
    text: np.ndarray,
    types: np.ndarray,
    worded: np.ndarray,
    words: np.ndarray,
    rate: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return one text and its types [seq] with some words altered; worded [seq]: no special one."""
    where = np.flatnonzero(worded)
    if len(where) == 0:
        return text, types
    ids, kept = text.copy(), np.ones(len(text), dtype=bool)
    count = max(1, int(rng.binomial(len(where), rate)))
    for place in rng.permutation(where)[:count]:
        what = rng.integers(3)
        if what == 0 and kept[where].sum() > 1:
            kept[place] = False
        elif what == 1 and place + 1 < len(ids) and worded[place + 1]:
            ids[place], ids[place + 1] = ids[place + 1], ids[place]
        else:
            ids[place] = words[rng.integers(len(words))]
    return ids[kept], types[kept]


def _right(signals: Signals) -> np.ndarray:
    """Return where the model's class is the candidate's label [query, candidate], as 1 or 0."""
    answered: Any = signals.answered
    right: np.ndarray = (answered == signals.candidates.labels).astype(np.float64)
    return right


def _lacking(signals: Signals, copies: int) -> Lacks | None:
    """Return what is lacking for so many copies, or None."""
    if signals.answered is None or signals.candidates.labels is None:
        return Lacks(("answered",), "needs `answered`: classes, which the model does not give")
    there = len(signals.answered) - 1
    words = f"needs `answered`: classes of {copies} altered copies, got {there}"
    return None if there >= copies else Lacks(("answered",), words)
