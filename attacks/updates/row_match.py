"""Distance of guessed sequences' gradients, added up by word and position, from the step's."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks.updates.whole_update import Step, UpdateKnowledge, layers_of
from fedbert.split import SplitBert, position_offset, run_layers

EPSILON = 1e-8
"""What AdamW adds to the root of the second moment."""

LEAST = {"sgd": 1e-7, "adamw": 1e-4}
"""Cosine loss of the true sequences that arithmetic explains, besides the rounding of values:
AdamW makes a sign of every gradient, of the smallest too."""

LABELINGS = 16
"""Combinations of labels tried at most; beyond, one label at a time."""

TOKENS_AT_ONCE = 1536
"""Tokens in one pass of the model, and sequences whose gradients are kept: bounds the memory."""

KEPT = 2048

AT_ONCE = 16
"""Rivals whose losses are computed in one pass: what they take fits a cache."""

Sequences = list[np.ndarray]

PER_TOKEN, PER_LOSS = 6, 50
"""Operations per parameter and token of a gradient, and per value of the rows of a loss."""


@dataclass(frozen=True)
class Labelled:
    """Sequences with the labels that fit them best, and how badly they fit."""

    sequences: list[np.ndarray]
    labels: tuple[int, ...]
    loss: float


class RowMatch:
    """The distance between what a batch's tables' rows would be and what they are.

    A token's gradient at E's sum goes to its word's row and to its position's. loss: "cosine" or
    "tag", the mean over the rows that moved; a row that no token would move counts in full.
    enough: a loss that rounding explains. work: the operations spent so far, roughly.
    """

    def __init__(
        self,
        step: Step,
        words: np.ndarray,
        split: SplitBert,
        knowledge: UpdateKnowledge,
        loss: str,
        alpha: float,
    ) -> None:
        """Take over the model as the client got it; words [word]: those whose rows moved."""
        self.split, self.knowledge, self.loss, self.alpha = split, knowledge, loss, alpha
        self.offset = position_offset(split.whole.config)
        rows = [step.taken[str(knowledge.word)][words]]
        if knowledge.position is not None:
            positions = np.flatnonzero(step.moved[knowledge.position].any(1))
            rows.append(step.taken[knowledge.position][positions])
        self.target = torch.tensor(np.concatenate(rows), dtype=torch.float32)
        self.direction = _unit(self.target.clone())
        rounding = max(step.rounding[n] for n in (knowledge.word, knowledge.position) if n)
        lengths = torch.linalg.vector_norm(self.target, dim=1)
        noise = rounding * self.target.shape[1] ** 0.5 / lengths.clamp(min=1e-30)
        least = LEAST[knowledge.optimizer]
        squared = loss == "cosine"
        self.enough = float((noise.square() if squared else 3 * noise).mean()) + (
            least if squared else least**0.5
        )
        self.column = {int(word): i for i, word in enumerate(words)}
        self.classes = int(split.whole.config.num_labels)
        layers = [p for layer in layers_of(split) for p in layer.parameters()]
        self.size = sum(p.numel() for p in layers)
        self.work = 0
        self._kept: dict[bytes, tuple[Tensor, ...]] = {}  # [seq, hidden] under each label
        self._rows: dict[bytes, np.ndarray] = {}

    def settled(self, sequences: list[np.ndarray]) -> Labelled:
        """Return the sequences with their best labels."""
        self._learn(sequences)
        count = len(sequences)
        if self.classes**count <= LABELINGS:
            every = [
                Labelled(sequences, labels, self._apart([(sequences, labels)])[0])
                for labels in product(range(self.classes), repeat=count)
            ]
            return min(every, key=lambda each: each.loss)
        labels = [0] * count
        for i in list(range(count)) * 2:
            tried = [
                self._apart([(sequences, (*labels[:i], y, *labels[i + 1 :]))])[0]
                for y in range(self.classes)
            ]
            labels[i] = int(np.argmin(tried))
        return Labelled(sequences, tuple(labels), min(tried))

    def best(self, now: Labelled, rivals: Sequence[list[np.ndarray]]) -> Labelled:
        """Return the best of what is and its rivals, under the labels in force."""
        self._learn([each for rival in rivals for each in rival])
        for start in range(0, len(rivals), AT_ONCE):
            some = rivals[start : start + AT_ONCE]
            found = self._apart([(rival, now.labels) for rival in some])
            for rival, loss in zip(some, found, strict=True):
                if loss < now.loss:
                    now = Labelled(rival, now.labels, loss)
        return now

    def _apart(self, guesses: Sequence[tuple[Sequences, Sequence[int]]]) -> list[float]:
        """Return the losses of guesses: sequences with their labels, whose gradients are known.

        Each is what it would be alone, to the last digit: sums have an order of their own.
        """
        self.work += PER_LOSS * self.target.numel() * len(guesses)
        height = len(self.target)
        index, own = [], []
        for number, (sequences, labels) in enumerate(guesses):
            places = []
            for sequence, label in zip(sequences, labels, strict=True):
                key = sequence.tobytes()
                places.append(self._places(key, sequence))
                own.append(self._kept[key][label])
            index.append(np.concatenate(places, axis=1) + number * height)
        shape = (len(guesses), height, self.target.shape[1])
        sums = torch.zeros(shape[0] * height, shape[2])
        rows, every = torch.from_numpy(np.concatenate(index, axis=1)), torch.cat(own)
        for place in rows:
            sums.index_add_(0, place, every)
        sums = sums.view(shape)
        if self.knowledge.optimizer == "adamw":
            sums.div_(len(guesses[0][0]))
            sums.div_(sums.abs().add_(EPSILON))
        if self.loss == "cosine":
            cosines = _unit(sums).mul_(self.direction).sum(2)
            return [float(x) for x in (1 - cosines).mean(1)]
        return [self._tag(each) for each in sums]

    def _tag(self, sums: Tensor) -> float:
        """Return TAG's loss of one guess's rows."""
        scale = (sums * self.target).sum() / sums.square().sum().clamp(min=1e-30)
        gap = sums * scale.clamp(min=0) - self.target
        far = torch.linalg.vector_norm(gap, dim=1) / torch.linalg.vector_norm(self.target, dim=1)
        return float((far + self.alpha * gap.abs().sum(1) / self.target.abs().sum(1)).mean())

    def _places(self, key: bytes, sequence: np.ndarray) -> np.ndarray:
        """Return the rows that a sequence's gradients go to [table, seq]: by word, by position."""
        found = self._rows.get(key)
        if found is None:
            tables = [[self.column[int(word)] for word in sequence]]
            if len(self.target) > len(self.column):
                tables.append([len(self.column) + place for place in range(len(sequence))])
            found = self._rows[key] = np.array(tables, dtype=np.int64)
        return found

    def _learn(self, sequences: Sequence[np.ndarray]) -> None:
        """Run those of the sequences through the model whose gradients are not known yet."""
        if len(self._kept) > KEPT:
            needed = {each.tobytes() for each in sequences}
            self._kept = {key: rows for key, rows in self._kept.items() if key in needed}
            self._rows = {key: rows for key, rows in self._rows.items() if key in needed}
        by_length: dict[int, dict[bytes, np.ndarray]] = {}
        for each in sequences:
            if each.tobytes() not in self._kept:
                by_length.setdefault(len(each), {})[each.tobytes()] = each
        for length, new in by_length.items():
            at_once = max(1, TOKENS_AT_ONCE // length)
            keys = list(new)
            for start in range(0, len(keys), at_once):
                some = keys[start : start + at_once]
                found = self._gradients(torch.from_numpy(np.stack([new[key] for key in some])))
                self._kept |= zip(some, (each.unbind() for each in found), strict=True)

    def _gradients(self, ids: Tensor) -> Tensor:
        """Return each loss's gradient at E's sums [sequence, label, seq, hidden], per label."""
        self.work += PER_TOKEN * self.size * ids.numel()
        e: Any = self.split.bottom.embeddings
        positions = torch.arange(ids.shape[1]) + self.offset
        table = e.word_embeddings(ids) + e.position_embeddings(positions)
        sums = (table + e.token_type_embeddings(self._types(ids))).detach().requires_grad_()
        layers: Any = torch.nn.ModuleList(layers_of(self.split))
        mask = torch.ones_like(ids)
        hidden = run_layers(layers, e.LayerNorm(sums), mask, self.split.whole.config)
        logits = self.split.head(self.split.body.pool(hidden, mask))  # [sequence, class]
        slopes = [torch.zeros_like(sums)]  # of each class's logit over the first's
        for k in range(1, self.classes):
            over = (logits[:, k] - logits[:, 0]).sum()
            slopes.append(torch.autograd.grad(over, sums, retain_graph=k < self.classes - 1)[0])
        each = torch.stack(slopes, dim=1)  # [sequence, class, seq, hidden]
        mean = torch.einsum("bc,bcsh->bsh", logits.detach().softmax(1), each)
        return mean[:, None] - each

    def _types(self, ids: Tensor) -> Tensor:
        """Return token types [sequence, seq]: 1 behind the first of several stop tokens, else 0."""
        if self.split.whole.config.type_vocab_size < 2:
            return torch.zeros_like(ids)
        stops = (ids == self.knowledge.stop).long()
        return (stops.cumsum(1) - stops > 0).long()


def _unit(rows: Tensor) -> Tensor:
    """Return rows [..., hidden] over their lengths, in their place, as `cosine_similarity` does."""
    return rows.div_(torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_(min=1e-8))
