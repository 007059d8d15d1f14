"""AES key streams: the random words that every draw is made of, each given out once."""

import os
from typing import NoReturn, Protocol

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

WORD_BYTES, BLOCK_BYTES = 8, 16
# With so many blocks a stream is told from random words with an advantage of at most 2**-65: AES
# is a permutation, and never repeats a block (n * (n - 1) / 2**129 for n blocks).
MOST_BLOCKS = 2**32
CHUNK = 2**15  # words made at a time: with what is computed from them they stay in the cache
_ZEROS = bytes(CHUNK * WORD_BYTES)


class Words(Protocol):
    """A source of random 64-bit words."""

    def fill(self, out: NDArray[np.uint64]) -> None:
        """Overwrite a contiguous array with the next words."""
        ...


class KeyStream:
    """The words of AES in counter mode (NIST SP 800-38A) under one key, from counter 0 on.

    It only goes forwards. It cannot be copied or pickled, and refuses to go on in a process that
    was forked from its own: the same words would be given out twice.
    """

    __slots__ = ("_encryptor", "_left", "_process")

    def __init__(self, key: bytes, counter: int = 0) -> None:
        """Start at a counter. key: 16, 24 or 32 bytes, used for this stream alone."""
        start = counter.to_bytes(BLOCK_BYTES, "big")
        self._encryptor = Cipher(algorithms.AES(key), modes.CTR(start)).encryptor()
        self._left = MOST_BLOCKS * BLOCK_BYTES
        self._process = os.getpid()

    def fill(self, out: NDArray[np.uint64]) -> None:
        """Overwrite a contiguous array of any shape with the next words.

        Raises:
            RuntimeError: in another process than the stream's own, or beyond 64 GiB.
            TypeError: the array is not contiguous.
        """
        check_process(self._process)
        if out.nbytes > self._left:
            raise RuntimeError(f"expected at most {MOST_BLOCKS} blocks of one stream, got more")
        self._left -= out.nbytes
        room = out.data.cast("B") if out.size else memoryview(b"")
        for start in range(0, room.nbytes, len(_ZEROS)):
            part = room[start : start + len(_ZEROS)]
            self._encryptor.update_into(_ZEROS[: part.nbytes], part)

    def __repr__(self) -> str:
        """The name of the class alone."""
        return "KeyStream(...)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled."""
        raise TypeError("expected a stream to stay where it is: a copy would repeat its words")


def check_process(own: int) -> None:
    """Raises RuntimeError in a process other than the one that is named."""
    if os.getpid() != own:
        raise RuntimeError(
            "expected noise to be drawn in the process that made its source, got a forked process;"
            " make a source of its own there"
        )
