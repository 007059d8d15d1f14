"""Text generator: writes the text of a pooled vector, and checks drafts with the model."""

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

CLOSE = 1e-2  # standard deviations per coordinate by which a draft may miss without noise
AT_ONCE = 64  # vectors


@dataclass(frozen=True)
class Writer:
    """The draft of a recurrent language model about the vector whose own vector lies nearest.

    Threat model: that of `PooledKnowledge`. The model starts from the logistic regressions of
    `BagOfWords`, and learns from the auxiliary texts in what order words come. A beam search writes
    `beam` drafts per vector; the adversary turns each into a vector and takes the draft of highest
    log-probability plus Gaussian log-likelihood of the vector seen: under noise that hides the
    differences the model's word decides, without noise the distance.

    Reference: Li, Xu and Song (2023), "Sentence embedding leaks more information than you expect:
    generative embedding inversion attack to recover the whole sentence" (GEIA).

    Raises:
        InputError: for a beam below 1, or a negative number of splices.
    """

    beam: int = 6
    splices: int = 4000
    name: str = "writer"
    view: str = "release"

    def __post_init__(self) -> None:
        """Check the settings."""
        expect(self.beam >= 1, "beam >= 1", "beam", self.beam)
        expect(self.splices >= 0, "splices >= 0", "splices", self.splices)

    def missing(self, knowledge: PooledKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return knowledge.missing()

    def invert(
        self, vectors: np.ndarray, knowledge: PooledKnowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return the written text's ids [word] int64 of each vector, in order.

        Raises:
            InputError: as `PooledAttack.invert`.
        """
        lesson = Lesson.of(vectors, knowledge, generator, self.name, self.splices)
        evidence = Evidence.of(lesson, generator)
        size = len(lesson.words)

        def lines(some: list[int], _: Tensor) -> Lines:
            return _in_order([lesson.texts[i] for i in some], size)

        speaker = fit_speaker(lesson, evidence, lines, range(lesson.learnt), False, generator)
        most = max(len(lesson.texts[i]) for i in range(lesson.learnt)) + 1
        rows, found = lesson.received(vectors), []
        with torch.no_grad():
            for some in rows.split(AT_ONCE):
                drafts = _drafts(speaker, evidence, some, self.beam, most)
                found += _nearest(drafts, some, lesson)
        return found


def _in_order(texts: list[Tensor], size: int) -> Lines:
    """Return lines that say each text and stop."""
    longest = max(len(text) for text in texts) + 1
    words = torch.full((len(texts), longest), size)
    weight = torch.zeros(*words.shape, 1)
    for row, text in enumerate(texts):
        words[row, : len(text)] = text
        weight[row, : len(text) + 1] = 1
    return Lines(words, words[:, :, None], weight)


def _drafts(
    speaker: Speaker, evidence: Evidence, rows: Tensor, beam: int, most: int
) -> list[list[tuple[float, Tensor]]]:
    """Return the (log-probability, words) of up to `beam` drafts of each text."""
    texts, size = len(rows), speaker.size
    vectors = rows.repeat_interleave(beam, 0)
    logits, state = evidence.logits(vectors), speaker.first(vectors)
    last = torch.full((texts * beam, 1), size + 1)
    words = torch.zeros(texts * beam, 0, dtype=torch.int64)
    said = torch.zeros(texts * beam, 1, size, dtype=torch.bool)
    score = torch.full((texts, beam), -torch.inf)
    score[:, 0] = 0
    first = torch.arange(texts)[:, None] * beam
    done: list[list[tuple[float, Tensor]]] = [[] for _ in range(texts)]
    for position in range(most):
        out, state = speaker.step(vectors, state, last)
        logs = speaker.logits(out, logits, said)[:, 0].log_softmax(1).view(texts, beam, size + 1)
        stopped = score + logs[:, :, -1] if position else torch.full_like(score, -torch.inf)
        for text in range(texts):
            done[text] += [
                (float(s), words[text * beam + i])
                for i, s in enumerate(stopped[text])
                if s > -torch.inf
            ]
        best = (score[:, :, None] + logs[:, :, :-1]).flatten(1).topk(beam, 1)
        score = best.values
        came = (first + best.indices // size).flatten()
        last = (best.indices % size).view(-1, 1)
        words = torch.cat([words[came], last], 1)
        said = said[came].clone()
        said[:, 0].scatter_(1, last, True)
        state = state[:, came]
    return [sorted(each, key=lambda d: -d[0] / len(d[1]))[:beam] for each in done]


def _nearest(
    drafts: list[list[tuple[float, Tensor]]], rows: Tensor, lesson: Lesson
) -> list[np.ndarray]:
    """Return the likeliest draft's ids [word] of each text, given its standard vector."""
    knowledge = lesson.knowledge
    ids = [[lesson.words[words.numpy()] for _, words in each] for each in drafts]
    flat = [knowledge.framed(body) for each in ids for body in each]
    if knowledge.embed is None:
        return [each[0] for each in ids]
    own = lesson.standard(knowledge.clipped(knowledge.embed(flat))).split([len(e) for e in ids])
    variance = CLOSE**2 + (knowledge.noise_std / lesson.scale) ** 2  # [hidden]
    found = []
    for each, bodies, here, row in zip(drafts, ids, own, rows, strict=True):
        logs = torch.tensor([log for log, _ in each])
        likelihood = -((here - row).square() / variance).sum(1) / 2
        found.append(bodies[int((logs + likelihood).argmax())])
    return found
