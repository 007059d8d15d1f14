"""Text metrics of a guess against the truth: sets of tokens, ROUGE, exact match."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from evaluation.metrics.intervals import CONFIDENCE, clustered_share
from fedbert.errors import InputError, expect
from reports.estimate import Estimate

Arrays = Sequence[np.ndarray]
Texts = Sequence[np.ndarray]
Words = list[int]


def token_sets(
    true: Arrays,
    guessed: Arrays,
    special: Sequence[int],
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
) -> dict[str, Estimate]:
    """Return `token_precision`, `token_recall` and `token_f1` of each sequence's set of tokens.

    Order and repetition play no part. true, guessed: token ids [batch, seq] of each message, which
    need not be equally long; special: the ids that are nobody's text, padding among them. Each is
    the mean over the sequences with any text, the interval is over them; an empty guess scores 0.

    Raises:
        InputError: if the numbers of sequences differ or none has text.
    """
    pairs = [(set(right), set(guess)) for right, guess in _texts(true, guessed, special, 1)]
    shared = [len(right & guess) for right, guess in pairs]
    parts = {
        "token_precision": [n / max(1, len(g)) for n, (_, g) in zip(shared, pairs, strict=True)],
        "token_recall": [n / len(r) for n, (r, _) in zip(shared, pairs, strict=True)],
        "token_f1": [2 * n / (len(r) + len(g)) for n, (r, g) in zip(shared, pairs, strict=True)],
    }
    return {name: _mean(scores, rng, confidence) for name, scores in parts.items()}


def rouge(
    true: Arrays,
    guessed: Arrays,
    special: Sequence[int],
    n: int | str,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the mean F1 over sequences of shared n-grams, or of the longest subsequence ("L").

    On token ids, less special ones: words are not stemmed. The rest is as for `token_sets`; for
    n-grams a sequence plays a part if it has one.

    Reference: Lin (2004), sections 2 and 3.

    Raises:
        InputError: if n is neither a positive integer nor "L", the numbers of sequences differ, or
            none is long enough.
    """
    if n != "L" and not (isinstance(n, int) and n >= 1):
        raise InputError(f'expected n >= 1 or "L", got {n=}')
    size = n if isinstance(n, int) else 1

    def score(right: Words, guess: Words) -> float:
        if n == "L":
            return 2 * _common(right, guess) / (len(right) + len(guess))
        ours, theirs = _grams(right, size), _grams(guess, size)
        return 2 * (ours & theirs).total() / (ours.total() + theirs.total())

    scores = [score(*pair) for pair in _texts(true, guessed, special, size)]
    return _mean(scores, rng, confidence)


def exact_match(
    true: Arrays,
    guessed: Arrays,
    special: Sequence[int],
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the share of sequences whose text was recovered to the last token, as `token_sets`.

    Raises:
        InputError: if the numbers of sequences differ or none has text.
    """
    pairs = _texts(true, guessed, special, 1)
    return _mean([float(right == guess) for right, guess in pairs], rng, confidence)


def _texts(
    true: Arrays, guessed: Arrays, special: Sequence[int], least: int
) -> list[tuple[Words, Words]]:
    """Return (true, guessed) of each sequence of at least `least` tokens, without special ids."""
    left_out = set(special)
    ours, theirs = (
        [[w for w in row.tolist() if w not in left_out] for message in side for row in message]
        for side in (true, guessed)
    )
    if len(true) != len(guessed) or len(ours) != len(theirs):
        numbers = (len(ours), len(theirs))
        raise InputError(f"expected one guess per sequence, got numbers={numbers}")
    found = [pair for pair in zip(ours, theirs, strict=True) if len(pair[0]) >= least]
    expect(len(found) > 0, f"a sequence of at least {least} tokens", "sequences", 0)
    return found


def _mean(scores: Sequence[float], rng: np.random.Generator, confidence: float) -> Estimate:
    """Return the mean of scores [sequence] within 0 to 1."""
    return clustered_share(np.array(scores), np.ones(len(scores)), rng, confidence)


def _grams(words: Words, size: int) -> Counter[tuple[int, ...]]:
    """Return how often each n-gram occurs."""
    return Counter(tuple(words[i : i + size]) for i in range(len(words) - size + 1))


def _common(one: Words, other: Words) -> int:
    """Return the length of the longest common subsequence, a column of the table at a time.

    Bit i of `row` is unset where the length grows at the i-th word.

    Reference: Hyyro (2004), "Bit-parallel LCS-length computation revisited".
    """
    positions: dict[int, int] = {}
    for i, word in enumerate(one):
        positions[word] = positions.get(word, 0) | 1 << i
    full = row = (1 << len(one)) - 1
    for word in other:
        hit = row & positions.get(word, 0)
        row = (row + hit | row - hit) & full
    return len(one) - row.bit_count()


MOST_WORDS = 60  # of a guess that knows no vector


def scores(
    true: Texts,
    guessed: Texts,
    special: Sequence[int],
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
) -> dict[str, Estimate]:
    """Return what guessed texts (token ids [word] each) are worth, by metric, as means over texts.

    A guess that knows no order is judged on its order all the same. ROUGE-2 needs a text of two
    words or more, and is absent without any.
    """
    ours, theirs = [text[None] for text in true], [guess[None] for guess in guessed]
    found = token_sets(ours, theirs, special, rng, confidence)
    longest = max(int((~np.isin(text, special)).sum()) for text in true)
    for n in (1, 2, "L"):
        if n != 2 or longest >= 2:
            found[f"rouge{n}"] = rouge(ours, theirs, special, n, rng, confidence)
    found["exact_match"] = exact_match(ours, theirs, special, rng, confidence)
    return found


def frequent_words_chance(true: Texts, auxiliary: Texts, special: Sequence[int]) -> float:
    """Return the mean token-set F1 of guessing the same frequent words of every text.

    How many is what serves the auxiliary texts best.
    """
    sets = [np.setdiff1d(text, special) for text in auxiliary]
    words, counts = np.unique(np.concatenate(sets), return_counts=True)
    frequent = words[np.argsort(-counts, kind="stable")][:MOST_WORDS]
    best = int(_frequent_f1(sets, frequent).argmax())
    return float(_frequent_f1([np.setdiff1d(text, special) for text in true], frequent)[best])


def _frequent_f1(sets: Texts, frequent: np.ndarray) -> np.ndarray:
    """Return the mean F1 of guessing the first 1, 2, ... frequent words [number]."""
    held = np.array([np.isin(frequent, each) for each in sets]).cumsum(1)  # [text, number]
    sizes = np.array([len(each) for each in sets])[:, None] + np.arange(1, len(frequent) + 1)
    mean: np.ndarray = (2 * held / sizes).mean(0)
    return mean
