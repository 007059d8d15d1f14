"""Facts of one training: what its mechanisms are calibrated for, and its guarantees follow from."""

from dataclasses import dataclass

from privacy.accountants import ACCOUNTANTS, Accountant
from privacy.checks import one_of, open_unit, whole

STEPWISE = ("centralised", "fedavg", "parallel", "sequential")
"""The strategies that train in steps."""
STRATEGIES = (*STEPWISE, "one_message")
KINDS = ("classification", "regression", "mlm")
SECURE_MEAN = "secure_mean"
AVERAGES = ("mean", "median", "trimmed_mean", "norm_bound", "krum", SECURE_MEAN)
"""What may be made of a round's updates; SECURE_MEAN: where nobody sees one of them."""


@dataclass(frozen=True)
class MessageFacts:
    """The facts of a training by one message, on which its claim rests.

    labels: "within" the message, or "beside" it. dealt_by_label: the partition follows the labels.
    seen: what the encoder is known to have been trained on of the records; "" for nothing known.
    mixed: more than `privacy.message_claims.MIXED` of the public texts stand among the records.

    Raises:
        ValueError: labels anywhere else.
    """

    labels: str = "within"
    dealt_by_label: bool = False
    seen: str = ""
    mixed: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        one_of("labels", self.labels, ("within", "beside"))


@dataclass(frozen=True)
class TrainingFacts:
    """The facts of one training.

    `releases` is the most times that any one record's A was sent; `rounds` counts the
    aggregations. `embeddings_frozen` means that no parameter of E was trained, its encoder
    layers at a deeper cut included. `optimizer_state_shared` means that it went from one client
    to others, averaged or not. `delta` is that of every guarantee; None where none is asked for.
    `cut_layer` is the number of encoder layers in E.

    `steps` are the steps of DP-SGD that could include any one record, the most over clients.
    `sample_rate` is the largest probability, over clients, with which a record was drawn,
    independently of the others and afresh at each step; None where batches were not drawn so.
    `accountant` is the one asked for DP-SGD. `records` is the smallest number of records that a
    client holds, `width` the values in a row of A, `length` the most tokens of a record, `labels`
    how many classes there are; None where nobody counted. `kind` is the task's. `restarts` counts
    how often the training began again under fresh noise: what is drawn once was then drawn again.
    `person_rows` is the most records of one person; None where nobody told whose they are.
    `records_per_user` is the most that one user has, as somebody states; None where nobody does.
    `participations` is the most rounds that one client took part in, those that a restart did
    again included; None where nobody counted. `separation` is the fewest rounds from one of them
    to the client's next, by a schedule that is public and fixed beforehand; None where nobody takes
    part twice.
    `message` is what a training by one message adds. `averaging` is what is made of a round's
    updates.

    Raises:
        ValueError: an unknown strategy, accountant, kind or average, a count below zero, records,
            width, length, person_rows, records_per_user or separation below 1, delta not strictly
            between 0 and 1, a sample rate outside (0, 1], or releases under a strategy that sends
            no activations.
    """

    strategy: str
    releases: int = 0
    rounds: int = 0
    embeddings_frozen: bool = False
    optimizer_state_shared: bool = False
    delta: float | None = None
    cut_layer: int = 0
    steps: int = 0
    sample_rate: float | None = None
    accountant: Accountant = "pld"
    records: int | None = None
    width: int | None = None
    length: int | None = None
    labels: int | None = None
    kind: str = "classification"
    restarts: int = 0
    person_rows: int | None = None
    records_per_user: int | None = None
    message: MessageFacts | None = None
    participations: int | None = None
    separation: int | None = None
    averaging: str = "mean"

    def __post_init__(self) -> None:
        """Check every field."""
        one_of("strategy", self.strategy, STRATEGIES)
        one_of("accountant", self.accountant, ACCOUNTANTS)
        one_of("kind", self.kind, KINDS)
        one_of("averaging", self.averaging, AVERAGES)
        for name in ("releases", "rounds", "cut_layer", "steps", "restarts"):
            whole(name, getattr(self, name))
        if self.delta is not None:
            open_unit("delta", self.delta)
        if self.sample_rate is not None and not 0 < self.sample_rate <= 1:
            raise ValueError(f"expected 0 < sample_rate <= 1, got sample_rate={self.sample_rate}")
        counts = ("records", "width", "length", "labels", "person_rows", "separation")
        for name in (*counts, "records_per_user"):
            _counted(name, getattr(self, name), 0 if name == "labels" else 1)
        _counted("participations", self.participations, 0)
        if self.strategy in ("centralised", "fedavg") and self.releases > 0:
            raise ValueError(
                f"expected releases=0 under {self.strategy}, got releases={self.releases}"
            )

    @property
    def asked_delta(self) -> float:
        """Return the delta that guarantees are asked for.

        Raises:
            ValueError: none is.
        """
        if self.delta is None:
            raise ValueError("expected 0 < delta < 1, got delta=None")
        return self.delta


def _counted(name: str, value: int | None, least: int) -> None:
    if value is not None:
        whole(name, value)
        if value < least:
            raise ValueError(f"expected {name} >= {least}, got {name}={value}")
