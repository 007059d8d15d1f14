"""Public text of a one-message training: sentences of another source than the records'."""

import re
from collections.abc import Sequence

import numpy as np

from fedbert.data.examples import from_tables
from fedbert.data.sources import tables_of
from fedbert.errors import InputError
from fedbert.tasks import TASKS

FEWEST_WORDS = 4
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
    task = TASKS["mlm"]
    tables = tables_of(task, source, seed=seed).values()
    texts = [text for split in tables for (text,) in from_tables(task, split).texts]
    found = sentences(texts)
    if len(found) < count:
        raise InputError(
            f"message: expected at least public_size={count} sentences of public text, "
            f"got {len(found)} of public={source!r}"
        )
    order = np.random.default_rng(seed).permutation(len(found))[:count]
    return tuple(found[i] for i in np.sort(order))
