"""Claims for users who may have several records, beside those for records.

How many is a statement: nothing in the data says whose a record is. What holds of a record's curve
does not hold of a user's, and multiplying epsilon says far too much; the curve of the user is made
from what was done, in `privacy.composed`.
"""

from dataclasses import replace

from privacy.accounting import label_claims, ledger, sampled_cost
from privacy.claims import above_the_tails
from privacy.composed import Part, composed
from privacy.defence import ONE_MESSAGE, Defence
from privacy.events import Event, PoissonGaussianEvent
from privacy.facts import TrainingFacts
from privacy.guarantee import SEVERAL_RECORDS, SEVERAL_TEXTS, Guarantee
from privacy.mechanism import Cost, View
from privacy.message_claims import event_of

OF_USERS = ("record", "sequence")
"""The units of which a user may have several; tokens and labels are no user's text."""


def further_claims(defence: Defence, facts: TrainingFacts) -> list[Guarantee]:
    """What is guaranteed besides the ledger's entries: labels, and users where their records are
    bounded.
    """
    return [*label_claims(defence, facts), *user_claims(defence, facts)]


def user_claims(defence: Defence, facts: TrainingFacts) -> list[Guarantee]:
    """What holds for a user of up to `records_per_user` records, one claim for each view.

    Beside every claim about a record or a sequence; none where nobody told how many, where nothing
    is left, or of a model that was chosen among several trainings.
    """
    count = facts.records_per_user
    if count is None or defence.chosen is not None:  # of users, nothing is known of a choice
        return []
    found = []
    for view, entry in ledger(defence, facts).items():
        if isinstance(entry, Guarantee) and entry.unit in OF_USERS:
            event = _event(view, defence, facts)
            claim = None if event is None else of_user(entry, event, count, facts.asked_delta)
            found += [] if claim is None else [claim]
    return found


def of_user(claim: Guarantee, event: Event, count: int, delta: float) -> Guarantee | None:
    """The claim for a user of up to so many records, from that for one; None if nothing is left.

    event: what each of the claim's releases was.
    """
    together = composed((Part(event, claim.releases, count),))
    bound = together.bound(delta)
    if bound is None:
        return None
    more = f"a user with more than {count} records, or whose records others hold as well"
    texts = f"a text that stands in more than {count} records, as one may in several pairs"
    kept = (texts if each == SEVERAL_TEXTS else each for each in claim.exclusions)
    others = tuple(each for each in kept if each != SEVERAL_RECORDS)
    sampled = isinstance(event, PoissonGaussianEvent)
    made = replace(
        claim,
        unit="user",
        epsilon=bound.epsilon,
        delta=bound.delta,
        releases=claim.releases if sampled else claim.releases * count,
        accountant=f"{bound.accountant}, {count} records a user",
        exclusions=(more, *others),
        tradeoff=together.allowed(),
    )
    shifted = event
    if isinstance(event, PoissonGaussianEvent):  # all of the user's records in one step
        shifted = replace(event, noise_multiplier=event.noise_multiplier / count)
    told = above_the_tails(made, Cost(shifted, "record", claim.relation))
    return told if isinstance(told, Guarantee) else None


def _event(view: View, defence: Defence, facts: TrainingFacts) -> Event | None:
    """What one release to a view was, of a claim about a record or a sequence."""
    if facts.strategy == ONE_MESSAGE:
        return event_of(defence, facts)
    by_view = {
        "forward": defence.smashed.cost(),
        "backward": defence.hidden_gradient.cost(),
        "release": sampled_cost(defence, facts),
    }
    cost = by_view.get(view)
    return None if cost is None else cost.event
