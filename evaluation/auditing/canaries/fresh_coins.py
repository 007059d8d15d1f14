"""Fresh coins of canaries: each is part of a release, or not, and of the next by a new coin."""

from collections.abc import Callable

import numpy as np

from evaluation.metrics.canary_readings import Readings
from privacy.randomness.source import NoiseSource

COARSE = 0.05
"""Nothing is read where rounding moves a value by more of the noise's standard deviations."""
Tell = Callable[[Readings], None]
"""Takes what a release shows of the canaries."""


class FreshCoins:
    """So many canaries more, whose coins are flipped anew for each release.

    The coins are decisions of the training's own noise source: as secret as the noise, the same for
    the same release where the noise is repeatable, and kept nowhere.
    """

    def __init__(self, count: int, noise: NoiseSource, tell: Tell, claimed: float) -> None:
        """Hold how many; claimed: the noise multiplier of the claim; tell: of what is read."""
        self.count, self.noise, self.tell, self.claimed = count, noise, tell, claimed

    def of(self, count: int, *release: str | int) -> np.ndarray:
        """Return the coins [canary] bool of so many canaries for one release, by its label."""
        return self.noise.decided("canaries", "fresh", *release).bernoulli(0.5, (count,))
