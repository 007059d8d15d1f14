"""Sample sentences that were attacked and what became of them, as plain strings for the report.

They are private data of the run: they stand in a file of their own, never in the records.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.metrics.token_classes import plain

SENTENCES, TOKENS = 4, 48  # of a cell, and of a sentence
Appearance = tuple[int, int]  # message, row


def sampled(
    true: Sequence[np.ndarray],
    counted: Sequence[np.ndarray],
    texts: Sequence[Sequence[Any]],
    guesses: Mapping[str, Sequence[np.ndarray]],
    vocabulary: Sequence[str],
    unknown: int | None = None,
) -> list[dict[str, Any]]:
    """Return the first few sentences that were sent, each with its best reconstruction.

    true, counted: token ids and what counts of them [batch, seq] of each message; texts: for each
    message what tells its rows' texts apart; guesses: by attack, token ids [batch, seq] of each
    message. Of each sentence `words` holds [word, recovered, seen] per counted token: in how many
    of the guesses that saw it (all attacks, all messages) it stood at its position; `best` names
    the attack that got most of it right, with its words. A word that continues the last one
    starts with "##". unknown: the token of words that the tokenizer does not know, which stands
    among the others with None of 0, since nobody can recover them.
    """
    if not guesses:
        return []
    appearances: dict[Any, list[Appearance]] = {}
    for message, names in enumerate(texts):
        for row, name in enumerate(names):
            if counted[message][row].any():
                appearances.setdefault(name, []).append((message, row))
    spaced = any(
        plain(token) != (token, False) and not token.startswith("##") for token in vocabulary
    )
    shown = list(appearances.values())[:SENTENCES]
    return [_sentence(true, counted, seen, guesses, vocabulary, spaced, unknown) for seen in shown]


def _sentence(
    true: Sequence[np.ndarray],
    counted: Sequence[np.ndarray],
    seen: Sequence[Appearance],
    guesses: Mapping[str, Sequence[np.ndarray]],
    vocabulary: Sequence[str],
    spaced: bool,
    unknown: int | None,
) -> dict[str, Any]:
    """Return one sentence; the first message that held it says which of its tokens are shown."""
    message, row = seen[0]
    whole = true[message][row]
    where = np.flatnonzero((counted[message][row] != 0) | (whole == unknown))[:TOKENS]
    words = whole[where]
    recovered, times = np.zeros(len(where), dtype=np.int64), np.zeros(len(where), dtype=np.int64)
    best: tuple[int, str, np.ndarray] | None = None
    for attack, guessed in guesses.items():
        for m, r in seen:
            right = (guessed[m][r][where] == words) & (counted[m][r][where] != 0)
            recovered += right
            times += counted[m][r][where] != 0
            if best is None or int(right.sum()) > best[0]:
                best = int(right.sum()), attack, guessed[m][r][where]
    tokens = [
        vocabulary[i] if i == unknown else _shown(vocabulary, i, spaced) for i in words.tolist()
    ]
    found: dict[str, Any] = {
        "words": [
            [token, int(hits) if n else None, int(n)]
            for token, hits, n in zip(tokens, recovered, times, strict=True)
        ]
    }
    if best is not None:
        guess = [_shown(vocabulary, i, spaced) for i in best[2].tolist()]
        found["best"] = {"attack": best[1], "words": guess}
    return found


def _shown(vocabulary: Sequence[str], number: int, spaced: bool) -> str:
    """Return a token without its mark, "##" before it where it continues a word.

    spaced: the vocabulary marks the starts of words instead (byte-level BPE, SentencePiece). A
    table may have more rows than the tokenizer has tokens.
    """
    if number >= len(vocabulary):
        return f"[{number}]"
    token = vocabulary[number]
    word, inside = plain(token)
    return "##" + word if inside or (spaced and word == token) else word
