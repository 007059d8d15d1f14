"""Random generators derived from a seed and labels, so that no two uses share a stream."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from privacy.randomness.source import NoiseSource

HEADER, WORDS = 24, 624  # bytes before the words of the Mersenne Twister in torch's CPU state


def derive(seed: int, *labels: str | int) -> int:
    """Return a 63-bit number for one use, from the run's seed and the use's labels.

    >>> [derive(0, "noise", 1) == derive(0, *labels) for labels in (("noise", 1), ("data", 1))]
    [True, False]
    """
    return int.from_bytes(_digest(seed, labels, 8), "big") >> 1


def _digest(seed: int, labels: tuple[str | int, ...], size: int) -> bytes:
    return hashlib.shake_256(json.dumps([seed, *labels]).encode()).digest(size)


def coins(seed: int, noise: NoiseSource | None) -> int:
    """Return the seed of a party's dropout and masking; noise: the party's own under DP-SGD.

    Masks follow the place in the batch. Under DP-SGD a record that is left out moves the others to
    other places, and so to other masks: whoever knew all masks would see them all move, by more
    than one clip. Whoever knows none sees independent coins either way. So they come from the
    noise's source, as secret as the noise is.
    """
    if noise is None:
        return seed
    return int.from_bytes(noise.decided("coins").integers(2**63, (3,)).tobytes(), "little")


def generator(seed: int, *labels: str | int) -> torch.Generator:
    """Return a CPU generator for one use.

    Its whole state is filled from the labels: torch's own seeding of the CPU generator keeps 32
    bits, few enough that two uses would meet by chance, or that noise could be searched for.
    """
    made = torch.Generator()
    state = made.get_state().numpy()
    words = np.frombuffer(_digest(seed, labels, 4 * WORDS), dtype=np.uint32)
    state[HEADER : HEADER + 8 * WORDS] = words.astype(np.uint64).view(np.uint8)
    return made.set_state(torch.from_numpy(state))


def numpy_rng(seed: int, *labels: str | int) -> np.random.Generator:
    """Return a numpy generator for one use."""
    return np.random.default_rng(derive(seed, *labels))


@contextmanager
def scoped(seed: int, *labels: str | int, device: str = "cpu") -> Iterator[None]:
    """Run the block under its own state of torch's default generators, then restore theirs.

    Dropout inside torch's kernels draws from the default generator and takes no other; every party
    call therefore runs in such a scope, keyed by seed, party and call number.
    """
    cuda = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.set_state(generator(seed, *labels).get_state())
        if cuda:
            torch.cuda.manual_seed(derive(seed, *labels))
        yield


def data_seed(seed: int) -> int:
    """Return the seed by which a run of this seed splits its data, and chooses of it."""
    return derive(seed, "pool")
