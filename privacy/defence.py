"""A defence: which mechanism acts on the smashed data, and which on the client updates."""

from dataclasses import dataclass, field

from privacy.mechanism import Identity, Mechanism, one_of

MESSAGES = ("smashed", "hidden", "hidden_gradient", "smashed_gradient")
STRATEGIES = ("centralised", "fedavg", "parallel", "sequential")


@dataclass(frozen=True)
class Defence:
    """The mechanisms of one row of the comparison, by the place where they act.

    Four act on the messages of a step, their rows tokens or sequences: `smashed` on A and
    `hidden_gradient` on G_Z at the client, `hidden` on Z and `smashed_gradient` on G_A at the
    server. `update` acts at the aggregator on whole client updates: each is clipped, their sum is
    noised once.

    Raises:
        ValueError: `name` is empty, a message's mechanism has another unit than token or sequence,
            `update.unit` is not client, or a mechanism's cost names another unit than its own.
    """

    name: str
    smashed: Mechanism = field(default_factory=Identity)
    update: Mechanism = field(default_factory=lambda: Identity(unit="client"))
    hidden: Mechanism = field(default_factory=Identity)
    hidden_gradient: Mechanism = field(default_factory=Identity)
    smashed_gradient: Mechanism = field(default_factory=Identity)

    def __post_init__(self) -> None:
        """Check every field."""
        if not self.name:
            raise ValueError("expected a name, got name=''")
        for place in MESSAGES:
            one_of(f"{place}.unit", getattr(self, place).unit, ("token", "sequence"))
        one_of("update.unit", self.update.unit, ("client",))
        for mechanism in (*(getattr(self, place) for place in MESSAGES), self.update):
            cost = mechanism.cost()
            if cost is not None:
                one_of("cost().unit", cost.unit, (mechanism.unit,))


def refuse(defence: Defence, strategy: str) -> str | None:
    """Why the defence cannot be applied under the strategy; None when it can.

    A mechanism (clipping alone included) needs its message. Under `centralised` nothing is sent,
    under `fedavg` no activations are, and under `sequential` one body is updated by the clients
    in turn, so that no client has an update of the whole model to clip.

    >>> from privacy.mechanism import ClipOnly
    >>> refuse(Defence("clip", smashed=ClipOnly(1.0)), "fedavg")
    'clip acts on activations sent to the server, and fedavg sends none'

    Raises:
        ValueError: the strategy is not one of the four.
    """
    one_of("strategy", strategy, STRATEGIES)
    acting = [p for p in MESSAGES if not isinstance(getattr(defence, p), Identity)]
    if strategy in ("centralised", "fedavg") and "smashed" in acting:
        return f"{defence.name} acts on activations sent to the server, and {strategy} sends none"
    if strategy in ("centralised", "fedavg") and acting:
        return f"{defence.name} acts on messages of a split step, and {strategy} has no split"
    return refuse_update(defence, strategy)


def refuse_update(defence: Defence, strategy: str) -> str | None:
    """Why the mechanism on the updates cannot be applied under the strategy; None when it can."""
    one_of("strategy", strategy, STRATEGIES)
    if isinstance(defence.update, Identity):
        return None
    if strategy == "centralised":
        return f"{defence.name} acts on client updates, and centralised has no clients"
    if strategy == "sequential":
        return (
            f"{defence.name} acts on whole client updates, and under sequential one body is "
            "updated by the clients in turn: no client has an update of it to clip"
        )
    return None
