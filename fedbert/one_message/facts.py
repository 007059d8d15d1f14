"""Facts of a training by one message: its layout, its public text, and what its claim rests on."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fedbert.config import Config
from fedbert.data.batches import Encoded, encode
from fedbert.data.examples import Examples
from fedbert.known_facts import known_of
from fedbert.one_message.codes import codes_of
from fedbert.one_message.comparison import cosines, frame_of
from fedbert.one_message.layout import Layout
from fedbert.one_message.projection import Projection, check_counts, fit_projection, leaning
from fedbert.one_message.public_text import (
    FEWEST_WORDS,
    lacking_words,
    public_pairs,
    public_sentences,
)
from fedbert.one_message.vectors import Vectors
from fedbert.prepare import Prepared, typed
from privacy.facts import MessageFacts
from privacy.message_claims import MIXED

CHOICE = 0
"""The seed of the choice among public sentences: the same for all runs."""


def layout_of(config: Config) -> Layout:
    """Return where values stand in a message."""
    codes = codes_of(config.data.chosen_task)
    return Layout(config.directions, codes.values, config.message.labels)


def message_facts(config: Config, prepared: Prepared) -> MessageFacts:
    """Return what the claim of a training by one message rests on."""
    public = public_text(config, prepared)
    width = width_of(config, prepared.split.whole.config.hidden_size)
    check_counts(config.directions, len(public), width)
    told = whole_sentences(config, public, prepared)
    same = _same_place(config) or mixed(told, prepared.pool, prepared)
    return replace(known_of(config), mixed=same)


def width_of(config: Config, hidden: int) -> int:
    """Return how many values a vector has, of which the row of a message is made."""
    return hidden * (1 + config.compares)


def whole_sentences(config: Config, public: Encoded, prepared: Prepared) -> tuple[Encoded, ...]:
    """Return the public texts that are sentences as the source has them.

    Of pairs that are compared some have a second text that lacks words: nobody's record holds it,
    and it would make the share of what is among the records look smaller.
    """
    frame = frame_of(config, prepared.tokenizer)
    if frame is None:
        return (public,)
    first, second = frame.halves(public)
    return first, second.take(np.flatnonzero(~lacking_words(len(public))))


_mixed: dict[bytes, bool] = {}  # answers: every cell of a grid asks the same


def mixed(public: Sequence[Encoded], pool: Encoded, prepared: Prepared) -> bool:
    """Return whether more than MIXED of the public sentences stand among the records'."""
    made = hashlib.sha256()
    for each in (*public, pool):
        made.update(each.tokens.tobytes() + each.offsets.tobytes())
    key = made.digest()
    if key not in _mixed:
        told = set().union(*(phrases(each, prepared) for each in public))
        held = phrases(pool, prepared)
        _mixed[key] = sum(each in held for each in told) > MIXED * len(told)
    return _mixed[key]


def _same_place(config: Config) -> bool:
    """Return whether public text and records lie in the same file or folder."""
    places = [Path(each).expanduser() for each in (config.message.public or "", config.data.source)]
    return all(each.exists() for each in places) and places[0].resolve() == places[1].resolve()


def phrases(encoded: Encoded, prepared: Prepared) -> set[bytes]:
    """Return the sentences of texts, as token ids: a text ends one where a sentence does.

    Of pairs either text has its own, whatever stands beside it.
    """
    ends = [i for i in prepared.tokenizer.convert_tokens_to_ids([".", "!", "?"]) if i is not None]
    special = [prepared.vocabulary.pad, *prepared.vocabulary.special]
    tokens = encoded.tokens
    stops = np.isin(tokens, [*ends, *special])
    text = np.repeat(np.arange(len(encoded)), encoded.lengths)
    piece = (text + np.cumsum(stops))[~stops]  # rises where a sentence or a text ends
    borders = np.flatnonzero(np.diff(piece)) + 1
    parts = np.split(tokens[~stops], borders)
    return {part.tobytes() for part in parts if len(part) >= FEWEST_WORDS}


_public: dict[tuple[str | None, int, int, int, bool], tuple[Any, Encoded]] = {}
"""Of what was asked, the tokenizer and the text."""


def public_text(config: Config, prepared: Prepared) -> Encoded:
    """Return the public sentences as the model reads them; of a task of pairs, pairs of them."""
    message, pairs = config.message, len(prepared.task.columns)
    key = message.public, message.public_size, pairs, config.data.max_length, config.compares
    known = _public.get(key)
    if known is not None and known[0] is prepared.tokenizer:
        return known[1]
    found = _public_text(config, prepared)
    _public.clear()
    _public[key] = prepared.tokenizer, found
    return found


def _public_text(config: Config, prepared: Prepared) -> Encoded:
    message = config.message
    if message.public is None:
        raise ValueError("expected public text, got public=None")
    rows: tuple[tuple[str, ...], ...]
    if config.compares:
        rows = pairs_of(message.public, message.public_size)
    else:
        columns = len(prepared.task.columns)
        texts = sentences_of(message.public, message.public_size * columns)
        rows = tuple(zip(*[iter(texts)] * columns, strict=False))
    labels = np.zeros(len(rows), dtype=prepared.pool.labels.dtype)
    examples = Examples(prepared.task, rows, labels, f"public text {message.public}")
    encoded = encode(examples, prepared.tokenizer, config.data.max_length)
    return typed(encoded, prepared.split.whole.config)


def public_sha256(config: Config, prepared: Prepared) -> str:
    """Return the hash of the public text as the model reads it: of what a source holds now."""
    public = public_text(config, prepared)
    made = hashlib.sha256()
    for array in (public.tokens, public.token_types, public.offsets):
        made.update(f"{array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return made.hexdigest()


@lru_cache(maxsize=4)
def sentences_of(source: str, count: int) -> tuple[str, ...]:
    """Return `public_sentences`, read once by a process: what it holds stays what it was."""
    return public_sentences(source, count, CHOICE)


@lru_cache(maxsize=4)
def pairs_of(source: str, count: int) -> tuple[tuple[str, str], ...]:
    """Return `public_pairs`, read once by a process."""
    return public_pairs(source, count, CHOICE)


def projection_of(config: Config, public: Encoded, vectors: Vectors) -> Projection:
    """Return the projection that the public text says."""
    message = config.message
    told = vectors.of(public)
    found = fit_projection(told, config.directions, message.clip_quantile)
    if not config.rises:
        return found
    return replace(found, likeness=leaning(found.inside(told), cosines(told)))
