"""Inversion scores: how much of a text an attack recovered, beside chance.

All of it is pure: true and guessed token ids in, estimates out. Attacks on any view that propose a
text are judged by `judge_text`, those that propose a set of words by `judge_words`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.text import exact_match, rouge, token_sets
from evaluation.metrics.token_classes import JUDGED, TokenClasses
from evaluation.metrics.tokens import content_masks, token_accuracy, token_chance
from reports.estimate import Estimate

Arrays = Sequence[np.ndarray]
Rng = Callable[[str], np.random.Generator]
CLASS_METRICS = {
    "number": "number_accuracy",
    "rare": "rare_word_accuracy",
    "function": "function_word_accuracy",
}
WHY_NONE = {
    "number": "no number among the attacked tokens",
    "rare": "no capitalised or rare word among the attacked tokens",
    "function": "no function word among the attacked tokens",
    "content": "no content word among the attacked tokens",
}


@dataclass(frozen=True)
class Text:
    """What is known of the attacked text besides itself.

    special: ids that are nobody's text; classes: of every token; often: how often each token occurs
    in text of this kind [vocab], which chance is taken from.
    """

    special: tuple[int, ...]
    classes: TokenClasses
    often: np.ndarray

    def most_frequent(self, within: np.ndarray | None = None) -> np.ndarray:
        """Return `often` [vocab], zero outside a class."""
        often = np.zeros(len(self.classes.index), dtype=np.int64)
        often[: len(self.often)] = self.often[: len(often)]
        return often if within is None else np.where(within, often, 0)


@dataclass(frozen=True)
class Score:
    """One metric of one attack: an estimate with what chance would reach, or why there is none."""

    metric: str
    unit: str
    estimate: Estimate | None
    chance: float | None
    why: str = ""


def judge_text(
    true: Arrays, guessed: Arrays, counted: Arrays, text: Text, rng: Rng
) -> Iterator[Score]:
    """Yield what a guessed text is worth: the token accuracy first.

    true, guessed: token ids [batch, seq] of each message; counted: [batch, seq], nonzero where a
    token is somebody's text. Every interval is over sequences. Chance is the most frequent token
    (of the class, where a class is judged) at every position; for sets, ROUGE and the exact match
    as many of the most frequent tokens as the text has, the most frequent first.
    """
    yield _accuracy("token_accuracy", true, guessed, counted, text.most_frequent(), rng)
    masks = {"content": text.classes.content, **{c: text.classes.mask(c) for c in JUDGED}}
    for name, within in masks.items():
        metric = CLASS_METRICS.get(name, "content_token_accuracy")
        chosen = content_masks(true, counted, within)
        if not any(mask.any() for mask in chosen):
            yield Score(metric, "token", None, None, WHY_NONE[name])
            continue
        yield _accuracy(metric, true, guessed, chosen, text.most_frequent(within), rng)
    shown, answered = _as_texts(true, guessed, counted)
    yield from judge_words(shown, answered, text, rng)
    by_chance = _frequent_texts(shown, text)
    for name, n in (("rouge1", 1), ("rouge2", 2), ("rougeL", "L")):
        if n == 2 and not any((row != PADDING).sum() > 1 for row in shown):
            yield Score(name, "sequence", None, None, "no sequence of two tokens")
            continue
        found, chance = (
            rouge(shown, each, (PADDING,), n, rng(name)) for each in (answered, by_chance)
        )
        yield Score(name, "sequence", found, chance.value)
    found, chance = (
        exact_match(shown, each, (PADDING,), rng("exact")) for each in (answered, by_chance)
    )
    yield Score("exact_match", "sequence", found, chance.value)


def judge_words(true: Arrays, guessed: Arrays, text: Text, rng: Rng) -> Iterator[Score]:
    """Yield precision, recall and F1 of each sequence's set of tokens, in any order.

    true, guessed: token ids [batch, any length] of each message; special ids and `PADDING` count on
    neither side.
    """
    ignored = (*text.special, PADDING)
    by_chance = token_sets(true, _frequent_texts(true, text), ignored, rng("sets"))
    for metric, estimate in token_sets(true, guessed, ignored, rng("sets")).items():
        yield Score(metric, "sequence", estimate, by_chance[metric].value)


PADDING = -1  # no token


def _accuracy(
    metric: str, true: Arrays, guessed: Arrays, counted: Arrays, often: np.ndarray, rng: Rng
) -> Score:
    """Return the share of counted tokens that were guessed, each at its position."""
    estimate = token_accuracy(true, guessed, counted, rng(metric))
    return Score(metric, "token", estimate, token_chance(true, counted, often))


def _as_texts(true: Arrays, guessed: Arrays, counted: Arrays) -> tuple[list[np.ndarray], ...]:
    """Return both sides with PADDING where nothing counts, less sequences without any text.

    Both sides keep the positions that count: what was guessed at a special token's is no text.
    """
    shown: list[np.ndarray] = []
    answered: list[np.ndarray] = []
    for right, guess, mask in zip(true, guessed, counted, strict=True):
        some = np.asarray(mask, dtype=bool)
        rows = np.flatnonzero(some.any(axis=1))
        shown.extend(np.where(some, right, PADDING)[rows, None])
        answered.extend(np.where(some, guess, PADDING)[rows, None])
    return shown, answered


def _frequent_texts(true: Arrays, text: Text) -> list[np.ndarray]:
    """Return, for each sequence, the most frequent tokens, as many as it has of its own."""
    often = text.most_frequent()
    order = np.argsort(-often, kind="stable")
    order = order[~np.isin(order, text.special)]
    found = []
    for message in true:
        guess = np.full((len(message), max(1, message.shape[1])), PADDING)
        for i, row in enumerate(message):
            mine = row[~np.isin(row, (*text.special, PADDING))]
            size = min(len(mine), len(order))
            guess[i, :size] = order[:size]
        found.append(guess)
    return found
