"""Random generators derived from a seed and labels, so that no two uses share a stream."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, *labels: str | int) -> int:
    """Return a 63-bit seed for one use, from the run's seed and the use's labels.

    >>> [derive(0, "noise", 1) == derive(0, *labels) for labels in (("noise", 1), ("data", 1))]
    [True, False]
    """
    text = json.dumps([seed, *labels]).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def generator(seed: int, *labels: str | int) -> torch.Generator:
    """Return a CPU generator for one use."""
    return torch.Generator().manual_seed(derive(seed, *labels))


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
        value = derive(seed, *labels)
        torch.default_generator.manual_seed(value)
        if cuda:
            torch.cuda.manual_seed(value)
        yield
