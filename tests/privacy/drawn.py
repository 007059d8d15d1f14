"""Draws for tests: noise of the room that is the same for the same number."""

from privacy.randomness.draws import Draws
from privacy.randomness.key_stream import KeyStream


def draws(seed: int = 0) -> Draws:
    return Draws(KeyStream(seed.to_bytes(32, "big")))
