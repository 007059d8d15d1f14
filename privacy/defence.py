"""Defence: which mechanism acts where, and which combinations make no sense."""

from dataclasses import dataclass, field

from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.checks import one_of
from privacy.distance_correlation import DistanceCorrelation
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.mechanism import DPSGD
from privacy.facts import SECURE_MEAN, STRATEGIES, TrainingFacts
from privacy.mechanism import Identity, Mechanism
from privacy.metric import Metric
from privacy.randomised_response import RandomisedResponse
from privacy.selection import Selection

MESSAGES = ("smashed", "hidden", "hidden_gradient", "smashed_gradient")
PLACES = (*MESSAGES, "update", "labels", "training", "penalty")
ONE_MESSAGE = "one_message"
"""The strategy under which every record is sent once, and nothing comes back."""


@dataclass(frozen=True)
class Defence:
    """The mechanisms of one row of the comparison, by the place where they act.

    Four act on the messages of a step, their rows tokens or sequences: `smashed` on A and
    `hidden_gradient` on G_Z at the client, `hidden` on Z and `smashed_gradient` on G_A at the
    server. `update` acts on whole client updates: at the aggregator (each is clipped, their sum is
    noised once), or at the client where the mechanism's `place` says so. `labels` randomises every
    class label once, before training. `training` is DP-SGD over E, T and H together. `penalty` is a
    term of the clients' loss. `one_shot`: each example is passed through E and `smashed` once, and
    that noisy A serves in every epoch. `chosen`: the released model is the best of a number of
    trainings that was drawn at random.

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
    labels: RandomisedResponse | None = None
    training: DPSGD | None = None
    penalty: DistanceCorrelation | None = None
    one_shot: bool = False
    chosen: Selection | None = None

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

    @property
    def local_update(self) -> bool:
        """Whether the mechanism on the updates acts at the client."""
        return getattr(self.update, "place", "aggregator") == "client"

    @property
    def on_gradients(self) -> bool:
        """Whether a mechanism acts on G_Z or G_A."""
        at_work = (self.hidden_gradient, self.smashed_gradient)
        return any(not isinstance(mechanism, Identity) for mechanism in at_work)

    @property
    def nearest_word(self) -> bool:
        """Whether the noisy rows of A are mapped to those of the nearest words."""
        return isinstance(self.smashed, Metric) and self.smashed.nearest_word


def refuse(defence: Defence, facts: TrainingFacts) -> str | None:
    """Why the defence cannot be applied in a training; None when it can.

    A mechanism (clipping alone included) needs its message. Under `centralised` nothing is sent,
    under `fedavg` no activations are, and under `sequential` one body is updated by the clients
    in turn, so that no client has an update of the whole model to clip.

    >>> from privacy.mechanism import ClipOnly
    >>> refuse(Defence("clip", smashed=ClipOnly(1.0)), TrainingFacts("fedavg"))
    'clip acts on activations sent to the server, and fedavg sends none'
    """
    strategy = facts.strategy
    acting = [p for p in MESSAGES if not isinstance(getattr(defence, p), Identity)]
    if strategy in ("centralised", "fedavg") and "smashed" in acting:
        return f"{defence.name} acts on activations sent to the server, and {strategy} sends none"
    if strategy in ("centralised", "fedavg") and (acting or defence.penalty is not None):
        return f"{defence.name} acts on messages of a split step, and {strategy} has no split"
    found = (
        _refuse_message(defence, facts),
        _refuse_update(defence, strategy),
        refuse_rounds(defence.update, facts),
        refuse_averaging(defence, facts),
        _refuse_smashed(defence, facts),
        _refuse_training(defence, facts),
        _refuse_labels(defence, facts),
    )
    return next((f"{defence.name} {why}" for why in found if why is not None), None)


def refuse_update(defence: Defence, strategy: str) -> str | None:
    """Why the mechanism on the updates cannot be applied under the strategy; None when it can."""
    one_of("strategy", strategy, STRATEGIES)
    why = _refuse_update(defence, strategy)
    return None if why is None else f"{defence.name} {why}"


def _refuse_update(defence: Defence, strategy: str) -> str | None:
    if isinstance(defence.update, Identity):
        return None
    if strategy == "centralised":
        return "acts on client updates, and centralised has no clients"
    if strategy == ONE_MESSAGE:
        return f"acts on client updates, and under {ONE_MESSAGE} no client trains"
    if strategy == "sequential":
        return (
            "acts on whole client updates, and under sequential one body is "
            "updated by the clients in turn: no client has an update of it to clip"
        )
    if defence.local_update and strategy != "fedavg":
        return (
            "noises updates at the client, and the server makes the update of T itself from the "
            "gradients it is sent: only under fedavg is a whole update the client's"
        )
    return None


def refuse_averaging(defence: Defence, facts: TrainingFacts) -> str | None:
    """Why a mechanism on the sum of updates cannot act where no sum is made, as a clause.

    Noise of a client's own is on what is averaged, however that is done.
    """
    on_sum = not isinstance(defence.update, Identity) and not defence.local_update
    if facts.averaging == "mean" or not on_sum or facts.strategy == ONE_MESSAGE:
        return None
    if facts.averaging == SECURE_MEAN:
        return (
            "clips each update at the aggregator, which under secure_aggregation has none by "
            "itself: expected local_dp_fedavg, or secure_aggregation = false"
        )
    return (
        "acts on the sum of clipped updates, and has the sensitivity of a mean: expected averaging "
        f'"mean", got averaging={facts.averaging!r}'
    )


def _refuse_message(defence: Defence, facts: TrainingFacts) -> str | None:
    """Why a defence cannot act where one message is all that is sent, as a clause."""
    if facts.strategy != ONE_MESSAGE:
        return None
    places = [p for p in MESSAGES if p != "smashed"]
    acting = [p for p in places if not isinstance(getattr(defence, p), Identity)]
    acting += [p for p in ("training", "penalty") if getattr(defence, p) is not None]
    if acting:
        return f"acts at {acting[0]}, and under {ONE_MESSAGE} one message is all that is sent"
    if defence.chosen is not None:
        return "is chosen among trainings, and what is made of messages sent once costs nothing"
    if defence.nearest_word:
        return f"maps rows of A to words, and under {ONE_MESSAGE} a message is no word's row"
    if defence.one_shot:
        return f"re-uses a protected A, and under {ONE_MESSAGE} each is sent once in any case"
    within = facts.message is not None and facts.message.labels == "within"
    if within and defence.labels is not None:
        return "randomises labels, which go within the message, under the message's own noise"
    return None


def _refuse_smashed(defence: Defence, facts: TrainingFacts) -> str | None:
    """Why A cannot be protected in this way, as a clause."""
    if defence.one_shot and isinstance(defence.smashed, Identity):
        return "re-uses a protected A, and nothing protects A"
    if defence.one_shot and not facts.embeddings_frozen:
        return "re-uses one A per example, and trained embeddings make another A each time"
    if defence.one_shot and facts.kind == "mlm":
        return "re-uses one A per example, and masked-LM masks other words each time"
    if defence.nearest_word and defence.one_shot:
        return "maps to the nearest words afresh each time; one-shot release keeps the first A"
    if defence.nearest_word and facts.cut_layer > 0:
        return "maps rows of A to words, and behind encoder layers a row is no word's"
    if defence.penalty is not None and facts.embeddings_frozen:
        return "penalises what E sends, and frozen embeddings cannot answer to a penalty"
    return None


def _refuse_training(defence: Defence, facts: TrainingFacts) -> str | None:
    """Why DP-SGD cannot run beside the rest, as a clause."""
    if defence.training is None:
        return None
    if defence.penalty is not None:
        return "penalises a whole batch, and DP-SGD needs one loss per example"
    if not isinstance(defence.update, Identity):
        return "claims the release view twice, by DP-SGD and by the updates: take one of them"
    return None


def _refuse_labels(defence: Defence, facts: TrainingFacts) -> str | None:
    """Why labels cannot be randomised, as a clause."""
    if defence.labels is None or facts.kind == "classification":
        return None
    what = {"mlm": "its labels are the masked words", "regression": "its labels are scores"}
    return f"randomises classes, and {what[facts.kind]}"


def over_rounds(mechanism: Mechanism) -> DPFTRL | None:
    """The mechanism if its noise is correlated over rounds, else None."""
    return mechanism if isinstance(mechanism, DPFTRL) else None


def refuse_rounds(mechanism: Mechanism, facts: TrainingFacts) -> str | None:
    """Why noise that is correlated over rounds cannot cover those of a training, as a clause."""
    correlated = over_rounds(mechanism)
    if correlated is None:
        return None
    if facts.participations is None:
        return "counts how often a client takes part, and nobody told"
    apart, bands = facts.separation, correlated.bands
    if apart is not None and apart < bands:
        every = "after one round" if apart == 1 else f"after {apart} rounds"
        return (
            f"has bands={bands}, and a client may take part again {every}: at most so many bands, "
            'or fewer clients_per_round with participation = "cyclic"'
        )
    if not facts.restarts and facts.rounds > correlated.rounds:
        return f"has noise for {correlated.rounds} rounds, and there are {facts.rounds}"
    return None


def adaptive_clip(mechanism: Mechanism) -> AdaptiveDPFedAvg | None:
    """The mechanism if its clip moves from round to round, else None."""
    return mechanism if isinstance(mechanism, AdaptiveDPFedAvg) else None
