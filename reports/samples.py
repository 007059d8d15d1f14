"""Sample sentences for the page: how often each word was recovered, and the best reconstruction.

They come from a file of their own in the run directory, since they are the run's private text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reports.records import CellResult

LEVELS = ("never", "up to a third", "up to two thirds", "more than two thirds", "always")
SAMPLES = "samples.json"
"""The file of a run directory that holds its sentences."""
UNCOUNTED = "unknown to the tokenizer: not counted"
INSIDE = "##"  # before a piece that continues a word


@dataclass(frozen=True)
class Word:
    """One piece of text: `glued` to the last one or not, its level of `LEVELS`, and why."""

    text: str
    glued: bool
    level: int
    told: str


@dataclass(frozen=True)
class Sample:
    """One sentence: its words, and those of its best reconstruction (level 4 right, 0 wrong)."""

    words: tuple[Word, ...]
    attack: str
    guess: tuple[Word, ...]
    told: str


@dataclass(frozen=True)
class Sampled:
    """The sentences of one cell."""

    labels: dict[str, str]
    sentences: tuple[Sample, ...]


def samples(records: Iterable[CellResult], stored: Any, where: str) -> list[Sampled]:
    """The sentences of each setting, of the first seed that has any, in the records' order.

    `stored` is what `samples.json` holds: by cell a list of sentences, each with `words` (word, how
    often recovered, how often seen; None of 0: not counted) and `best` (attack, words). Cells
    without a record are left out. `where` names the file in messages.

    Raises: ValueError for anything else.
    """
    if stored is None:
        return []
    if not isinstance(stored, Mapping):
        raise ValueError(f"expected an object by cell, got {where} of {type(stored).__name__}")
    found: dict[tuple[str, ...], Sampled] = {}
    for record in records:
        if record.status != "done" or record.cell not in stored:
            continue
        setting = tuple(text for name, text in record.labels.items() if name != "seed")
        if setting not in found:
            try:
                sentences = tuple(_sample(each) for each in stored[record.cell])
            except (KeyError, TypeError, ValueError) as error:
                here = f"{where} cell={record.cell}"
                raise ValueError(f"expected words and best, got {here}: {error}") from None
            found[setting] = Sampled(record.labels, sentences)
    return [each for each in found.values() if each.sentences]


def level(recovered: int, seen: int) -> int:
    """The level of `LEVELS` that says how often a word was recovered.

    >>> [level(k, 6) for k in range(7)]
    [0, 1, 1, 2, 2, 3, 4]
    """
    if not 0 <= recovered <= seen or seen < 1:
        raise ValueError(f"expected 0 <= recovered <= seen, got {recovered} of {seen}")
    if recovered in (0, seen):
        return 4 if recovered else 0
    return 1 + (3 * recovered > seen) + (3 * recovered > 2 * seen)


def _sample(entry: Mapping[str, Any]) -> Sample:
    words, guessed = [], []
    best = entry["best"]
    for (text, recovered, seen), guess in zip(entry["words"], best["words"], strict=True):
        if recovered is None and seen == 0:
            words.append(_word(text, 0, UNCOUNTED))
            guessed.append(_word(guess, 0, UNCOUNTED))
            continue
        words.append(_word(text, level(recovered, seen), f"recovered {recovered} of {seen} times"))
        hit = text == guess
        guessed.append(_word(guess, 4 if hit else 0, "right" if hit else "wrong"))
    judged = [word.level == 4 for word in guessed if word.told != UNCOUNTED]
    told = f"{sum(judged)} of {len(judged)} right"
    return Sample(tuple(words), str(best["attack"]), tuple(guessed), told)


def _word(text: Any, number: int, told: str) -> Word:
    if not isinstance(text, str):
        raise ValueError(f"expected a word, got {text!r}")
    glued = text.startswith(INSIDE) and len(text) > len(INSIDE)
    return Word(text.removeprefix(INSIDE) if glued else text, glued, number, told)
