"""Noise that an adversary draws by itself, to see what a mechanism would send: no record's own."""

import torch

from privacy.randomness.keys import KEY_BYTES
from privacy.randomness.source import NoiseSource


def source_from(generator: torch.Generator) -> NoiseSource:
    """Return repeatable noise keyed by what the generator gives next; it moves on."""
    key = torch.randint(0, 256, (KEY_BYTES,), generator=generator, dtype=torch.uint8)
    return NoiseSource(bytes(key.tolist()), "repeatable")
