"""Nearest token against the bare matrix product that it cannot do without."""

import numpy as np
import torch

from attacks.attack import Knowledge
from attacks.inversion.nearest_token import NearestToken
from benchmarks.inputs import SEED, SHAPES, VOCABULARY
from benchmarks.measure import Row, interleave, row_of
from fedbert.messages import SmashedData
from fedbert.seeding import generator
from fedbert.split import EmbeddingTables

TOKENS = 4096  # 64 sequences of 64: what a cell's messages hold
LENGTH = 64
TARGET = 1 / 0.7  # at least 70 % of the product's rate


def nearest(repeats: int) -> list[Row]:
    """Return the time of the look-up over that of received rows [token, hidden] x word table.

    The attack answers the same tokens with both token types, all positions, LayerNorm, and the
    noise; the product alone is its lower bound. A ratio of 1.43 is 70 % of the product's rate.
    """
    hidden = SHAPES["MiniLM"][1]
    draws = generator(SEED, "nearest token")
    normal = torch.randn(VOCABULARY.size + 512 + 2, hidden, generator=draws) * 0.02
    tables = EmbeddingTables(
        word=normal[: VOCABULARY.size],
        position=normal[VOCABULARY.size : -2],
        token_type=normal[-2:],
        norm_weight=torch.ones(hidden),
        norm_bias=torch.zeros(hidden),
        norm_eps=1e-12,
        position_offset=0,
    )
    rows = torch.randn(TOKENS, hidden, generator=draws)
    mask = np.ones((TOKENS // LENGTH, LENGTH), dtype=np.int64)
    message = SmashedData(0, 0, 0, rows.view(-1, LENGTH, hidden).numpy(), mask)
    attack = NearestToken()
    found = []
    for name, knowledge in (
        ("nearest token", Knowledge(embedding=tables, noise_std=1.0)),
        ("... clipped", Knowledge(embedding=tables, noise_std=1.0, clip_norm=8.0)),
    ):
        pairs = interleave(
            lambda: rows @ tables.word.T,
            lambda knowledge=knowledge: attack.reconstruct([message], knowledge, draws),
            repeats,
        )
        note = f"{TOKENS} tokens x {VOCABULARY.size} words, hidden {hidden}"
        rates = [100 * bare / ours for bare, ours in pairs]
        note += f"; {np.median(rates):.0f} % of the product's rate"
        found.append(row_of(name, "matrix product", pairs, TARGET, note))
    return found
