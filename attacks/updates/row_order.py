"""Word order, by rows of the word and of the position table that moved alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from attacks.attack import Lacks, served
from attacks.updates.assembly import Options, chained, language_of, padded
from attacks.updates.whole_update import (
    NotApplicable,
    Step,
    UpdateKnowledge,
    exact_values,
    floor_of,
    missing_step,
    steps_of,
)
from fedbert.errors import InputError
from fedbert.messages import Message

SAME = 0.25
"""Distance of two rows of the null space, over their lengths' sum, below which they are one's."""

UNSURE = 0.9
"""How badly a word fits a position that it is linked to and has no share in."""

CHOICES = 4
"""Words that a position may hold under AdamW, per sequence."""


@dataclass(frozen=True)
class RowOrder:
    """Sequences read off the word and the position table, without any forward pass.

    Threat model: the aggregator, who holds a client's ClientUpdate and the ClientParts that it
    started from. E adds a token's word and position rows before anything else, so both rows get
    the same gradient at every occurrence, whatever dropout, the body and the head do behind them.
    It holds for E's update alone, and so under split strategies too.

    | update | method | what holds |
    |---|---|---|
    | SGD, one sequence | a word's row is the sum of its positions' | exact, up to rounding |
    | SGD, several | sums of words' rows that equal sums of positions' | exact sets of words for
        sets of positions, as long as tokens are fewer than hidden values |
    | AdamW's first step | words' and positions' rows that point alike | heuristic |

    Sums hold over several local steps of SGD too. Which of several words at a position belong to
    one sequence, the rows do not tell: a bigram model of auxiliary text strings them together, or
    the gradient does (see `gradient_matching`).

    Reference: none that we know of for the pairing; Melis et al. (2019), section 4.1, for the rows.
    """

    name: str = "row order"
    view: str = "aggregator"

    def missing(self, knowledge: UpdateKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        tables = {"word": knowledge.word, "position": knowledge.position}
        frozen = tuple(name for name, table in tables.items() if table is None)
        if frozen:
            return Lacks(frozen, "needs `word` and `position`: the names of trained tables")
        if knowledge.tied:
            return Lacks(("tied",), "not applicable: a tied decoder moves the words' rows as well")
        words = "not applicable: noise on the update breaks equalities of rows"
        noisy = exact_values(knowledge, words)
        return noisy or missing_step(knowledge, adaptive=True, steps=True)

    def reconstruct(
        self, messages: Sequence[Message], knowledge: UpdateKnowledge, generator: torch.Generator
    ) -> list[np.ndarray | NotApplicable]:
        """Return the token ids [batch, seq] int64 of each ClientUpdate, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking.
        """
        served(knowledge.word, self.missing(knowledge), self.name)
        return [_sequences(step, knowledge) for step in steps_of(messages, knowledge)]


def _sequences(step: Step, knowledge: UpdateKnowledge) -> np.ndarray | NotApplicable:
    options = options_of(step, knowledge)
    if isinstance(options, NotApplicable):
        return options
    language = language_of(knowledge, len(step.before[str(knowledge.word)]))
    return padded(chained(options, knowledge, language))


def options_of(step: Step, knowledge: UpdateKnowledge) -> Options | NotApplicable:
    """Return the words that each position may hold, with how well each fits (lower is better)."""
    if knowledge.word is None or knowledge.position is None:
        raise InputError("expected knowledge.word and knowledge.position, got None")
    words = np.flatnonzero(step.moved[knowledge.word].any(1))
    positions = np.flatnonzero(step.moved[knowledge.position].any(1))
    if len(words) == 0 or len(positions) == 0:
        return NotApplicable("no row of the tables moved")
    by_word, by_position = (
        step.taken[knowledge.word][words],
        step.taken[knowledge.position][positions],
    )
    if knowledge.optimizer == "adamw":
        apart = _unlike(by_word, by_position, knowledge.batch_size)
    else:
        rounding = max(step.rounding[knowledge.word], step.rounding[knowledge.position])
        apart = _unbalanced(by_word, by_position, rounding)
        if len(positions) > 2 and bool((apart < 1).all()):
            return NotApplicable("tokens link all words with all positions: no sums are told apart")
    start = words == knowledge.start
    if start.any():
        apart[0], apart[1:, start] = 1.0, 1.0
        apart[0, start] = 0.0
    return Options(words, apart)


def _unbalanced(by_word: np.ndarray, by_position: np.ndarray, rounding: float) -> np.ndarray:
    """Return how far words and positions are from one sum [position, word]: 1 where they are not.

    Rows of one gradient, [word, hidden] and [position, hidden]. Tokens link words and positions; of
    every connected part the words' sum equals the positions', and no other sums are equal. So the
    left null space of both, stacked with opposite signs, is constant on each part. Within a part,
    a position's row is the sum of those of words that occur once; its share of others is a hint.
    """
    both = np.concatenate([by_word, -by_position])
    left, values, _ = np.linalg.svd(both, full_matrices=True)
    limit = floor_of(both, rounding, float(values[0]))
    null = left[:, int((values > limit).sum()) :]
    ours, theirs = null[: len(by_word)], null[len(by_word) :]
    gaps = np.linalg.norm(theirs[:, None] - ours[None], axis=2)
    lengths = np.linalg.norm(ours, axis=1)[None] + np.linalg.norm(theirs, axis=1)[:, None]
    apart: np.ndarray = (gaps > SAME * lengths).astype(np.float64)
    for position, row in enumerate(apart):
        linked = np.flatnonzero(row == 0)
        if len(linked) > 1:
            share = np.linalg.lstsq(by_word[linked].T, by_position[position])[0]
            row[linked] = UNSURE * (1 - np.clip(share, 0, 1))
    return apart


def _unlike(by_word: np.ndarray, by_position: np.ndarray, count: int) -> np.ndarray:
    """Return how far words' and positions' steps point apart [position, word], 1 at the cutoff.

    AdamW's first step has the gradient's signs, so rows of one token are equal; where a row is a
    sum over several, signs agree more often than chance has it, once the direction that all rows
    share is taken off. A position keeps its best CHOICES per sequence.
    """
    both = np.concatenate([by_word, by_position])
    common = np.linalg.svd(both / np.linalg.norm(both, axis=1)[:, None])[2][0]
    ours, theirs = (
        _units(rows - np.outer(rows @ common, common)) for rows in (by_word, by_position)
    )
    apart = 1 - theirs @ ours.T  # 0 to 2
    kept = min(CHOICES * count, apart.shape[1])
    cutoff = np.sort(apart, axis=1)[:, kept - 1 : kept]
    return np.asarray(np.where(apart <= cutoff, UNSURE * apart / 2, 1.0))


def _units(rows: np.ndarray) -> np.ndarray:
    """Return rows of length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1)[:, None], 1e-300))
