"""Gradient matching: sequences whose own gradient is what the tables' rows show."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from attacks.attack import Lacks, served
from attacks.updates.assembly import Options, chained, language_of, padded
from attacks.updates.row_match import Labelled, RowMatch
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
from fedbert.errors import expect
from fedbert.messages import Message
from fedbert.split import SplitBert

WORK = 600_000_000_000
"""Operations after which the search ends: about half a minute on one core."""

MOST = 8
"""Sequences of a batch beyond which words hardly ever stand alone, and the search takes long."""

Sequences = list[np.ndarray]
Moves = Callable[[Sequences, Options, int], Iterator[Sequences]]


@dataclass(frozen=True)
class GradientMatching:
    """Sequences whose gradients, put together, are the rows of the step.

    Threat model: the aggregator under `fedavg`, who holds a client's ClientUpdate and the model
    that it started from. Positions and words come from the tables (see `row_order`); what they
    leave open, which of several words at a position belong to one sequence, is settled by running
    candidates through the model as it was: their gradients at E's sums, added up word by word and
    position by position, are to be the rows that moved. The search changes words within the
    options, exchanges words and tails between sequences, and starts again from elsewhere. Labels
    are those that fit best. AdamW's first step is simulated: the guess's gradient over its own
    magnitude.

    loss: "cosine" (LAMP's), or "tag" (L2 and `alpha` times L1 distance, over the row's size), each
    the mean over the rows. positions: whether positions come from the position table; without, any
    word may stand anywhere, a language model strings them together, and the match has to find
    the order by exchanges, as in TAG and LAMP.

    The tables' rows are a part of the gradient, and the telling one: matching all of it instead
    costs four times as much and found less in two sentences (docs/decisions/0008-updates.md).
    Dropout blurs the match. Of moments that a client kept, of several steps and of noise nothing
    is known: `missing` says so.

    References: Deng et al. (2021), "TAG: Gradient attack on transformer-based language models",
    equation 4; Balunovic et al. (2022), "LAMP: Extracting text from gradients with language model
    priors", sections 4.1 to 4.3.
    """

    loss: str = "cosine"
    alpha: float = 0.01
    positions: bool = True
    sweeps: int = 6
    restarts: int = 8
    name: str = "gradient matching"
    view: str = "aggregator"

    def __post_init__(self) -> None:
        """Check every setting."""
        expect(self.loss in ("cosine", "tag"), "cosine or tag", "loss", self.loss)
        for name in ("sweeps", "restarts"):
            expect(getattr(self, name) >= 0, f"{name} >= 0", name, getattr(self, name))
        expect(0 <= self.alpha < float("inf"), "alpha >= 0", "alpha", self.alpha)

    def missing(self, knowledge: UpdateKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        if knowledge.model is None:
            return Lacks(("model",), "needs `model`: the model as sent out")
        if not knowledge.whole or not layers_of(knowledge.model):
            words = "needs the whole model's update, with an encoder layer (strategy fedavg)"
            return Lacks(("whole",), words)
        if knowledge.model.head.kind != "classification":
            return Lacks(("model",), "needs a head whose labels can be tried: classification")
        if knowledge.batch_size > MOST and len(knowledge.learning_rate) == 1:
            words = f"not applicable: {knowledge.batch_size} sequences at once, {MOST} at most"
            return Lacks(("batch_size",), words)
        return missing_step(knowledge, adaptive=True, steps=False) or RowOrder().missing(knowledge)

    def reconstruct(
        self, messages: Sequence[Message], knowledge: UpdateKnowledge, generator: torch.Generator
    ) -> list[np.ndarray | NotApplicable]:
        """Return the token ids [batch, seq] int64 of each ClientUpdate, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking.
        """
        model = served(knowledge.model, self.missing(knowledge), self.name)
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
        if not self.positions:
            options = _anywhere(options, knowledge)
        language = language_of(knowledge, model.whole.config.vocab_size)
        guesses = chained(options, knowledge, language)
        if knowledge.batch_size == 1 and knowledge.optimizer == "sgd" and self.positions:
            return padded(guesses)
        at = model_at(step, model, torch.float32)
        match = RowMatch(step, options.words, at, knowledge, self.loss, self.alpha)
        kinds: tuple[Moves, ...] = (_words if self.positions else _exchanges, _tails, _ends)
        best = self._descended(guesses, options, match, kinds)
        for _ in range(self.restarts):
            if best.loss < match.enough or match.work > WORK:
                break
            start = _shuffled(best.sequences, options, generator, self.positions)
            again = self._descended(start, options, match, kinds)
            best = again if again.loss < best.loss else best
        if (
            knowledge.optimizer == "adamw" and best.loss > match.enough
        ):  # a word is no option at home
            kinds = (_exchanges, _words)
            best = self._descended(best.sequences, options, match, kinds)
        return padded(best.sequences)

    def _descended(
        self, start: Sequences, options: Options, match: RowMatch, kinds: Sequence[Moves]
    ) -> Labelled:
        """Return where moves for the better lead from a start."""
        best = match.settled(start)
        for _ in range(self.sweeps):
            before = best.loss
            for position in range(1, max(map(len, best.sequences)) - 1):
                if match.work > WORK:
                    return best
                for moves in kinds:
                    best = match.best(best, list(moves(best.sequences, options, position)))
            best = match.settled(best.sequences)
            if best.loss >= before * (1 - 1e-6) or best.loss < match.enough:
                break
        return best


def _words(sequences: Sequences, options: Options, position: int) -> Iterator[Sequences]:
    """Yield the sequences with one or two other words at a position."""
    words = options.words[options.at(position)]
    open_ = [i for i, s in enumerate(sequences) if position < len(s) - 1]
    singles = [(i, w) for i in open_ for w in words if w != sequences[i][position]]
    for i, word in singles:
        yield _with(sequences, [(i, position, word)])
    for (i, one), (j, other) in combinations(singles, 2):
        if i != j:
            yield _with(sequences, [(i, position, one), (j, position, other)])


def _exchanges(sequences: Sequences, options: Options, position: int) -> Iterator[Sequences]:
    """Yield the sequences with a word exchanged for any other, or any other word in its place."""
    for i, one in enumerate(sequences):
        if position >= len(one) - 1:
            continue
        for j, q in ((j, q) for j, s in enumerate(sequences) for q in range(1, len(s) - 1)):
            if (j, q) > (i, position) and sequences[j][q] != one[position]:
                yield _with(sequences, [(i, position, sequences[j][q]), (j, q, one[position])])
        for word in options.words[options.at(position)]:
            if word != one[position]:
                yield _with(sequences, [(i, position, word)])


def _tails(sequences: Sequences, options: Options, position: int) -> Iterator[Sequences]:
    """Yield the sequences with all words from a position on exchanged between two."""
    for i, j in combinations(range(len(sequences)), 2):
        one, other = sequences[i], sequences[j]
        if position < min(len(one), len(other)) and not np.array_equal(
            one[position:], other[position:]
        ):
            new = list(sequences)
            new[i] = np.concatenate([one[:position], other[position:]])
            new[j] = np.concatenate([other[:position], one[position:]])
            yield new


def _ends(sequences: Sequences, options: Options, position: int) -> Iterator[Sequences]:
    """Yield the sequences with one of them, not the longest, ending at a position."""
    longest = max(map(len, sequences))
    column = {int(word): i for i, word in enumerate(options.words)}
    for i, one in enumerate(sequences):
        end = len(one) - 1
        fits = options.apart[position, column[int(one[end])]] < 1
        if len(one) == longest and sum(len(s) == longest for s in sequences) == 1:
            continue
        if fits and position != end:
            words = [options.words[options.at(p)[0]] for p in range(end, position)]
            new = list(sequences)
            new[i] = np.concatenate([one[: min(position, end)], words, one[end:]]).astype(np.int64)
            yield new


def _with(sequences: Sequences, changes: Sequence[tuple[int, int, int]]) -> Sequences:
    """Return the sequences with some words put in: (sequence, position, word)."""
    new = list(sequences)
    for i, position, word in changes:
        new[i] = new[i].copy()
        new[i][position] = word
    return new


def _shuffled(
    sequences: Sequences, options: Options, generator: torch.Generator, positions: bool
) -> Sequences:
    """Return the sequences after moves by a coin, one a position."""
    found = sequences
    for position in range(1, max(map(len, sequences)) - 1):
        moves = list((_words if positions else _exchanges)(found, options, position))
        draw = int(torch.randint(2 * len(moves) + 1, (), generator=generator))
        found = moves[draw] if draw < len(moves) else found
    return found


def _anywhere(options: Options, knowledge: UpdateKnowledge) -> Options:
    """Return the same words, each of them at home in every position but the first and the last."""
    apart = np.full(options.apart.shape, 0.5)
    first, last = (options.words == token for token in (knowledge.start, knowledge.stop))
    apart[0, ~first], apart[1:, first] = 2.0, 2.0
    apart[-1, ~last] = 2.0
    return Options(options.words, apart)
