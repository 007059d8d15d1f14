"""Words that a test chooses, in place of a key stream."""

import numpy as np
from numpy.typing import NDArray

TOP = 2**64 - 1


class Scripted:
    """Gives these words in this order, then nothing; `asked` says how many were taken."""

    def __init__(self, *words: int) -> None:
        self.words, self.asked = list(words), 0

    def fill(self, out: NDArray[np.uint64]) -> None:
        taken = self.words[self.asked : self.asked + out.size]
        if len(taken) < out.size:
            raise IndexError(f"expected {out.size} more words, got {len(taken)}")
        self.asked += out.size
        out[...] = np.array(taken, dtype=np.uint64)
