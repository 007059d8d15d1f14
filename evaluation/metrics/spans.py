"""Spans that an attack recovered: names, numbers and dates of records made to be attacked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluation.metrics.inversion import Score
from evaluation.metrics.tokens import token_accuracy, token_chance

Arrays = Sequence[np.ndarray]
KINDS = ("name", "number", "date")


@dataclass(frozen=True)
class Marked:
    """Where the spans of some texts are.

    marks: of each message [batch, seq], k at the tokens of a row's k-th span, 0 elsewhere.
    kinds, chances: of each message, of each row, of each span: what it is, and the chance to guess
    it without looking. often: by kind, how often a token stands in such spans of the pool [vocab].
    """

    marks: tuple[np.ndarray, ...]
    kinds: tuple[Sequence[Sequence[str]], ...]
    chances: tuple[Sequence[Sequence[float]], ...]
    often: dict[str, np.ndarray]


def judge_spans(
    true: Arrays, guessed: Arrays, marked: Marked, rng: Callable[[str], np.random.Generator]
) -> Iterator[Score]:
    """Yield, for each kind, the share of spans whose every token was guessed, and of their tokens.

    true, guessed: token ids [batch, seq] of each message. Intervals are over sequences. Chance of a
    whole span is that of its likeliest value, of a token the most frequent one of such spans.
    """
    for kind in KINDS:
        own, hits, chances = _whole(true, guessed, marked, kind)
        there = [each != 0 for each in own]
        for metric in (f"{kind}_spans", f"{kind}_span_tokens"):
            if not any(each.any() for each in there):
                yield Score(metric, "token", None, None, f"no {kind} among the attacked tokens")
        if not any(each.any() for each in there):
            continue
        ones = [np.ones_like(each) for each in hits]
        counted = [each >= 0 for each in hits]
        exact = token_accuracy(ones, hits, counted, rng(f"{kind}_spans"))
        yield Score(f"{kind}_spans", "span", exact, float(np.mean(chances)))
        tokens = token_accuracy(true, guessed, there, rng(f"{kind}_span_tokens"))
        chance = token_chance(true, there, marked.often[kind])
        yield Score(f"{kind}_span_tokens", "token", tokens, chance)


def judge_texts_spans(
    true: Arrays, guessed: Arrays, marked: Marked, rng: Callable[[str], np.random.Generator]
) -> Iterator[Score]:
    """Yield the same of guesses that have positions of their own.

    true, guessed: token ids [seq] of each text, of any two lengths; each text is a message of one.
    A span counts where its tokens stand in the guess one after the other, a token where it is in.
    Chance is the most that a guess of as many tokens reaches without the vector, made for this kind
    alone: of n tokens n - L + 1 rows of L stand in it, each at best the likeliest value of a span
    of L tokens; and no n tokens are more often in such spans than the n most frequent ones.
    """
    rows, whole, some = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    odds = _odds(guessed, marked)
    for text, guess, marks in zip(true, guessed, marked.marks, strict=True):
        found = np.full(len(text), -1)
        for k in np.unique(marks[marks > 0]):
            tokens = text[marks[0] == k]
            if _stands_in(tokens, guess):
                found[marks[0] == k] = tokens
        rows.append(text[None])
        whole.append(found[None])
        some.append(np.where(np.isin(text, guess), text, -1)[None])
    for score in judge_spans(rows, whole, replace(marked, chances=odds), rng):
        if score.metric.endswith("_spans"):
            yield score
    sizes = [len(np.unique(guess)) for guess in guessed]
    for score in judge_spans(rows, some, marked, rng):
        if not score.metric.endswith("_spans"):
            kind = score.metric.removesuffix("_span_tokens")
            chance = None if score.estimate is None else _among(sizes, marked, kind)
            yield replace(score, chance=chance)


def _odds(guessed: Arrays, marked: Marked) -> tuple[Sequence[Sequence[float]], ...]:
    """Return the chances of each text's spans to stand in a guess of as many tokens as was made."""
    found = []
    for guess, marks, (chances,) in zip(guessed, marked.marks, marked.chances, strict=True):
        lengths = [int((marks[0] == k).sum()) for k in range(1, len(chances) + 1)]
        places = [max(0, len(guess) - length + 1) for length in lengths]
        found.append([[min(1.0, n * p) for n, p in zip(places, chances, strict=True)]])
    return tuple(found)


def _among(sizes: Sequence[int], marked: Marked, kind: str) -> float:
    """Return the mean chance of a token of such a span to be one of so many different ones.

    sizes: of each text's guess; over all tokens of such spans.
    """
    most = np.cumsum(np.sort(marked.often[kind])[::-1]) / max(1, marked.often[kind].sum())
    counts = [
        sum(int((marks[0] == k).sum()) for k, name in enumerate(names, start=1) if name == kind)
        for marks, (names,) in zip(marked.marks, marked.kinds, strict=True)
    ]
    shares = [float(most[min(n, len(most)) - 1]) if n else 0.0 for n in sizes]
    return float(np.average(shares, weights=counts))


def _stands_in(tokens: np.ndarray, guess: np.ndarray) -> bool:
    """Return whether tokens stand in a guess, one after the other."""
    guess = np.asarray(guess)
    if len(guess) < len(tokens):
        return False
    windows = np.lib.stride_tricks.sliding_window_view(guess, len(tokens))
    return bool((windows == tokens).all(1).any())


def _whole(
    true: Arrays, guessed: Arrays, marked: Marked, kind: str
) -> tuple[list[np.ndarray], list[np.ndarray], list[float]]:
    """Return a kind's marks [batch, seq], and for each row and span 1 if it was guessed whole, 0 if
    not, -1 if it is of another kind [batch, span]; and the chances of those of the kind.
    """
    own, hits, chances = [], [], list[float]()
    parts = zip(true, guessed, marked.marks, marked.kinds, marked.chances, strict=True)
    for right, guess, marks, kinds, odds in parts:
        most = max([len(each) for each in kinds], default=0)
        found = np.full((len(marks), max(1, most)), -1)
        kept = np.zeros_like(marks)
        for row, names in enumerate(kinds):
            for k, name in enumerate(names, start=1):
                where = marks[row] == k
                if name != kind or not where.any():
                    continue
                kept[row][where] = k
                found[row, k - 1] = int((right[row][where] == guess[row][where]).all())
                chances.append(odds[row][k - 1])
        own.append(kept)
        hits.append(found)
    return own, hits, chances
