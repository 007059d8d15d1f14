"""Claims of a training by one message: one epsilon for all five views, or why there is none.

E is public and every record is sent once, its label with it. Whatever anybody sees of the training
is computed from that message: post-processing. So what holds of the message holds of all views, for
the record, about the data set. Each condition of the claim is a line of `why_not`.
"""

from dataclasses import replace

from privacy.checks import one_of
from privacy.claims import above_the_tails, epsilon_claim
from privacy.composition import epsilon_of
from privacy.defence import ONE_MESSAGE, Defence
from privacy.events import Event, GaussianEvent, MessageEvent, PureEvent
from privacy.facts import MessageFacts, TrainingFacts
from privacy.guarantee import (
    MESSAGE_EXCLUSIONS,
    SEVERAL_RECORDS,
    Entry,
    Guarantee,
    NoGuarantee,
    rounded_up,
)
from privacy.mechanism import VIEWS, Cost, Identity, View

MIXED = 0.01
"""The share of public texts that may stand among the records by chance, as short sentences do. How
many do is said nowhere: it is a count of records that no noise covers."""


def message_ledger(defence: Defence, facts: TrainingFacts) -> dict[View, Entry]:
    """What each view may learn of a training by one message, in the order of `VIEWS`.

    Raises:
        ValueError: for facts of another strategy.
    """
    one_of("strategy", facts.strategy, (ONE_MESSAGE,))
    reason = why_not(defence, facts)
    event = event_of(defence, facts)
    if reason is not None or event is None:
        return {view: NoGuarantee(view, reason or _bare(defence, facts)) for view in VIEWS}
    return {view: _for_persons(_claim(view, event, facts), event, facts) for view in VIEWS}


def why_not(defence: Defence, facts: TrainingFacts) -> str | None:
    """The first condition of the claim that fails, as a clause; None where all hold.

    What cannot be checked here (that nobody chose the model by the true labels, say) stands among
    the claim's exclusions.
    """
    known = facts.message or MessageFacts()
    if not facts.embeddings_frozen:
        return "E was trained on the records, and what it learnt from them no noise covers"
    if known.seen:
        return (
            f"the encoder was trained on {known.seen}, so that it may hold these very records, and "
            "no noise covers what it holds"
        )
    if known.mixed:
        return (
            f"more than {MIXED:.0%} of the public text that the projection was made from stands "
            "among the records, so that it is their own and not public"
        )
    if known.dealt_by_label:
        return (
            "the records were dealt to clients by their true labels, and how many each client "
            "holds is public"
        )
    if not isinstance(defence.smashed, Identity) and defence.smashed.unit != "sequence":
        return "a message is noised as a whole, which needs the sequence as unit"
    return None


def event_of(defence: Defence, facts: TrainingFacts) -> Event | None:
    """What the message of one record and its label did together; None without a guarantee."""
    cost = defence.smashed.cost()
    if cost is None:
        return None
    if (facts.message or MessageFacts()).labels == "within":
        return cost.event
    label = None if defence.labels is None else defence.labels.cost()
    return None if label is None else together(cost.event, label.event)


def together(message: Event, label: Event) -> Event | None:
    """What a message and the label beside it did together; None where nothing is known of that.

    >>> together(GaussianEvent(1.0), PureEvent(2.0))
    MessageEvent(noise_multiplier=1.0, label_epsilon=2.0)
    """
    if isinstance(label, PureEvent) and isinstance(message, GaussianEvent):
        return MessageEvent(message.noise_multiplier, label.epsilon)
    if isinstance(label, PureEvent) and isinstance(message, PureEvent):
        return PureEvent(message.epsilon + label.epsilon)
    return None


def _for_persons(
    entry: Guarantee | NoGuarantee, event: Event, facts: TrainingFacts
) -> Guarantee | NoGuarantee:
    """A claim that says what it holds for a person with several records.

    Each record has a message and noise of its own, so that a person of k records is k releases: of
    Gaussian noise the square root of k, where group privacy of an epsilon alone would count k.
    """
    rows = facts.person_rows
    if rows is None or isinstance(entry, NoGuarantee):
        return entry
    others = tuple(each for each in entry.exclusions if each != SEVERAL_RECORDS)
    if rows == 1:
        return replace(entry, exclusions=others)
    bound = epsilon_of(event, rows * (1 + facts.restarts), facts.asked_delta, facts.accountant)
    told = (
        f"a person as a whole, who may have {rows} records, for whom as many messages leave "
        f"epsilon {rounded_up(bound.epsilon)} and delta {bound.delta or 0}"
    )
    return replace(entry, exclusions=(told, *others), tradeoff=None)


def _bare(defence: Defence, facts: TrainingFacts) -> str:
    """Why message and label have no guarantee together."""
    cost = defence.smashed.cost()
    if cost is None:
        done = "left as it is" if defence.smashed.clip_norm is None else "clipped but not noised"
        return f"each record's message is {done}"
    if defence.labels is None:
        return "each label goes beside its message as it is: nothing acts at labels"
    return "of message and label together nothing is known under this kind of noise"


def _claim(view: View, event: Event, facts: TrainingFacts) -> Guarantee | NoGuarantee:
    """The claim for one view: the same for all."""
    cost, once = Cost(event, "record", "replace-one"), 1 + facts.restarts
    claim = epsilon_claim(view, cost, once, facts, "data set", MESSAGE_EXCLUSIONS)
    return above_the_tails(claim, cost)
