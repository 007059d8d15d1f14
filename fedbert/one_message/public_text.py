"""Public text of a one-message training: sentences of another source than the records'."""

import re
from collections.abc import Sequence

import numpy as np

from fedbert.data.examples import from_tables
from fedbert.data.sources import tables_of
from fedbert.errors import InputError
from fedbert.tasks import TASKS

FEWEST_WORDS = 4
NEIGHBOUR, TWIN, STRANGER = "neighbour", "twin", "stranger"
TURNS = ((NEIGHBOUR, 0.0), (TWIN, 0.5), (TWIN, 0.2), (STRANGER, 0.0))
"""What the second text of a public pair is, by turns, and the chance with which each of its words
is left out."""
_END = re.compile(r"(?<=[.!?])\s+")


def sentences(texts: Sequence[str]) -> list[str]:
    """Return the sentences of texts, each once, in lower case where the records are.

    Headings and what has fewer than FEWEST_WORDS words are left out.

    >>> sentences(["= A heading =", "It rained all day long. Nobody came! He waited for an hour ."])
    ['It rained all day long.', 'He waited for an hour .']
    """
    found: dict[str, None] = {}
    for text in texts:
        for line in text.splitlines():
            if line.strip().startswith("="):
                continue
            for part in _END.split(line):
                if len(part.split()) >= FEWEST_WORDS:
                    found.setdefault(part.strip())
    return list(found)


def public_sentences(source: str, count: int, seed: int) -> tuple[str, ...]:
    """Return a seeded choice of so many sentences of a source of plain text.

    source: as `data.source` of masked-LM. The choice follows the seed alone, never the records.

    Raises:
        InputError: as `tables_of`, or for a source with fewer sentences.
    """
    found = _found(source, count, seed)
    order = np.random.default_rng(seed).permutation(len(found))[:count]
    return tuple(found[i] for i in np.sort(order))


def public_pairs(source: str, count: int, seed: int) -> tuple[tuple[str, str], ...]:
    """Return so many pairs of sentences, from two that say the same to two of different matters.

    By turns: neighbours in the source; a sentence and itself with each word left out with a chance
    of a half; with a fifth; a sentence and one from half the source away. What a pair of the task
    may be, from twins to strangers, lies within, so that likeness is what the pairs differ in most.
    The choice follows the seed alone, never the records.

    Raises:
        InputError: as `public_sentences`.
    """
    found = _found(source, count, seed)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(found))[:count]
    rows = []
    for number, at in enumerate(chosen):
        kind, share = TURNS[number % len(TURNS)]
        steps = {NEIGHBOUR: 1, TWIN: 0, STRANGER: len(found) // 2}[kind]
        rows.append((found[at], without(found[(at + steps) % len(found)], share, rng)))
    return tuple(rows)


def without(text: str, share: float, rng: np.random.Generator) -> str:
    """Return a text of which each word is left out with this chance, but never all of them."""
    words = text.split()
    kept = [word for word in words if rng.random() >= share]
    return " ".join(kept or words)


def lacking_words(count: int) -> np.ndarray:
    """Return in which of so many public pairs the second text is the first less some words."""
    return np.array([TURNS[number % len(TURNS)][0] == TWIN for number in range(count)])


def _found(source: str, count: int, seed: int) -> list[str]:
    """Return the sentences of a source, at least so many."""
    task = TASKS["mlm"]
    tables = tables_of(task, source, seed=seed).values()
    texts = [text for split in tables for (text,) in from_tables(task, split).texts]
    found = sentences(texts)
    if len(found) < count:
        raise InputError(
            f"message: expected at least public_size={count} sentences of public text, "
            f"got {len(found)} of public={source!r}"
        )
    return found
