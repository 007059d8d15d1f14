"""Token accuracy against the truth, its chance, and the masks of what counts."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from evaluation.metrics.intervals import CONFIDENCE, clustered_share
from fedbert.errors import InputError, expect
from reports.estimate import Estimate

Arrays = Sequence[np.ndarray]


def token_accuracy(
    true: Arrays,
    guessed: Arrays,
    counted: Arrays,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the share of counted tokens that were guessed, each at its position.

    true, guessed: token ids [batch, seq] of each message; counted: [batch, seq], nonzero where a
    token counts (specials and padding should not). The interval is over sequences.

    Raises:
        InputError: if shapes differ or no token counts.
    """
    hits, counts = [], []
    for right, guess, mask in _aligned(true, guessed, counted):
        hits.append(((right == guess) & mask).sum(1))
        counts.append(mask.sum(1))
    expect(len(hits) > 0, "at least one message", "true", len(true))
    return clustered_share(np.concatenate(hits), np.concatenate(counts), rng, confidence)


def token_chance(true: Arrays, counted: Arrays, reference: np.ndarray) -> float:
    """Return the token accuracy of always guessing the most frequent token of `reference`.

    reference: counts or probabilities [vocab]. Of equally frequent tokens one is drawn evenly,
    and the mean over the draws is returned.

    Raises:
        InputError: if shapes differ or no token counts.
    """
    top = np.flatnonzero(reference == reference.max())
    pairs = [(right, mask) for right, _, mask in _aligned(true, true, counted)]
    total = sum(int(mask.sum()) for _, mask in pairs)
    expect(total > 0, "at least one counted token", "counted", total)
    return sum(int(np.isin(right[mask], top).sum()) for right, mask in pairs) / total / len(top)


def content_masks(true: Arrays, counted: Arrays, content: np.ndarray) -> list[np.ndarray]:
    """Return the masks [batch, seq] under which `token_accuracy` is content-token accuracy.

    content: bool [vocab], False for specials, punctuation and function words.

    Raises:
        InputError: if shapes differ.
    """
    return [mask & content[right] for right, _, mask in _aligned(true, true, counted)]


def _aligned(true: Arrays, guessed: Arrays, counted: Arrays) -> list[tuple[np.ndarray, ...]]:
    """Return (true, guessed, counted as bool) [batch, seq] of each message."""
    if not len(true) == len(guessed) == len(counted):
        lengths = (len(true), len(guessed), len(counted))
        raise InputError(f"expected one guess and one mask per message, got lengths={lengths}")
    together: list[tuple[np.ndarray, ...]] = []
    for right, guess, mask in zip(true, guessed, counted, strict=True):
        if right.ndim != 2 or not right.shape == guess.shape == mask.shape:
            shapes = (right.shape, guess.shape, mask.shape)
            raise InputError(f"expected three arrays [batch, seq] of one shape, got shape={shapes}")
        together.append((right, guess, mask.astype(bool)))
    return together


def matched(true: np.ndarray, counted: np.ndarray, guessed: np.ndarray) -> np.ndarray:
    """Return the guess in the shape of the truth, its sequences in the order that scores best.

    true, counted [batch, seq]; guessed [guess, seq], both of any size: 0 where there is no guess.
    A batch has no order of its own, so the best assignment of sequences is taken.

    >>> matched(np.array([[5, 6]]), np.ones((1, 2)), np.array([[7, 6, 1], [5, 6, 2]])).tolist()
    [[5, 6]]
    """
    rows, width = true.shape
    padded = np.zeros((max(rows, len(guessed)), width), dtype=np.int64)
    cut = guessed[:, :width]
    padded[: len(cut), : cut.shape[1]] = cut
    hits = ((true[:, None] == padded[None]) & (counted[:, None] != 0)).sum(2)
    _, chosen = linear_sum_assignment(-hits)
    return np.asarray(padded[chosen])
