"""Bag of words, multi-label: every word of the vocabulary is predicted by itself."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Lacks
from attacks.pooled.evidence import Evidence
from attacks.pooled.knowledge import PooledKnowledge
from attacks.pooled.lesson import Lesson
from fedbert.errors import expect


@dataclass(frozen=True)
class BagOfWords:
    """The set of words of highest expected F1, by a logistic regression per word.

    Threat model: that of `PooledKnowledge`. The regression starts from linear discriminants in
    closed form, is trained on the auxiliary texts and on up to `splices` texts made of their parts,
    through clip and noise, and stops at the best held-out loss.

    Decision: with independent words the k likeliest give an F1 of about 2 sum_k(p) / (k + sum(p));
    the answer is the best k. sum(p), the expected number of words, is scaled as serves held-out F1.

    Reference: Song and Raghunathan (2020), "Information leakage in embedding models", section 3.3
    (multi-label classification); Ye, Chai, Lee and Chieu (2012), for F1 as a decision.

    Raises:
        InputError: for a negative number of splices.
    """

    splices: int = 4000
    name: str = "bag of words"
    view: str = "release"

    def __post_init__(self) -> None:
        """Check the setting."""
        expect(self.splices >= 0, "splices >= 0", "splices", self.splices)

    def missing(self, knowledge: PooledKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return knowledge.missing()

    def invert(
        self, vectors: np.ndarray, knowledge: PooledKnowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the guessed words' ids [word] int64 of each vector, likeliest first.

        Raises:
            InputError: as `PooledAttack.invert`.
        """
        lesson = Lesson.of(vectors, knowledge, generator, self.name, self.splices)
        evidence = Evidence.of(lesson, generator)
        with torch.no_grad():
            held = evidence.logits(lesson.seen(lesson.held_out, generator)).sigmoid()
            truth = lesson.bags(lesson.held_out)
            stretch = max(STRETCHES, key=lambda s: _f1(decided(held, s), truth))
            answers = decided(evidence.logits(lesson.received(vectors)).sigmoid(), stretch)
        return [lesson.words[answer.numpy()] for answer in answers]


STRETCHES = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)


def decided(chances: Tensor, stretch: float = 1.0) -> list[Tensor]:
    """Return the indices [word] of the set of highest expected F1, likeliest first.

    chances [text, vocab]: of each word to occur, as if independent; their sum counts `stretch`
    times as the expected number of words.
    """
    ordered, order = chances.sort(dim=1, descending=True, stable=True)
    expected = stretch * chances.sum(1, keepdim=True)
    number = torch.arange(1, chances.shape[1] + 1)
    best = (ordered.cumsum(1) / (number + expected)).argmax(1) + 1
    return [row[:k] for row, k in zip(order, best.tolist(), strict=True)]


def _f1(guessed: list[Tensor], truth: Tensor) -> float:
    """Return the mean F1 of sets against bags [text, vocab]."""
    hits = [float(bag[guess].sum()) for guess, bag in zip(guessed, truth, strict=True)]
    sizes = [float(len(guess) + bag.sum()) for guess, bag in zip(guessed, truth, strict=True)]
    return sum(2 * hit / max(size, 1.0) for hit, size in zip(hits, sizes, strict=True)) / len(hits)
