"""Secret noise against torch's own: a value drawn, a value added, and the key stream alone.

The baseline of every line is torch's float32 `normal_` of as many values from its Mersenne Twister;
where noise is added, the baseline adds it.
"""

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.inputs import SEED
from benchmarks.measure import Row, interleave, row_of
from fedbert.seeding import generator
from privacy.randomness.key_stream import KeyStream
from privacy.randomness.keys import secret_key
from privacy.randomness.release import add_gaussian, add_laplace
from privacy.randomness.source import NoiseSource

VALUES = 2**22
TARGET = 3.5


def drawn(repeats: int) -> list[Row]:
    """Return the lines of noise of `VALUES` values, one thread, secret key."""
    draws, stream = NoiseSource.secret().draws("benchmark"), KeyStream(secret_key())
    rng = generator(SEED, "noise")
    single, double = torch.empty(VALUES), np.empty(VALUES)
    records = torch.randn(VALUES, generator=rng)
    words = double.view(np.uint64)

    def normal() -> None:
        single.normal_(0.0, 1.0, generator=rng)

    def normal_added() -> torch.Tensor:
        return records + torch.randn(VALUES, generator=rng)

    cases: list[tuple[str, Callable[[], object], Callable[[], object], float | None]] = [
        ("key stream, 64 bits a value", normal, lambda: stream.fill(words), None),
        ("Gaussian, float64", normal, lambda: draws.gaussian_into(double, 1.0), TARGET),
        ("Laplace, float64", normal, lambda: draws.laplace_into(double, 1.0), TARGET),
        ("Gaussian, added", normal_added, lambda: add_gaussian(records, 1.0, draws), None),
        ("Laplace, added", normal_added, lambda: add_laplace(records, 1.0, draws), None),
    ]
    rows = []
    for name, baseline, ours, target in cases:
        added = baseline is normal_added
        pairs = interleave(baseline, ours, 3 * repeats)
        value = 1e9 * min(after for _, after in pairs) / VALUES
        rows.append(
            row_of(
                f"secret noise: {name}",
                "randn and sum, float32" if added else "normal_, float32",
                pairs,
                target,
                f"{VALUES} values; at best {value:.1f} ns each",
            )
        )
    return rows
