"""Fault settings: how often clients are lost, late or send what they should not."""

from dataclasses import fields
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import Field

from fedbert.errors import InputError, expect
from fedbert.setting_types import CLIENTS, Fraction, Positive
from fedbert.settings import settings

Drawn = Literal[
    "absent", "leaves", "lost", "nan", "infinite", "misshaped", "foreign", "stale", "twice",
    "poisoned",
]  # fmt: skip
Kind = Literal[Drawn, "late"]
DRAWN: tuple[Drawn, ...] = get_args(Drawn)
"""Faults with a share of their own; lateness follows from the delays."""
GOES = ("absent", "leaves")
"""Faults after which a client stays away."""
SEEN_IN_ONE = ("nan", "infinite", "misshaped", "foreign", "stale", "twice")
"""Faults that are noticed by what an update holds."""
TAKEN = ("twice", "poisoned")
"""Faults after which the client's update is in the average all the same."""


@settings
class FixedFault:
    """A client that has one fault in every round.

    client: its number, from 0.
    kind: the fault, as the shares are called, or "late".
    """

    client: Annotated[int, Field(ge=0, lt=CLIENTS)]
    kind: Kind


@settings
class FaultsConfig:
    """Faults of clients, drawn for each of their turns from the seed, at most one in a turn.

    absent: share of turns in which the client is not there: it gets nothing and sends nothing.
    leaves: share in which it is gone after some whole local steps, at least one missing.
    lost: share in which its update leaves it and never arrives.
    nan: share of updates with a value that is NaN.
    infinite: share with an infinite value.
    misshaped: share with a tensor that is a row short.
    foreign: share with the tensors of another model, by other names.
    stale: share that say they are of the round before.
    twice: share that are sent twice.
    poisoned: share whose change is multiplied by `poison_factor`, in their form as they should be.
    poison_factor: of poisoned updates.
    away: rounds that a client stays away who was absent or has left, that one counted.
    mean_delay: mean seconds, simulated, after which an update comes; drawn from an exponential.
    deadline: seconds after which an update is refused as late.
    clients: clients with one fault in every round, `{ client = 3, kind = "nan" }` each; nothing
        else is drawn for them.
    """

    absent: Fraction = 0.0
    leaves: Fraction = 0.0
    lost: Fraction = 0.0
    nan: Fraction = 0.0
    infinite: Fraction = 0.0
    misshaped: Fraction = 0.0
    foreign: Fraction = 0.0
    stale: Fraction = 0.0
    twice: Fraction = 0.0
    poisoned: Fraction = 0.0
    poison_factor: float = -10.0
    away: Annotated[int, Field(ge=1)] = 1
    mean_delay: Annotated[float, Field(ge=0)] = 0.0
    deadline: Positive | None = None
    clients: tuple[FixedFault, ...] = ()

    def __post_init__(self) -> None:
        """Check what concerns more than one field."""
        total = sum(self.shares)
        expect(total <= 1, "shares that come to 1 at most", "their sum", round(total, 6))
        late = self.mean_delay > 0
        if late is not (self.deadline is not None):
            raise InputError(
                "expected mean_delay and deadline together, got "
                f"mean_delay={self.mean_delay} and deadline={self.deadline}"
            )
        fixed = any(each.kind == "late" for each in self.clients)
        expect(late or not fixed, 'a deadline beside kind = "late"', "deadline", self.deadline)
        numbers = [each.client for each in self.clients]
        for number in numbers:
            expect(numbers.count(number) == 1, "one fault for each client", "client", number)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each fault, in the order of DRAWN."""
        return tuple(getattr(self, name) for name in DRAWN)

    def check(self, strategy: str, clients: int, secure: bool = False) -> None:
        """Raise InputError for faults of clients that a training has not.

        secure: updates are summed where nobody sees one alone, and so none is looked at.
        """
        if self != NO_FAULTS and strategy == "centralised":
            raise InputError("expected a strategy with clients, got strategy='centralised'")
        for each in self.clients:
            expect(each.client < clients, f"client < clients ({clients})", "client", each.client)
        drawn = {name for name, share in zip(DRAWN, self.shares, strict=True) if share}
        seen = sorted(drawn.union(each.kind for each in self.clients) & {*SEEN_IN_ONE})
        if secure and seen:
            told = "expected faults that are noticed without a look at single updates with"
            raise InputError(f"{told} secure_aggregation, got {seen[0]!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as they stand in a file, those that are not the default."""
        unset = {each.name: each.default for each in fields(cast(Any, FaultsConfig))}
        found = {k: v for k, v in vars(self).items() if v != unset[k]}
        if self.clients:
            found["clients"] = [dict(vars(each)) for each in self.clients]
        return found


NO_FAULTS = FaultsConfig()
