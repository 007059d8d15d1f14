"""Which word belongs to which sequence, and where: the order whose gradient is the one received."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from attacks.updates.assembly import Options, chained, language_of, padded
from attacks.updates.row_order import RowOrder, options_of
from attacks.updates.whole_update import (
    NotApplicable,
    Step,
    UpdateKnowledge,
    layers_of,
    missing_step,
    model_at,
    steps_of,
)
from fedbert.batches import Batch
from fedbert.config import InputError, expect
from fedbert.messages import Message
from fedbert.split import SplitBert

EPSILON = 1e-8
"""What AdamW adds to the root of the second moment."""

KEPT = 6
"""Gradients of single sequences kept at most: each is as large as the model."""

ENOUGH = 1e-4
"""A loss at which the search is over: all that is left is rounding."""

LABELINGS = 16
"""Combinations of labels tried at most: beyond, every sequence gets its likelier label."""


@dataclass(frozen=True)
class GradientMatching:
    """Sequences whose own gradient, put together, is the one that the client's step took.

    Threat model: the aggregator under `fedavg`, who holds a client's ClientUpdate of the whole
    model and the ClientParts that it started from. It starts from what the word and the position
    table give away (see `row_order`), and with it settles what they leave open: which of several
    words at a place belong to one sequence. It changes words within the options and exchanges
    places between sequences, by descent on the distance between the gradient of its guess and
    the step; labels are those that fit best. AdamW's first step is simulated: the guess's gradient
    over its own magnitude.

    loss: "cosine" (one minus the mean cosine over the tensors, LAMP's), or "tag" (L2 and `alpha`
    times L1 distance per tensor, each over the size of the step's, TAG's). rows: whether to start
    from the position table; without, from the set of words alone, strung by the language model and
    then reordered by exchanges, as those attacks do.

    A clip scales E and H apart from T, which neither loss minds; dropout blurs the match, as it
    does for the client's own gradient. Of moments that a client kept, several steps and noise
    beyond the gradient nothing is known; `missing` says so.

    References: Deng et al. (2021), "TAG: Gradient attack on transformer-based language models",
    equation 4; Balunovic et al. (2022), "LAMP: Extracting text from gradients with language model
    priors", sections 4.1 to 4.3.
    """

    loss: str = "cosine"
    alpha: float = 0.01
    rows: bool = True
    sweeps: int = 4
    restarts: int = 4
    name: str = "gradient matching"
    view: str = "aggregator"

    def __post_init__(self) -> None:
        """Check every setting."""
        expect(self.loss in ("cosine", "tag"), "cosine or tag", "loss", self.loss)
        expect(0 <= self.alpha < float("inf"), "alpha >= 0", "alpha", self.alpha)
        for name in ("sweeps", "restarts"):
            expect(getattr(self, name) >= 0, f"{name} >= 0", name, getattr(self, name))

    def missing(self, knowledge: UpdateKnowledge) -> str | None:
        """Return what the attack lacks, in words, or None if it can run."""
        if knowledge.model is None:
            return "needs `model`: the model as sent out"
        if not knowledge.whole or not layers_of(knowledge.model):
            return "needs the whole model's update, with an encoder layer (strategy fedavg)"
        if knowledge.model.head.kind != "classification":
            return "needs a head whose labels can be tried: classification"
        if len(knowledge.learning_rate) > 1:
            return missing_step(knowledge, adaptive=True, steps=False)
        return RowOrder().missing(knowledge)

    def reconstruct(
        self, messages: Sequence[Message], knowledge: UpdateKnowledge, generator: torch.Generator
    ) -> list[np.ndarray | NotApplicable]:
        """Return the token ids [batch, seq] int64 of each ClientUpdate, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking.
        """
        reason = self.missing(knowledge)
        if reason is not None or knowledge.model is None:
            raise InputError(f"expected knowledge for {self.name}, got {reason}")
        model = knowledge.model
        steps = steps_of(messages, knowledge)
        return [self._sequences(step, knowledge, model, generator) for step in steps]

    def _sequences(
        self,
        step: Step,
        knowledge: UpdateKnowledge,
        model: SplitBert,
        generator: torch.Generator,
    ) -> np.ndarray | NotApplicable:
        """Return one update's sequences."""
        options = options_of(step, knowledge)
        if isinstance(options, NotApplicable):
            return options
        if not self.rows:
            options = _anywhere(options, knowledge)
        language = language_of(knowledge, model.whole.config.vocab_size)
        guesses = chained(options, knowledge, language)
        match = _Match(step, model_at(step, model, torch.float32), knowledge, self)
        best, value = _descended(guesses, options, match, self)
        for _ in range(self.restarts if len(guesses) > 1 else 0):
            if value < ENOUGH:
                break
            again = _descended(_shuffled(best, generator), options, match, self)
            if again[1] < value:
                best, value = again
        return padded(best)


class _Match:
    """The distance between the gradient of some sequences and the step, gradients kept.

    Tensors weigh by the share of their step that is more than the values' rounding.
    """

    def __init__(
        self, step: Step, split: SplitBert, knowledge: UpdateKnowledge, attack: GradientMatching
    ) -> None:
        """Take over the model; of its gradient, all but E's tables counts."""
        self.split, self.knowledge, self.attack = split, knowledge, attack
        named = dict(split.whole.named_parameters())
        tables = {id(p) for p in split.bottom.embeddings.parameters()}
        used = {n: p for n, p in named.items() if id(p) not in tables and n in step.taken}
        used = {n: p for n, p in used.items() if step.moved[n].any()}
        self.parameters = list(used.values())
        self.targets = [torch.tensor(step.taken[n], dtype=torch.float32) for n in used]
        noise = [
            step.rounding[n] * t.numel() ** 0.5 for n, t in zip(used, self.targets, strict=True)
        ]
        sizes = [float(torch.linalg.vector_norm(t)) for t in self.targets]
        parts = [max(0.0, 1 - (e / s) ** 2) for e, s in zip(noise, sizes, strict=True)]
        self.weights = [part / max(sum(parts), 1e-12) for part in parts]
        self.kept: dict[tuple[bytes, int], list[Tensor]] = {}
        self.labels: tuple[int, ...] = ()

    def __call__(self, sequences: Sequence[np.ndarray]) -> float:
        """Return the loss of these sequences under the labels in force."""
        return self._loss(sequences, self.labels)

    def settle_labels(self, sequences: Sequence[np.ndarray]) -> float:
        """Put the labels that fit best in force, return their loss."""
        classes, count = int(self.split.whole.config.num_labels), len(sequences)
        if classes**count > LABELINGS:
            choices = [self.labels] if self.labels else [self._likely(sequences)]
        else:
            choices = list(product(range(classes), repeat=count))
        losses = [self._loss(sequences, labels) for labels in choices]
        self.labels = choices[int(np.argmin(losses))]
        return min(losses)

    def _likely(self, sequences: Sequence[np.ndarray]) -> tuple[int, ...]:
        """Return the labels one by one, the others' left at the first class."""
        labels = [0] * len(sequences)
        for i in range(len(labels)):
            tried = []
            for label in range(int(self.split.whole.config.num_labels)):
                labels[i] = label
                tried.append(self._loss(sequences, tuple(labels)))
            labels[i] = int(np.argmin(tried))
        return tuple(labels)

    def _loss(self, sequences: Sequence[np.ndarray], labels: tuple[int, ...]) -> float:
        each = [self._gradient(s, y) for s, y in zip(sequences, labels, strict=True)]
        total = 0.0
        for weight, target, *own in zip(self.weights, self.targets, *each, strict=True):
            mean = torch.stack(own).mean(0)
            if self.knowledge.optimizer == "adamw":
                mean = mean / (mean.abs() + EPSILON)
            total += weight * _apart(mean, target, self.attack)
        return total

    def _gradient(self, sequence: np.ndarray, label: int) -> list[Tensor]:
        """Return the gradient of one sequence's loss at the model as sent out."""
        key = (sequence.tobytes(), label)
        if key not in self.kept:
            if len(self.kept) > KEPT:
                self.kept.clear()
            ids = torch.from_numpy(sequence)[None]
            kinds = _types(ids, self.knowledge, self.split)
            labels = torch.tensor([label])
            batch = Batch(ids, torch.ones_like(ids), kinds, labels, torch.zeros(1))
            loss = self.split.head.loss(self.split.hidden(batch), labels)
            self.kept[key] = list(torch.autograd.grad(loss, self.parameters))
        return self.kept[key]


def _apart(own: Tensor, target: Tensor, attack: GradientMatching) -> float:
    """Return how far a gradient is from the step's, whatever their scales."""
    lengths = float(torch.linalg.vector_norm(own)), float(torch.linalg.vector_norm(target))
    if min(lengths) == 0:
        return 1.0
    if attack.loss == "cosine":
        return 1 - float((own * target).sum()) / lengths[0] / lengths[1]
    gap = own * (lengths[1] / lengths[0]) - target
    l1 = float(gap.abs().sum()) / float(target.abs().sum())
    return float(torch.linalg.vector_norm(gap)) / lengths[1] + attack.alpha * l1


def _descended(
    guesses: list[np.ndarray], options: Options, match: _Match, attack: GradientMatching
) -> tuple[list[np.ndarray], float]:
    """Return the sequences after moves that bring their gradient nearer, and their loss."""
    best, value = list(guesses), match.settle_labels(guesses)
    for _ in range(attack.sweeps):
        before = value
        for rival in _moves(best, options, attack.rows):
            changed = rival(best)
            if changed is None:
                continue
            other = match(changed)
            if other < value:
                best, value = changed, other
        value = match.settle_labels(best)
        if value >= before or value < ENOUGH:
            break
    return best, value


def _shuffled(sequences: list[np.ndarray], generator: torch.Generator) -> list[np.ndarray]:
    """Return the sequences with words exchanged, place by place, by a coin."""
    found = list(sequences)
    for place in range(1, max(map(len, sequences)) - 1):
        i, j = torch.randperm(len(sequences), generator=generator)[:2].tolist()
        if float(torch.rand((), generator=generator)) < 0.5:
            found = _exchanged(found, i, j, place, place) or found
    return found


def _moves(
    sequences: Sequence[np.ndarray], options: Options, rows: bool
) -> Iterator[Callable[[list[np.ndarray]], list[np.ndarray] | None]]:
    """Yield what may be tried on sequences: each move gives new ones, or None where it cannot be.

    Words and tails change places between sequences; without rows, any two words do.
    """
    count, longest = len(sequences), max(map(len, sequences))
    if not rows:
        for i, j in product(range(count), repeat=2):
            for p in range(1, longest):
                for q in range(p + 1 if i == j else 1, longest):
                    yield partial(_exchanged, i=i, j=j, p=p, q=q) if i <= j else _unmoved
    for p in range(1, longest):
        for i in range(count):
            for j in range(i + 1, count):
                yield partial(_crossed, i=i, j=j, p=p)
                if rows:
                    yield partial(_exchanged, i=i, j=j, p=p, q=p)
            for word in options.words[options.at(p)] if rows else ():
                yield partial(_replaced, i=i, p=p, word=int(word))


def _unmoved(sequences: list[np.ndarray]) -> None:
    """Return that there is no such move."""


def _exchanged(
    sequences: list[np.ndarray], i: int, j: int, p: int, q: int
) -> list[np.ndarray] | None:
    """Return the sequences with two words exchanged, never the last of one."""
    if p >= len(sequences[i]) - 1 or q >= len(sequences[j]) - 1:
        return None
    if sequences[i][p] == sequences[j][q]:
        return None
    new = [s.copy() for s in sequences]
    new[i][p], new[j][q] = sequences[j][q], sequences[i][p]
    return new


def _crossed(sequences: list[np.ndarray], i: int, j: int, p: int) -> list[np.ndarray] | None:
    """Return the sequences with all words from a place on exchanged."""
    one, other = sequences[i], sequences[j]
    if p >= min(len(one), len(other)) or np.array_equal(one[p:], other[p:]):
        return None
    new = list(sequences)
    new[i] = np.concatenate([one[:p], other[p:]])
    new[j] = np.concatenate([other[:p], one[p:]])
    return new


def _replaced(sequences: list[np.ndarray], i: int, p: int, word: int) -> list[np.ndarray] | None:
    """Return the sequences with another word at a place."""
    if p >= len(sequences[i]) - 1 or sequences[i][p] == word:
        return None
    new = [s.copy() for s in sequences]
    new[i][p] = word
    return new


def _anywhere(options: Options, knowledge: UpdateKnowledge) -> Options:
    """Return the same words, each of them at home in every place but the first and the last."""
    apart = np.full(options.apart.shape, 0.5)
    first, last = (options.words == token for token in (knowledge.start, knowledge.stop))
    apart[0, ~first], apart[1:, first] = 2.0, 2.0
    apart[-1, ~last], apart[:-1, last] = 2.0, 2.0
    return Options(options.words, apart)


def _types(ids: Tensor, knowledge: UpdateKnowledge, split: SplitBert) -> Tensor:
    """Return token types [1, seq]: behind a first stop token of several, 1, where there are two."""
    stops = (ids == knowledge.stop).long()
    second = (stops.cumsum(1) - stops > 0).long()
    several = split.whole.config.type_vocab_size > 1 and int(stops.sum()) > 1
    return second if several else torch.zeros_like(ids)
