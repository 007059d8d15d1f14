"""Worlds for attacks at any cut: structured text, a small E, a mechanism that can be simulated."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Knowledge
from fedbert.data.batches import Batch
from fedbert.messages import SmashedData, to_array
from fedbert.split import SplitBert, cut
from tests.attacks import worlds
from tests.attacks.inversion.test_language_prior import batch_of, source

VOCAB, LENGTH = 60, 8


@dataclass(frozen=True)
class World:
    """What the server heard of some sentences, what it knows, and the truth."""

    split: SplitBert
    batch: Batch
    message: SmashedData
    knowledge: Knowledge

    @property
    def true(self) -> np.ndarray:
        return self.batch.input_ids.numpy()

    @property
    def counted(self) -> np.ndarray:
        """The words [batch, seq]: no padding, no [CLS] or [SEP]."""
        return (self.batch.attention_mask.numpy() == 1) & (self.true >= worlds.FIRST_WORD)


def world(
    cut_layer: int,
    noise_std: float = 0.0,
    sentences: int = 80,
    texts: int = 300,
    architecture: str = "bert",
    known_words: int = VOCAB,
    **settings: Any,
) -> World:
    """Return a world of a bigram language under Gaussian noise per token.

    known_words: the auxiliary text holds no word from this one on.
    """
    sizes = {"vocab_size": VOCAB, "num_hidden_layers": 2, "initializer_range": 0.15}
    split = cut(worlds.model(architecture, **(sizes | settings)).whole, cut_layer)
    pad = int(split.whole.config.pad_token_id)
    batch = batch_of(source(VOCAB, sentences, LENGTH, np.random.default_rng(5)))
    assert (batch.attention_mask == 1).all() and pad not in batch.input_ids

    def protect(a: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        return a + noise_std * torch.randn(a.shape, generator=generator)

    text = source(VOCAB, texts, LENGTH, np.random.default_rng(3))
    text = [np.where(row < known_words, row, worlds.FIRST_WORD) for row in text]
    knowledge = Knowledge(
        embedding=None if cut_layer else split.embedding_tables(),
        bottom=split.bottom,
        protect=protect,
        noise_std=noise_std,
        auxiliary=tuple(text),
    )
    with torch.no_grad():
        a = protect(split.bottom(batch), batch, torch.Generator().manual_seed(7))
    message = SmashedData(0, 0, 0, to_array(a), to_array(batch.attention_mask))
    return World(split, batch, message, knowledge)
