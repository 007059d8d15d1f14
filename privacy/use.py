"""Facts of a training: how a defence was used, from which guarantees follow."""

from dataclasses import dataclass

from privacy.accountants import ACCOUNTANTS, Accountant
from privacy.checks import one_of, open_unit, whole
from privacy.defence import STRATEGIES


@dataclass(frozen=True)
class Use:
    """The facts of one training that its guarantees follow from.

    `forward_releases` is the most times that any one record's A was sent; `rounds` counts the
    aggregations. `embeddings_frozen` means that no parameter of E was trained, its encoder
    layers at a deeper cut included. `optimizer_state_shared` means that it went from one client
    to others, averaged or not. `cut_layer` is the number of encoder layers in E.

    `steps` are the steps of DP-SGD that could include any one record, the most over clients.
    `sample_rate` is the largest probability, over clients, with which a record was drawn,
    independently of the others and afresh at each step; None where batches were not drawn so.
    `accountant` is the one asked for DP-SGD. `records` is the smallest number of records that a
    client holds; None where nobody counted. `restarts` counts how often the training began
    again under fresh noise: what is drawn once was then drawn once more.

    Raises:
        ValueError: an unknown strategy or accountant, a count below zero, records below 1, delta
            not strictly between 0 and 1, a sample rate outside (0, 1], or forward releases under
            a strategy that sends no activations.
    """

    strategy: str
    forward_releases: int
    rounds: int
    embeddings_frozen: bool
    optimizer_state_shared: bool
    delta: float
    cut_layer: int
    steps: int = 0
    sample_rate: float | None = None
    accountant: Accountant = "pld"
    records: int | None = None
    restarts: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        one_of("strategy", self.strategy, STRATEGIES)
        one_of("accountant", self.accountant, ACCOUNTANTS)
        for name in ("forward_releases", "rounds", "cut_layer", "steps", "restarts"):
            whole(name, getattr(self, name))
        open_unit("delta", self.delta)
        if self.sample_rate is not None and not 0 < self.sample_rate <= 1:
            raise ValueError(f"expected 0 < sample_rate <= 1, got sample_rate={self.sample_rate}")
        if self.records is not None:
            whole("records", self.records)
            if self.records == 0:
                raise ValueError("expected records >= 1, got records=0")
        if self.strategy in ("centralised", "fedavg") and self.forward_releases > 0:
            raise ValueError(
                f"expected forward_releases=0 under {self.strategy}, "
                f"got forward_releases={self.forward_releases}"
            )
