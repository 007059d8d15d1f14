"""Guarantee of one view, as a value that can say itself in a sentence.

A guarantee, a metric guarantee, no guarantee, and nothing sent are four different values: none of
them is an infinite epsilon, a zero or a blank.
"""

import decimal
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from privacy.allowed import TradeOff
from privacy.checks import one_of, open_unit, positive, whole
from privacy.mechanism import RELATIONS, UNITS, VIEWS, Relation, Unit, View

ClaimUnit = Unit | Literal["user"]
"""What a claim may be about: what a mechanism's row is, or a user with several of them."""

Scope = Literal["local", "data set"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_ALWAYS = (
    "whoever knows the seed of the noise, which the record of a repeatable run names",
    "the share of clipped records and the signal-to-noise ratio that a report prints",
    "attacks on the finite precision of the noise",
    "settings that were read off the records, such as which classes there are",
)
FORWARD_EXCLUSIONS = (
    "sequence lengths and the attention mask, which stay visible",
    "the gradients G_Z sent back, which labels and masked words shape",
    "client updates of E and H and the released model, which use the raw record again",
    *_ALWAYS,
)
BACKWARD_EXCLUSIONS = (
    "sequence lengths, which stay visible",
    "the smashed data A and the attention mask, which cross beside G_Z",
    "client updates of E and H and the released model, which use the raw record again",
    *_ALWAYS,
)
CONTEXT_EXCLUSION = "what the other tokens of the sequence say about this one"
EVENTS = "which clients answer, and whose messages are refused for what is in them"
UPDATE_EXCLUSIONS = (
    EVENTS,
    "the aggregator, which sees each client's update before the noise",
    "messages to and from the server during training (A, Z, G_Z, G_A)",
    "the number of clients, which is public",
    "a person whose records lie with several clients",
    "optimiser state and training losses, which are kept to resume and may be printed",
    *_ALWAYS,
)
LOCAL_UPDATE_EXCLUSIONS = (
    EVENTS,
    "a person whose records lie with several clients",
    "optimiser state and training losses, which are kept to resume and may be printed",
    *_ALWAYS,
)


def participation_exclusion(times: int, bands: int) -> str:
    """What a claim under noise over rounds presumes of who takes part when, as a noun phrase."""
    often = "once" if times == 1 else f"{times} times"
    again = f", or again within {bands} rounds" if bands > 1 else ""
    return (
        f"a client who takes part more than {often}{again}: each time counts as one release, who "
        "takes part when is public and fixed beforehand, and no sampling is counted"
    )


SEVERAL_RECORDS = "a person with several records, or a text that was cut into several"
SEVERAL_TEXTS = "a text that stands in several records, as one may in several pairs"
DP_SGD_MESSAGES = "the norm and clip factor of each example's gradient"
DP_SGD_EXCLUSIONS = (
    f"messages to and from the server during training (A, Z, G_Z, G_A, and {DP_SGD_MESSAGES})",
    "whoever learns which records a batch drew",
    "the number of records of each client and the expected batch size, which are public",
    SEVERAL_RECORDS,
    SEVERAL_TEXTS,
    "training losses, which are kept to resume and may be printed",
    *_ALWAYS,
)
MESSAGE_EXCLUSIONS = (
    "the number of records, who holds how many and that each is sent, which are public",
    "records that the encoder, or whoever chose it and the settings, has seen before, or that "
    "stand in the public text",
    SEVERAL_RECORDS,
    SEVERAL_TEXTS,
    "what a checkpoint keeps beside the model, such as who was held out: hand on an export",
    *_ALWAYS,
)
LABEL_EXCLUSIONS = (
    "the text of the record, and what it says about its label",
    "whatever else was made from the true labels, such as a partition by label, or which classes "
    "there are",
    "whoever knows the seed of the randomisation, which the record of a repeatable run names",
)

_SCOPE_WORDS = {
    "local": "the claim is local, about the input of each message and not about the data set",
    "data set": "the claim is about the data set, for all messages of this view together",
}


@dataclass(frozen=True)
class Guarantee:
    """An (epsilon, delta) claim with everything that it needs to mean something.

    `delta` 0 is pure differential privacy. `exclusions` name what the claim does not cover, one
    noun phrase each, at least one. `tradeoff` is what the mechanism's own curve allows an attack,
    which is less than the one (epsilon, delta) does; None where nobody worked it out.
    """

    view: View
    unit: ClaimUnit
    relation: Relation
    epsilon: float
    delta: float
    releases: int
    scope: Scope
    accountant: str
    exclusions: tuple[str, ...]
    tradeoff: TradeOff | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        one_of("view", self.view, VIEWS)
        one_of("unit", self.unit, (*UNITS, "user"))
        one_of("relation", self.relation, RELATIONS)
        one_of("scope", self.scope, SCOPES)
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise ValueError(f"expected a finite epsilon >= 0, got epsilon={self.epsilon}")
        if self.delta != 0:
            open_unit("delta", self.delta)
        whole("releases", self.releases)
        _some(self.exclusions)

    def sentence(self) -> str:
        """The claim as one English sentence; epsilon is rounded up to four digits."""
        return (
            f"Against the {self.view} view, each {self.unit} is protected under the "
            f"{self.relation} relation with epsilon {rounded_up(self.epsilon)} and delta "
            f"{self.delta or 0} over {_times(self.releases)} (accountant: {self.accountant}); "
            f"{_SCOPE_WORDS[self.scope]}; not covered are {_listed(self.exclusions)}."
        )

    def to_json(self) -> dict[str, Any]:
        """The claim as a dictionary of plain values, its sentence included."""
        return {
            "view": self.view,
            "kind": "guarantee",
            "unit": self.unit,
            "relation": self.relation,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "releases": self.releases,
            "scope": self.scope,
            "accountant": self.accountant,
            "exclusions": list(self.exclusions),
            "sentence": self.sentence(),
            **({} if self.tradeoff is None else self.tradeoff.to_json()),
        }


@dataclass(frozen=True)
class MetricGuarantee:
    """A claim of metric (d_chi) privacy: how much two inputs differ goes by their distance.

    Not an (epsilon, delta), and not to be compared with one: over one release two inputs at L2
    distance d are protected with epsilon eta * d, over several with that many times as much.
    `eta` is in nats per unit of L2 distance between the rows of the message.
    """

    view: View
    unit: Unit
    eta: float
    releases: int
    exclusions: tuple[str, ...]
    scope: Scope

    def __post_init__(self) -> None:
        """Check every field."""
        one_of("view", self.view, VIEWS)
        one_of("unit", self.unit, UNITS)
        one_of("scope", self.scope, SCOPES)
        positive("eta", self.eta)
        whole("releases", self.releases)
        _some(self.exclusions)

    def sentence(self) -> str:
        """The claim as one English sentence; eta is rounded up to four digits."""
        total = rounded_up(self.eta * self.releases)
        together = "" if self.releases == 1 else f", so {total} d over {self.releases} releases"
        return (
            f"Against the {self.view} view, each {self.unit} has a metric guarantee, which is no "
            f"(epsilon, delta): two inputs whose rows lie at L2 distance d are protected with "
            f"epsilon {rounded_up(self.eta)} d per release{together}; "
            f"{_SCOPE_WORDS[self.scope]}; not covered are {_listed(self.exclusions)}."
        )

    def to_json(self) -> dict[str, Any]:
        """The claim as a dictionary of plain values, its sentence included."""
        return {
            "view": self.view,
            "kind": "metric guarantee",
            "unit": self.unit,
            "eta": self.eta,
            "releases": self.releases,
            "scope": self.scope,
            "exclusions": list(self.exclusions),
            "sentence": self.sentence(),
        }


@dataclass(frozen=True)
class NoGuarantee:
    """The view sees something, and nothing is claimed about it; `reason` is a clause.

    `but_labels`: a claim of its own stands beside this, and speaks of the labels alone.
    """

    view: View
    reason: str
    but_labels: bool = False

    def sentence(self) -> str:
        """The absence of a claim, and why, as one English sentence."""
        of = " for the text of a record, only for its label" if self.but_labels else ""
        return f"Against the {self.view} view there is no guarantee{of}: {self.reason}."

    def to_json(self) -> dict[str, Any]:
        """The absence of a claim as a dictionary of plain values."""
        words = {"reason": self.reason, "sentence": self.sentence()}
        return {"view": self.view, "kind": "no guarantee"} | words


@dataclass(frozen=True)
class NothingSent:
    """The view has nothing to see in this training; `reason` is a clause."""

    view: View
    reason: str

    def sentence(self) -> str:
        """That nothing is sent, and why, as one English sentence."""
        return f"Nothing is sent that the {self.view} view could see: {self.reason}."

    def to_json(self) -> dict[str, Any]:
        """The empty view as a dictionary of plain values."""
        words = {"reason": self.reason, "sentence": self.sentence()}
        return {"view": self.view, "kind": "nothing sent"} | words


Entry = Guarantee | MetricGuarantee | NoGuarantee | NothingSent


def _some(exclusions: tuple[str, ...]) -> None:
    if not exclusions:
        raise ValueError("expected exclusions that say what is not covered, got exclusions=()")


def _times(releases: int) -> str:
    return "one release" if releases == 1 else f"{releases} releases"


def rounded_up(epsilon: float) -> str:
    """Four significant digits, never below the true value."""
    context = decimal.Context(prec=4, rounding=decimal.ROUND_CEILING)
    return f"{float(context.create_decimal(epsilon)):.10g}"


def _listed(phrases: tuple[str, ...]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return "; ".join(phrases[:-1]) + "; and " + phrases[-1]
