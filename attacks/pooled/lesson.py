"""Training texts for attacks on pooled vectors, and their vectors after the mechanism."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attacks.pooled.knowledge import BORDER, PooledKnowledge, Texts, required

HELD_OUT, FEWEST_HELD, MOST_HELD = 0.1, 10, 500  # share of the auxiliary texts; bounds
LONGEST_SPLICE = 96  # words
WINDOW = 16  # batches whose texts are sorted by length


@dataclass(frozen=True)
class Lesson:
    """Auxiliary texts as word indices and vectors; the rest holds out of learning, for choices.

    words [vocab]: the token id of each word of the auxiliary text, the compact output vocabulary.
    texts: the indices [word] of each text, in order; the first `learnt` of them are auxiliary texts
        to learn from, then come `spliced` ones, then those held out.
    clean [text, hidden]: clipped vectors. mean, scale [hidden]: of vectors as they are seen.
    """

    knowledge: PooledKnowledge
    words: np.ndarray
    texts: tuple[Tensor, ...]
    learnt: int
    spliced: int
    clean: Tensor
    mean: Tensor
    scale: Tensor

    @staticmethod
    def of(
        vectors: np.ndarray,
        knowledge: PooledKnowledge,
        generator: torch.Generator,
        name: str,
        splices: int,
    ) -> "Lesson":
        """Return the lesson of what is known, with up to `splices` texts of the attacker's making.

        Raises:
            InputError: as `PooledAttack.invert`.
        """
        texts, clean = required(knowledge, vectors, name)
        order = torch.randperm(len(texts), generator=generator).tolist()
        held = min(MOST_HELD, max(FEWEST_HELD, int(HELD_OUT * len(texts))))
        rest, out = order[held:], order[:held]
        bodies = [knowledge.body(text) for text in texts]
        whole = [knowledge.bordered(texts[i]) for i in rest if len(bodies[i])]
        made = [body for body in splice(whole, splices, generator) if (body != BORDER).any()]
        extra = clean[:0]
        if made and knowledge.embed is not None:
            framed = [knowledge.framed(body) for body in made]
            extra = knowledge.clipped(knowledge.embed(framed))
        made = [body[body != BORDER] for body in made]
        words, index = np.unique(np.concatenate(bodies), return_inverse=True)
        ends = np.cumsum([len(body) for body in bodies])[:-1]
        indexed = [torch.from_numpy(x) for x in np.split(index.astype(np.int64), ends)]
        own = [torch.from_numpy(np.searchsorted(words, body)) for body in made]
        rows = torch.cat([clean[rest], extra])
        mean, variance = rows.mean(0), rows.var(0) + knowledge.noise_std**2
        scale = variance.sqrt().clamp(min=1e-6)
        every = [*(indexed[i] for i in rest), *own, *(indexed[i] for i in out)]
        return Lesson(
            knowledge, words, tuple(every), len(rest), len(made), torch.cat([rows, clean[out]]),
            mean, scale,
        )  # fmt: skip

    @property
    def training(self) -> range:
        """The positions of the texts to learn from, spliced ones too."""
        return range(self.learnt + self.spliced)

    @property
    def held_out(self) -> range:
        """The positions of the texts that are held out."""
        return range(self.learnt + self.spliced, len(self.texts))

    def standard(self, vectors: Tensor) -> Tensor:
        """Return vectors [text, hidden] with about unit variance in each coordinate."""
        return (vectors - self.mean) / self.scale

    def seen(self, chosen: Sequence[int], generator: torch.Generator) -> Tensor:
        """Return standard vectors [text, hidden] of texts as they would be seen, noise drawn."""
        rows = self.clean[list(chosen)]
        noise = self.knowledge.noise_std
        if noise:
            rows = rows + noise * torch.randn(rows.shape, generator=generator)
        return self.standard(rows)

    def bags(self, chosen: Sequence[int]) -> Tensor:
        """Return which words each text holds [text, vocab], float32 of 0 and 1."""
        found = torch.zeros(len(chosen), len(self.words))
        for row, i in enumerate(chosen):
            found[row, self.texts[i]] = 1
        return found

    def received(self, vectors: np.ndarray) -> Tensor:
        """Return the private vectors [sequence, hidden], standard."""
        return self.standard(torch.from_numpy(np.asarray(vectors, dtype=np.float32)))


def splice(bodies: Texts, count: int, generator: torch.Generator) -> list[np.ndarray]:
    """Return texts made of two texts' parts, or of a text with some words left out.

    The model is at hand, so any text can be turned into a vector: pairs that differ in few words
    tell what a word does to the vector better than whole other texts.
    """
    made = []
    for _ in range(count if bodies else 0):
        first, second = (bodies[i] for i in _draw(len(bodies), 2, generator))
        here, there = (_draw(len(body) + 1, 1, generator)[0] for body in (first, second))
        whole = np.concatenate([first[:here], second[there:]])
        few = first[(torch.rand(len(first), generator=generator) < 0.7).numpy()]
        body = whole if _draw(2, 1, generator)[0] else few
        made.append(body[:LONGEST_SPLICE] if len(body) else first)
    return made


def batches(
    chosen: Sequence[int],
    size: int,
    generator: torch.Generator,
    lengths: Sequence[int] | None = None,
) -> Iterator[list[int]]:
    """Yield all chosen positions once, in random order.

    lengths, of every position: texts of like length come together, so that little is padded.
    """
    order = [chosen[i] for i in torch.randperm(len(chosen), generator=generator).tolist()]
    for start in range(0, len(order), WINDOW * size):
        window = order[start : start + WINDOW * size]
        if lengths is not None:
            window.sort(key=lengths.__getitem__)
        parts = [window[i : i + size] for i in range(0, len(window), size)]
        for number in torch.randperm(len(parts), generator=generator).tolist():
            yield parts[number]


def _draw(below: int, count: int, generator: torch.Generator) -> list[int]:
    """Return random numbers from 0 to below."""
    found: list[int] = torch.randint(below, (count,), generator=generator).tolist()
    return found
