"""Sources of noise: a key, and a stream of draws for every label, given out once."""

import os
from collections.abc import Mapping
from typing import Any, NoReturn

from privacy.randomness.draws import Draws
from privacy.randomness.key_stream import KeyStream, check_process
from privacy.randomness.keys import (
    DECISION,
    PUBLIC,
    PUBLIC_KEY,
    Label,
    NoiseMode,
    check_key,
    repeatable_key,
    secret_key,
    stream_key,
)


def public(*labels: Label) -> Draws:
    """Return the draws of a label that anybody can make again: of a key that everybody knows.

    For what is chosen by chance and told to all, on whose secrecy no guarantee rests: the basis of
    a covariance, the schedule of who takes part when. Never for noise.

    >>> (public("who", 7).permutation(5) == public("who", 7).permutation(5)).all()
    np.True_
    """
    return Draws(KeyStream(stream_key(PUBLIC_KEY, labels, PUBLIC)))


class NoiseSource:
    """A key and a label path; `draws(...)` gives each label below it its own stream, once.

    A stream is addressed by its full label (party, kind, round, call number) and by nothing else:
    the order in which streams are asked for, and what was drawn from others, does not matter. A
    label that was given out is refused the second time, over all sources of one key in the
    process, because two messages with one noise give away their difference: a retry counts its
    call number on.

    It cannot be copied, pickled or used in a forked process, and does not show its key.
    """

    __slots__ = ("_given", "_key", "_labels", "_mode", "_process")

    def __init__(self, key: bytes, mode: NoiseMode) -> None:
        """Hold a key of at least 128 bits; prefer `secret` and `repeatable`."""
        check_key(key)
        self._mode: NoiseMode = mode
        self._key = key
        self._labels: tuple[Label, ...] = ()
        self._given: dict[bytes, object] = {}
        self._process = os.getpid()

    @classmethod
    def secret(cls) -> "NoiseSource":
        """Return a source whose key comes from the operating system and is kept nowhere."""
        return cls(secret_key(), "secret")

    @classmethod
    def repeatable(cls, seed: int, facts: Mapping[str, Any]) -> "NoiseSource":
        """Return the source of one run: the same for the same seed and facts (`repeatable_key`)."""
        return cls(repeatable_key(seed, facts), "repeatable")

    @property
    def mode(self) -> NoiseMode:
        """Whether the key is secret or can be made again."""
        return self._mode

    def under(self, *labels: Label) -> "NoiseSource":
        """Return the source of one part of the run, whose labels continue this one's.

        >>> run = NoiseSource(bytes(16), "repeatable")
        >>> run.under("client", 3).draws("update", 0).integers(1000, (2,))
        array([398, 814])
        """
        part = NoiseSource(self._key, self._mode)
        part._labels, part._given, part._process = self._labels + labels, self._given, self._process
        return part

    def draws(self, *labels: Label) -> Draws:
        """Return the draws of one label, from their beginning.

        Raises:
            ValueError: the label was given out before, is empty, or holds something else than
                strings and integers.
            RuntimeError: in another process than the source's own.
        """
        check_process(self._process)
        path = self._labels + labels
        key, ours = stream_key(self._key, path), object()
        # Never taken twice, from two threads neither: setdefault is one step.
        if self._given.setdefault(stream_key(key, path), ours) is not ours:
            raise ValueError(f"expected a label that is new, got label={path} again")
        return Draws(KeyStream(key))

    def decided(self, *labels: Label) -> Draws:
        """Return the draws of a decision, the same each time: coins that several parts ask for.

        Who draws a batch, and who judges afterwards, must see the same one. These streams are none
        of those of `draws`, whatever the label: what is drawn here must never be added to anything.

        Raises:
            ValueError, RuntimeError: as `draws`, but for a label that was given out before.
        """
        check_process(self._process)
        return Draws(KeyStream(stream_key(self._key, self._labels + labels, DECISION)))

    def __repr__(self) -> str:
        """Mode and label, without the key."""
        return f"NoiseSource(mode={self.mode!r}, labels={self._labels!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled."""
        raise TypeError("expected a source of noise to stay where it is: it holds a key")
