"""Facts of a training by one message: its layout, its public text, and what its claim rests on."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from fedbert.config import Config
from fedbert.data.batches import Encoded, encode
from fedbert.data.examples import Examples
from fedbert.known_facts import known_of
from fedbert.one_message.codes import codes_of
from fedbert.one_message.layout import Layout
from fedbert.one_message.projection import Projection, fit_projection
from fedbert.one_message.public_text import public_sentences
from fedbert.one_message.vectors import Vectors, keys_of
from fedbert.prepare import Prepared, typed
from privacy.facts import MessageFacts
from privacy.message_claims import MIXED

CHOICE = 0
"""The seed of the choice among public sentences: the same for all runs."""


def layout_of(config: Config) -> Layout:
    """Return where values stand in a message."""
    codes = codes_of(config.data.chosen_task)
    return Layout(config.message.directions, codes.values, config.message.labels)


def message_facts(config: Config, prepared: Prepared) -> MessageFacts:
    """Return what the claim of a training by one message rests on."""
    public = public_text(config, prepared)
    told, held = set(keys_of(public)), set(keys_of(prepared.pool))
    return replace(known_of(config), mixed=len(told & held) > MIXED * len(told))


def public_text(config: Config, prepared: Prepared) -> Encoded:
    """Return the public sentences as the model reads them; of a task of pairs, neighbours."""
    message = config.message
    if message.public is None:
        raise ValueError("expected public text, got public=None")
    pairs = len(prepared.task.columns) == 2
    texts = _sentences(message.public, message.public_size * (1 + pairs))
    rows = tuple(zip(*[iter(texts)] * (1 + pairs), strict=False))
    labels = np.zeros(len(rows), dtype=prepared.pool.labels.dtype)
    examples = Examples(prepared.task, rows, labels, f"public text {message.public}")
    encoded = encode(examples, prepared.tokenizer, config.data.max_length)
    return typed(encoded, prepared.split.whole.config)


@lru_cache(maxsize=4)
def _sentences(source: str, count: int) -> tuple[str, ...]:
    return public_sentences(source, count, CHOICE)


def projection_of(config: Config, public: Encoded, vectors: Vectors) -> Projection:
    """Return the projection that the public text says."""
    message = config.message
    return fit_projection(vectors.of(public), message.directions, message.clip_quantile)
