"""Sequence assembly from the words that each position may hold: language, then descent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch

from attacks.inversion.parts.ngram import Ngram
from attacks.updates.whole_update import UpdateKnowledge

AGAIN = 20.0
"""Nats that a sequence pays for a word at a position where an earlier sequence has it already."""

FIT = 10.0
"""Nats that a sequence pays for a word that is but just an option at its position."""

SWEEPS, RESTARTS, PAIRS = 8, 4, 512
"""Of the search for whole sequences; pairs of words tried at once."""

Score = Callable[[list[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Options:
    """Which words each position of a batch's sequences may hold.

    words [word]: token ids. apart [position, word]: how badly a word fits a position, from 0; a
    word is an option where that is below 1.
    """

    words: np.ndarray
    apart: np.ndarray

    def at(self, position: int) -> np.ndarray:
        """Return the options of a position, as columns, best first."""
        order = np.argsort(self.apart[position], kind="stable")
        fit = order[self.apart[position][order] < 1]
        return fit if len(fit) else order[:1]


def language_of(knowledge: UpdateKnowledge, vocab: int) -> Ngram:
    """Return the bigram model of the auxiliary text; without any all sequences are alike."""
    return Ngram.of(knowledge.auxiliary or (), vocab)


def ends_of(options: Options, stop: int, count: int) -> list[int]:
    """Return the last position of each of `count` sequences, the longest first.

    They are positions that may hold the stop token, best ones first, the last position among them;
    of those there are too few of, the longest is taken again.
    """
    last = len(options.apart) - 1
    column = np.flatnonzero(options.words == stop)
    if len(column) == 0:
        return [last] * count
    apart = options.apart[:, column[0]]
    fit = [int(p) for p in np.argsort(apart, kind="stable") if apart[p] < 1 and 0 < p < last]
    ends = [last, *fit][:count]
    return sorted(ends + [last] * (count - len(ends)), reverse=True)


def chained(options: Options, knowledge: UpdateKnowledge, language: Ngram) -> list[np.ndarray]:
    """Return `batch_size` likely sequences [seq] of the options, by Viterbi, the longest first.

    A word at a position that an earlier sequence has taken is left to it where others fit as well.
    """
    taken = np.zeros(options.apart.shape, dtype=bool)
    found = []
    for end in ends_of(options, knowledge.stop, knowledge.batch_size):
        columns = _best_path(options, end, knowledge.stop, taken, language)
        taken[np.arange(len(columns)), columns] = True
        found.append(options.words[columns])
    return found


def _best_path(
    options: Options, end: int, stop: int, taken: np.ndarray, language: Ngram
) -> np.ndarray:
    """Return the columns [seq] of the cheapest sequence that ends at a position."""
    column = np.flatnonzero(options.words == stop)
    choices = [options.at(position) for position in range(end + 1)]
    if len(column):
        choices[end] = column[:1]
        inner = [c[c != column[0]] for c in choices[:-1]]
        choices[:-1] = [i if len(i) else c for i, c in zip(inner, choices[:-1], strict=True)]
    cost, back, before = np.zeros(1), [], np.array([language.edge])
    for position, chosen in enumerate(choices):
        words = options.words[chosen]
        own = FIT * options.apart[position, chosen] + AGAIN * taken[position, chosen]
        steps = cost[:, None] - language.log_bigram(before, words)  # [before, chosen]
        back.append(steps.argmin(0))
        cost, before = steps.min(0) + own, words
    path = [int(cost.argmin())]
    for pointers in reversed(back[1:]):
        path.append(int(pointers[path[-1]]))
    return np.array([c[i] for c, i in zip(choices, reversed(path), strict=True)])


def descended(
    sequence: np.ndarray, options: Options, score: Score, sweeps: int, enough: float
) -> tuple[np.ndarray, float]:
    """Return the sequence [seq] after changing words for the better, and its score.

    One word at a time; two where no single one helps. Ends after so many sweeps over all positions,
    when nothing helps, or at a score of `enough`.
    """
    best, value = sequence, float(score([sequence])[0])
    for _ in range(sweeps):
        before = value
        for position in range(len(best) - 1):
            best, value = _better(best, value, _changed(best, options, [position]), score)
        if value <= enough:
            break
        if value == before:
            pairs = combinations(range(len(best) - 1), 2)
            rivals = [each for pair in pairs for each in _changed(best, options, pair)]
            best, value = _better(best, value, rivals[:PAIRS], score)
            if value == before:
                break
    return best, value


def _better(
    best: np.ndarray, value: float, rivals: list[np.ndarray], score: Score
) -> tuple[np.ndarray, float]:
    """Return the best of a sequence and its rivals, with its score."""
    if not rivals:
        return best, value
    values = score(rivals)
    least = int(values.argmin())
    return (rivals[least], float(values[least])) if values[least] < value else (best, value)


def _changed(sequence: np.ndarray, options: Options, positions: Sequence[int]) -> list[np.ndarray]:
    """Return the sequence with another option at each of some positions, in all combinations."""
    others = [options.words[options.at(position)] for position in positions]
    others = [
        words[words != sequence[position]]
        for words, position in zip(others, positions, strict=True)
    ]
    found = []
    for chosen in product(*others):
        rival = sequence.copy()
        rival[list(positions)] = chosen
        found.append(rival)
    return found


def settled(
    guesses: Sequence[np.ndarray],
    options: Options,
    score: Score,
    enough: float,
    generator: torch.Generator,
) -> list[np.ndarray]:
    """Return the guesses after descent, from elsewhere too where that ends short of `enough`.

    score: of single sequences, lower is better. No two may become one another.
    """
    found: list[np.ndarray] = []

    def new(sequence: np.ndarray) -> bool:
        return not any(np.array_equal(sequence, each) for each in found)

    for guess in guesses:
        best, value = descended(guess, options, score, SWEEPS, enough)
        for _ in range(RESTARTS):
            if value <= enough and new(best):
                break
            start = _drawn(guess, options, generator)
            again, other = descended(start, options, score, SWEEPS, enough)
            if (other < value or not new(best)) and new(again):
                best, value = again, other
        found.append(best)
    return found


def _drawn(guess: np.ndarray, options: Options, generator: torch.Generator) -> np.ndarray:
    """Return a sequence of options drawn at random, as long as a guess."""
    drawn = guess.copy()
    for position in range(len(guess) - 1):
        words = options.words[options.at(position)]
        drawn[position] = words[int(torch.randint(len(words), (), generator=generator))]
    return drawn


def padded(sequences: Sequence[np.ndarray]) -> np.ndarray:
    """Return sequences [seq] as one array [batch, seq] int64, 0 where padded."""
    found = np.zeros((len(sequences), max(map(len, sequences))), dtype=np.int64)
    for row, sequence in zip(found, sequences, strict=True):
        row[: len(sequence)] = sequence
    return found
