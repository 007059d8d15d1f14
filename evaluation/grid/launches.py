"""Launches of one training: where each began, and what a resumed one has released again at most.

Secret noise is gone with its process. A training that goes on after a checkpoint draws afresh, so
that whatever it does again is another release of the same records; a round that was begun but not
saved may have been sent in full.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedbert.errors import InputError


@dataclass(frozen=True)
class Launch:
    """One process of a training: from which round, a save every so many, the last round saved."""

    start: int
    every: int
    saved: int

    def end(self, rounds: int) -> int:
        """Return the last round that it may have begun, of so many in all."""
        return min(rounds, self.saved + self.every)


@dataclass(frozen=True)
class Launches:
    """All launches of one training, the running one last."""

    each: tuple[Launch, ...] = ()

    def began(self, start: int, every: int) -> "Launches":
        """Return these and one more, which starts after a round."""
        return Launches((*self.each, Launch(start, every, start)))

    def saved(self, round_: int) -> "Launches":
        """Return the same, the last of which has saved a round."""
        return Launches((*self.each[:-1], replace(self.each[-1], saved=round_)))

    def ended(self, round_: int) -> "Launches":
        """Return the same, the last of which saved a round and sends nothing more."""
        return Launches((*self.each[:-1], replace(self.each[-1], saved=round_, every=0)))

    @property
    def restarts(self) -> int:
        """Return how many launches came after the first."""
        return max(0, len(self.each) - 1)

    def redone(self, rounds: int) -> int:
        """Return how many rounds, of so many in all, were done once more than counted, at most.

        >>> Launches().began(0, 2).saved(4).began(4, 2).redone(10)
        2
        """
        if not self.each:
            return 0
        before = sum(each.end(rounds) - each.start for each in self.each[:-1])
        return max(0, before - self.each[-1].start)

    def spans(self, rounds: int, done: int) -> list[range]:
        """Return the rounds of each launch, of so many in all of which so many are done.

        Of an earlier launch those that it may have begun; without launches, one of all.

        >>> Launches().began(0, 2).saved(4).began(4, 2).spans(10, 8)
        [range(0, 6), range(4, 8)]
        """
        if not self.each:
            return [range(done)]
        earlier = [range(each.start, each.end(rounds)) for each in self.each[:-1]]
        return [*earlier, range(self.each[-1].start, done)]

    def to_json(self) -> list[list[int]]:
        """Return [start, every, saved] of each launch."""
        return [[each.start, each.every, each.saved] for each in self.each]

    @classmethod
    def from_json(cls, values: Sequence[Sequence[Any]], where: str) -> "Launches":
        """Return the launches that `to_json` wrote.

        Raises:
            InputError: for anything else.
        """
        try:
            each = tuple(Launch(*row) for row in values)
            numbers = [n for one in each for n in (one.start, one.every, one.saved)]
            if not all(type(n) is int and n >= 0 for n in numbers):
                raise ValueError("numbers that are no counts")
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: expected launches [start, every, saved], {error}") from None
        return cls(each)
