"""Bigram model of token sequences, smoothed, small enough to look up a shortlist at every step."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedbert.errors import InputError, expect

FALLBACK_DISCOUNT = 0.5  # where the counts do not say


@dataclass(frozen=True)
class Ngram:
    """Unigram and bigram probabilities by interpolated absolute discounting: none of them is zero.

    Every seen count is lowered by its discount, and what that frees goes to the next lower order:
    from bigrams to how many different words a word was seen after, from those (and from unigrams)
    to the uniform distribution. So what stands in one position alone, as [CLS] does, is expected
    nowhere else. A sequence starts after the `edge` and ends with it.

    log_unigram [vocab], in nats: how frequent words are. log_lower [vocab + 1]: what bigrams fall
    back to, the edge included. Bigrams are sparse, row by row: those of the word v are starts[v] to
    starts[v + 1] of followers [bigram] (ascending) and discounted [bigram], their lowered relative
    frequency. log_freed [vocab + 1]: the log of what a row leaves to `log_lower`.

    References: Kneser and Ney (1995), for the lower order; Ney, Essen, Kneser (1994), for the
    discount n1 / (n1 + 2 n2), from how many were seen once and twice.
    """

    log_unigram: np.ndarray
    log_lower: np.ndarray
    starts: np.ndarray
    followers: np.ndarray
    discounted: np.ndarray
    log_freed: np.ndarray

    @staticmethod
    def of(sequences: Iterable[np.ndarray], vocab: int) -> "Ngram":
        """Return the model of these sequences of token ids [seq]; without any it is uniform.

        Raises:
            InputError: if a sequence is no row of token ids of this vocabulary.
        """
        expect(vocab > 0, "vocab > 0", "vocab", vocab)
        rows = [row for row in (_checked(each, vocab) for each in sequences) if len(row)]
        after = np.concatenate([np.zeros(0, np.int64), *(np.r_[row, vocab] for row in rows)])
        before = np.concatenate([np.zeros(0, np.int64), *(np.r_[vocab, row] for row in rows)])
        pairs, counts = np.unique(before * (vocab + 1) + after, return_counts=True)
        previous, followers = np.divmod(pairs, vocab + 1)
        totals = np.bincount(before, minlength=vocab + 1)
        kinds = np.bincount(previous, minlength=vocab + 1)
        discount = _discount(counts)
        freed = np.where(totals > 0, discount * kinds / np.maximum(totals, 1), 1.0)
        return Ngram(
            log_unigram=np.log(_lowered(np.bincount(after, minlength=vocab + 1)[:vocab])),
            log_lower=np.log(_lowered(np.bincount(followers, minlength=vocab + 1))),
            starts=np.concatenate([[0], np.cumsum(kinds)]),
            followers=followers,
            discounted=(counts - discount) / totals[previous],
            log_freed=np.log(freed),
        )

    @property
    def edge(self) -> int:
        """The number that stands for "nothing before" as a previous word, and for the end."""
        return len(self.log_unigram)

    @property
    def least(self) -> float:
        """A bound that no log-probability of a bigram falls below."""
        return float(self.log_freed.min() + self.log_lower.min())

    @cached_property
    def _keys(self) -> np.ndarray:
        """The bigrams [bigram] as numbers, rising."""
        size = self.edge + 1
        return np.asarray(np.repeat(np.arange(size), np.diff(self.starts)) * size + self.followers)

    @cached_property
    def _log_discounted(self) -> np.ndarray:
        """The log of `discounted` [bigram]."""
        return np.asarray(np.log(self.discounted))

    def log_bigram(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        """Return log P(following | previous) [k, l] of every pair of two lists of words [k], [l].

        Either may hold the `edge`. Memory is that of the answer and of the rows of `previous`.
        """
        columns, where = np.unique(following, return_inverse=True)
        column_of = np.full(self.edge + 1, -1)
        column_of[columns] = np.arange(len(columns))
        begin = self.starts[previous]
        counts = self.starts[previous + 1] - begin
        row = np.repeat(np.arange(len(previous)), counts)
        entry = np.arange(len(row)) + np.repeat(begin - (np.cumsum(counts) - counts), counts)
        column = column_of[self.followers[entry]]
        seen = column >= 0
        row, column, entry = row[seen], column[seen], entry[seen]
        table = self.log_freed[previous][:, None] + self.log_lower[columns]
        table[row, column] = np.logaddexp(table[row, column], self._log_discounted[entry])
        return np.asarray(table[:, where])

    def log_pairs(self, previous: np.ndarray, following: np.ndarray) -> np.ndarray:
        """Return log P(following | previous) of pairs, whose arrays have or take one shape."""
        keys, asked = self._keys, previous * (self.edge + 1) + following
        logs = self.log_freed[previous] + self.log_lower[following]
        if len(keys) == 0:
            return np.asarray(logs)
        entry = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
        found = np.logaddexp(logs, self._log_discounted[entry])
        return np.asarray(np.where(keys[entry] == asked, found, logs))


def _lowered(counts: np.ndarray) -> np.ndarray:
    """Return probabilities from counts, lowered by their discount; what is left spread evenly."""
    total, discount = max(1, int(counts.sum())), _discount(counts)
    spare = discount * np.count_nonzero(counts) / total if counts.any() else 1.0
    return np.asarray(np.maximum(counts - discount, 0.0) / total + spare / len(counts))


def _discount(counts: np.ndarray) -> float:
    """Return what to take off every count, above 0 and below 1."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once > 0 and twice > 0 else FALLBACK_DISCOUNT


def _checked(sequence: np.ndarray, vocab: int) -> np.ndarray:
    """Return a sequence as int64, if it is one."""
    ids = np.asarray(sequence)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(f"expected token ids [seq], got {ids.dtype} of shape={ids.shape}")
    if len(ids) and (ids.min() < 0 or ids.max() >= vocab):
        worst = int(ids.min()) if ids.min() < 0 else int(ids.max())
        raise InputError(f"expected 0 <= token id < {vocab}, got id={worst}")
    return ids.astype(np.int64)
