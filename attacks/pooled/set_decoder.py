"""Set prediction: words one after the other, in no order of their own, until a stop."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Lacks
from attacks.pooled.evidence import Evidence
from attacks.pooled.knowledge import PooledKnowledge
from attacks.pooled.lesson import Lesson
from attacks.pooled.speaker import Lines, Speaker, fit_speaker
from fedbert.errors import expect

MARGINS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)


@dataclass(frozen=True)
class SetDecoder:
    """The words that a recurrent decoder names one after the other, each once.

    Threat model: that of `PooledKnowledge`. At every step any word that is still to be named is
    right: the loss is minus the mean log-probability of all of them. In training they are named in
    a random order in which likely words tend to come first. The decoder starts from the logistic
    regressions of `BagOfWords` and learns what named words say about the others.

    Decision: greedy. It stops where the stop's probability exceeds a margin, or after a number of
    words: whichever margin or number serves held-out F1 best.

    Reference: Song and Raghunathan (2020), section 3.3 (multi-set prediction), after Welleck et
    al. (2018), "Loss functions for multiset prediction".

    Raises:
        InputError: for a negative number of splices.
    """

    splices: int = 4000
    name: str = "set decoder"
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
        """Return the guessed words' ids [word] int64 of each vector, in the order of naming.

        Raises:
            InputError: as `PooledAttack.invert`.
        """
        lesson = Lesson.of(vectors, knowledge, generator, self.name, self.splices)
        evidence = Evidence.of(lesson, generator)

        def lines(some: list[int], logits: Tensor) -> Lines:
            return _in_any_order([lesson.texts[i].unique() for i in some], logits, generator)

        speaker = fit_speaker(lesson, evidence, lines, lesson.training, True, generator)
        sets = [lesson.texts[i].unique() for i in lesson.held_out]
        most = max(len(each) for each in sets) + 8
        with torch.no_grad():
            held = _named(speaker, evidence, lesson.seen(lesson.held_out, generator), most)
            ends = [*((m, most) for m in MARGINS), *((1.0, n) for n in range(1, most))]
            end = max(ends, key=lambda e: _f1(_until(*held, *e), sets))
            answers = _until(*_named(speaker, evidence, lesson.received(vectors), most), *end)
        return [lesson.words[answer.numpy()] for answer in answers]


def _in_any_order(sets: list[Tensor], logits: Tensor, generator: torch.Generator) -> Lines:
    """Return lines that name each set's words, likely ones rather first, and then stop."""
    size, longest = logits.shape[1], max(len(each) for each in sets) + 1
    words = torch.full((len(sets), longest), size)
    wanted = torch.full((len(sets), longest, longest), size)
    weight = torch.zeros(wanted.shape)
    for row, each in enumerate(sets):
        n = len(each)
        luck = -torch.log(-torch.log(torch.rand(n, generator=generator).clamp(1e-9, 1 - 1e-7)))
        order = each[(logits[row, each] + luck).argsort(descending=True)]
        words[row, :n] = order
        wanted[row, :n, :n] = order
        weight[row, :n, :n] = torch.triu(torch.ones(n, n)) / torch.arange(n, 0, -1)[:, None]
        weight[row, n, 0] = 1
    return Lines(words, wanted, weight)


def _named(speaker: Speaker, evidence: Evidence, rows: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return words [text, word] in the order of naming, and the stop's probability before each."""
    logits, state = evidence.logits(rows), speaker.first(rows)
    said = torch.zeros(len(rows), 1, speaker.size, dtype=torch.bool)
    last = torch.full((len(rows), 1), speaker.size + 1)
    words, stops = [], []
    for _ in range(min(most, speaker.size)):
        out, state = speaker.step(rows, state, last)
        scores = speaker.logits(out, logits, said)[:, 0]
        stops.append(scores.softmax(1)[:, -1])
        last = scores[:, :-1].argmax(1, keepdim=True)
        said[:, 0].scatter_(1, last, True)
        words.append(last[:, 0])
    return torch.stack(words, 1), torch.stack(stops, 1)


def _until(words: Tensor, stops: Tensor, margin: float, most: int) -> list[Tensor]:
    """Return the words named before the stop's probability exceeds the margin, 1 to `most`."""
    over = torch.cat([stops > margin, torch.ones(len(stops), 1, dtype=torch.bool)], 1)
    counts = over.int().argmax(1).clamp(min=1, max=most)
    return [row[:n] for row, n in zip(words, counts.tolist(), strict=True)]


def _f1(guessed: list[Tensor], sets: list[Tensor]) -> float:
    """Return the mean F1 of sets."""
    pairs = zip(guessed, sets, strict=True)
    scores = [2 * int(torch.isin(g, s).sum()) / max(1, len(g) + len(s)) for g, s in pairs]
    return sum(scores) / len(scores)
