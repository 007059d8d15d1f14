"""Claim of one epsilon and delta, with what cut tails of noise and a large delta take from it."""

import math
from dataclasses import replace

from privacy.allowed import TradeOff, allowed_by, stored
from privacy.composition import epsilon_of, tail_floor
from privacy.events import Event
from privacy.facts import TrainingFacts
from privacy.guarantee import Guarantee, NoGuarantee, Scope
from privacy.mechanism import Cost, View
from privacy.randomness.tails import why_below_floor
from privacy.selection import (
    BY_SELECTION,
    CHOSEN_EXCLUSIONS,
    Selection,
    selected_bound,
    selected_curve,
)

OUTRIGHT = "the publication of one record outright"
"""What a delta of 1/n and more allows for, as `breach_words` begins."""


def above_the_tails(
    claim: Guarantee, cost: Cost, chosen: Selection | None = None
) -> Guarantee | NoGuarantee:
    """The claim with what the cut tails of noise add to delta; none where they take it all.

    chosen: the claim is about the best of so many trainings, of one of which it speaks.
    """
    floor = tail_floor(cost.event, claim.releases)
    if chosen is not None:
        claim, floor = best_of(claim, cost, chosen), math.inf if floor else 0.0
    why = why_below_floor(claim.delta, floor)
    if why:
        return NoGuarantee(claim.view, why)
    if not floor:
        return claim
    curve = None if claim.tradeoff is None else claim.tradeoff.raised(floor)
    return replace(claim, delta=claim.delta + floor, tradeoff=curve)


def best_of(claim: Guarantee, cost: Cost, chosen: Selection) -> Guarantee:
    """What a claim about one training leaves of the best of several, their number at random."""
    bound = selected_bound(cost.event, claim.releases, chosen, claim.delta or 0.5)
    return replace(
        claim,
        epsilon=bound.epsilon,
        delta=bound.delta,
        accountant=f"{bound.accountant} (mean {chosen.mean:g}, shape {chosen.shape:g})",
        exclusions=(*CHOSEN_EXCLUSIONS, *claim.exclusions),
        tradeoff=selected_allowed(cost.event, claim.releases, chosen),
    )


def selected_allowed(event: Event, releases: int, chosen: Selection) -> TradeOff:
    """What the best of several trainings allows, each of so many releases."""
    return stored(selected_curve(event, releases, chosen), BY_SELECTION)


def epsilon_claim(
    view: View,
    cost: Cost,
    releases: int,
    facts: TrainingFacts,
    scope: Scope,
    exclusions: tuple[str, ...],
) -> Guarantee:
    """What so many of a mechanism's releases guarantee a view, tails left out of account."""
    bound = epsilon_of(cost.event, releases, facts.asked_delta, facts.accountant)
    claim = Guarantee(
        view=view,
        unit=cost.unit,
        relation=cost.relation,
        epsilon=bound.epsilon,
        delta=bound.delta,
        releases=releases,
        scope=scope,
        accountant=bound.accountant,
        exclusions=exclusions,
        tradeoff=allowed_by(cost.event, releases),
    )
    if breach(claim, facts):
        return replace(claim, exclusions=(breach_words(facts), *exclusions))
    return claim


def breach(claim: Guarantee, facts: TrainingFacts) -> bool:
    """Whether delta allows for publishing one of a client's records outright."""
    if facts.records is None or claim.unit in ("client", "label"):
        return False
    return claim.delta >= 1 / facts.records


def breach_words(facts: TrainingFacts) -> str:
    """What a claim under `breach` does not cover."""
    return (
        f"{OUTRIGHT}, which delta {facts.asked_delta} allows for at "
        f"n={facts.records} records of the smallest client (delta >= 1/n)"
    )
