"""Evidence of a pooled vector for each word: logistic regression from a Gaussian start."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.inversion.parts.plateau import until_plateau
from attacks.pooled.lesson import Lesson, batches

RIDGES, SHRINK = (0.03, 0.1, 0.3, 1.0), (5.0, 15.0, 45.0)
TEMPERATURES = (0.3, 0.5, 0.7, 0.9)
EPOCHS, BATCH, RATE, DROPOUT = 12, 128, 2e-3, 0.2


@dataclass(frozen=True)
class Evidence:
    """Logits of words in standard vectors: weight [vocab, hidden], bias [vocab]."""

    weight: Tensor
    bias: Tensor

    def logits(self, vectors: Tensor) -> Tensor:
        """Return the log-odds [text, vocab] that each word occurs in a text, once or more."""
        return F.linear(vectors, self.weight, self.bias)

    @staticmethod
    def of(lesson: Lesson, generator: torch.Generator) -> "Evidence":
        """Return the evidence that predicts held-out bags best, none worse than its start."""
        held = lesson.seen(lesson.held_out, generator)
        truth = lesson.bags(lesson.held_out)

        def loss(evidence: Evidence) -> float:
            logits = evidence.logits(held)
            return float(F.binary_cross_entropy_with_logits(logits, truth, reduction="sum"))

        with torch.no_grad():
            start = min(_starts(lesson), key=loss)
        return _refined(start, lesson, loss, generator)


def _starts(lesson: Lesson) -> Iterator[Evidence]:
    """Yield evidence in closed form: vectors with and without a word differ in their mean alone.

    The difference is shrunk where few texts hold the word; the covariance is common to all words,
    with the noise's own part in closed form and a ridge (linear discriminant analysis).
    """
    rows = lesson.standard(lesson.clean[list(lesson.training)]).double()
    rows = rows - rows.mean(0)
    sets = [lesson.texts[i].unique() for i in lesson.training]
    owner = torch.repeat_interleave(torch.arange(len(sets)), torch.tensor([len(s) for s in sets]))
    word, size = torch.cat(sets), len(lesson.words)
    count = torch.bincount(word, minlength=size).double()[:, None]  # [vocab, 1]
    with_word = torch.zeros(size, rows.shape[1], dtype=torch.float64)
    with_word.index_add_(0, word, rows[owner])
    share = ((count + 0.3) / (len(sets) + 1)).clamp(max=0.999)
    difference = with_word / (count + 0.3) / (1 - share)  # [vocab, hidden]
    noise = lesson.knowledge.noise_std**2 / lesson.scale.double().square()
    covariance = rows.T @ rows / len(rows) + torch.diag(noise)
    identity = torch.eye(rows.shape[1], dtype=torch.float64)
    for ridge in RIDGES:
        directions = torch.linalg.solve(covariance + ridge * identity, difference.T).T
        for shrink in SHRINK:
            kept = count / (count + shrink)
            middle = (0.5 - share) * kept.square() * (difference * directions).sum(1, keepdim=True)
            for t in TEMPERATURES:
                bias = torch.logit(share) - t * middle
                yield Evidence((t * kept * directions).float(), bias[:, 0].float())


def _refined(
    start: Evidence, lesson: Lesson, loss: Callable[[Evidence], float], generator: torch.Generator
) -> Evidence:
    """Return the evidence after logistic regression, stopped early."""
    weight, bias = (t.clone().requires_grad_() for t in (start.weight, start.bias))
    optimizer = torch.optim.Adam([weight, bias], lr=RATE)

    def epoch(_waited: int) -> None:
        for some in batches(lesson.training, BATCH, generator):
            rows = lesson.seen(some, generator)
            kept = torch.rand(rows.shape, generator=generator) >= DROPOUT
            logits = F.linear(rows * kept / (1 - DROPOUT), weight, bias)
            bags = lesson.bags(some)
            missed = F.binary_cross_entropy_with_logits(logits, bags, reduction="sum")
            optimizer.zero_grad()
            (missed / len(some)).backward()
            optimizer.step()

    def now() -> Evidence:
        return Evidence(weight.detach().clone(), bias.detach().clone())

    return until_plateau(epoch, lambda: loss(now()), now, EPOCHS)[0]
