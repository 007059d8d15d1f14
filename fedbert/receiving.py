"""Receiving of updates: what comes is taken once, or refused with a reason; and a round's quorum.

It looks at messages alone and knows nothing of what went wrong with them: a real fleet has the same
faults as a simulated one.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedbert.errors import InputError

MISSING, LATE, REPEATED, FOREIGN, STALE, NAMES, SHAPE, TYPE, VALUES, WEIGHT, FAILED = (
    "did not come", "late", "sent again", "of another client", "of another round",
    "other tensors", "another shape", "another type", "NaN, infinite or huge", "another weight",
    "could not be made",
)  # fmt: skip
"""Reasons, as records name them. What did not come was not refused."""
DIVERGED = "diverged, noise alone was sent"
"""Reason under local noise: the client's own mechanism had no numbers, and noised the start."""


LOWER = "; a training goes on without what is missing at a lower [training] quorum"


class RefusedError(InputError):
    """A message is not as the protocol has it; why: one of the reasons above."""

    def __init__(self, why: str, line: str) -> None:
        """Hold the reason, and the line that says where."""
        super().__init__(line)
        self.why = why


@dataclass(frozen=True)
class Refusal:
    """A message that was refused: whose, in which round (from 1 on), and why."""

    client: int
    round: int
    why: str


@dataclass
class Receipts:
    """What became of a training's updates.

    refused: messages, in their order. lacking: by round (from 0 on) the clients whose update is not
    in its average. skipped: rounds (from 0 on) of which nothing was kept.
    """

    refused: list[Refusal] = field(default_factory=list)
    lacking: dict[int, tuple[int, ...]] = field(default_factory=dict)
    missing: int = 0
    skipped: list[int] = field(default_factory=list)

    def taken(self, round_: int, who: Iterable[int]) -> tuple[int, ...]:
        """Return those of a round's clients whose update is in its average."""
        if round_ in self.skipped:
            return ()
        gone = self.lacking.get(round_, ())
        return tuple(client for client in who if client not in gone)

    def learnt(self, round_: int, who: Iterable[int]) -> tuple[int, ...]:
        """Return those of a round's clients whose records are in its average: not noise alone."""
        empty = {e.client for e in self.refused if (e.round, e.why) == (round_ + 1, DIVERGED)}
        return tuple(client for client in self.taken(round_, who) if client not in empty)

    def told(self, expected: int) -> dict[str, Any]:
        """Return what a record holds; {} of a training of whose updates nothing was amiss.

        expected: how many updates there were to be.
        """
        if self == Receipts():
            return {}
        return {
            "expected": expected,
            "missing": self.missing,
            "reasons": dict(Counter(each.why for each in self.refused)),
            "refused": [dict(vars(each)) for each in self.refused],
            "skipped": [round_ + 1 for round_ in self.skipped],
        }

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain values, to go on from."""
        return {
            "refused": [[each.client, each.round, each.why] for each in self.refused],
            "lacking": [[round_, *who] for round_, who in self.lacking.items()],
            "missing": self.missing,
            "skipped": list(self.skipped),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Receipts":
        """Return what `to_json` wrote.

        Raises:
            InputError: for anything else.
        """
        try:
            return cls(
                [Refusal(int(c), int(r), str(why)) for c, r, why in values["refused"]],
                {int(round_): tuple(map(int, who)) for round_, *who in values["lacking"]},
                int(values["missing"]),
                [int(round_) for round_ in values["skipped"]],
            )
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(f"expected receipts of updates, got {error}") from None


def needed_of(quorum: float, clients: int) -> int:
    """Return how many of a round's clients make its quorum: one at the least.

    >>> needed_of(0.25, 10), needed_of(0.01, 10)
    (3, 1)
    """
    return max(1, math.ceil(quorum * clients - 1e-9))


class Receiver:
    """The receiving side of a training: keeps the receipts, and says when a round may close.

    Guarantee: none is spent. Under a mechanism on the sum of updates (`by_answers`) the quorum
    counts who answered in time, whatever came: what is refused for its content is one client's
    contribution that becomes zero, and nothing else follows from it. Who answers is taken to be
    public, as who is asked is.
    """

    def __init__(self, quorum: float, stop: bool, by_answers: bool) -> None:
        """Begin; quorum: the share of a round's clients that has to be there; stop: if it is not,
        the training ends with an InputError.
        """
        self.quorum, self.stop, self.by_answers = quorum, stop, by_answers
        self.receipts = Receipts()
        self.round, self.who = 0, tuple[int, ...]()
        self._taken, self._unheard = set[int](), set[int]()
        self._refused: dict[int, str] = {}

    def open(self, round_: int, who: Iterable[int]) -> None:
        """Begin a round with these clients."""
        self.round, self.who = round_, tuple(who)
        self._taken, self._unheard, self._refused = set(), set(), {}

    def took(self, client: int) -> None:
        """Note that a client's update is in the average."""
        self._taken.add(client)

    def has(self, client: int) -> bool:
        """Return whether a client's update is in the average."""
        return client in self._taken

    def diverged(self, client: int) -> None:
        """Note that a client's update, which is taken, holds its noise and nothing that it learnt.

        Nothing follows from it: what was sent is as well hidden as any other.
        """
        self.receipts.refused.append(Refusal(client, self.round + 1, DIVERGED))

    def refuse(self, client: int, error: RefusedError, in_time: bool = True) -> None:
        """Note a message that was refused; in_time: the client answers, or would have.

        Raises:
            InputError: the message's own line, where every update is needed.
        """
        self.receipts.refused.append(Refusal(client, self.round + 1, error.why))
        self._refused.setdefault(client, error.why)
        if error.why == LATE or not in_time:
            self._unheard.add(client)
        counts = error.why == LATE or not self.by_answers
        if counts and self.needed == len(self.who) and self.stop and client not in self._taken:
            if error.why == VALUES:  # of all clients where a training diverges: no quorum helps
                raise error
            raise RefusedError(error.why, f"{error}{LOWER}")

    def check(self, client: int, delay: float, deadline: float | None, where: str) -> None:
        """Check that a message comes in time and for the first time; where: what names it.

        Raises:
            RefusedError: it does not.
        """
        if deadline is not None and delay > deadline:
            told = f"expected it within {deadline:g} s, got it after {delay:.4g} s"
            raise RefusedError(LATE, f"{where}: {told}")
        if client in self._taken:
            raise RefusedError(REPEATED, f"{where}: expected it once, got it again")

    @property
    def needed(self) -> int:
        """How many of the round's clients make its quorum."""
        return needed_of(self.quorum, len(self.who))

    def close(self) -> bool:
        """Return whether the round stands; else it is to be skipped.

        Raises:
            InputError: if it does not, and the training is to stop.
        """
        receipts = self.receipts
        missing = [c for c in self.who if c not in self._taken and c not in self._refused]
        receipts.missing += len(missing)
        lacking = tuple(c for c in self.who if c not in self._taken)
        if lacking:
            receipts.lacking[self.round] = lacking
        heard = len(self.who) - len({*missing, *(self._unheard - self._taken)})
        there = heard if self.by_answers else len(self._taken)
        if there >= self.needed:
            return True
        if not self.stop:
            receipts.skipped.append(self.round)
            return False
        why = Counter(self._refused[c] for c in lacking if c in self._refused)
        told = [f"{len(missing)} {MISSING}"] if missing else []
        told += [f"{count} refused ({each})" for each, count in why.items()]
        raise InputError(
            f"round {self.round + 1}: expected updates of {self.needed} of {len(self.who)} clients "
            f"(quorum = {self.quorum:g}), got {there}: {', '.join(told)}{LOWER}"
        )
