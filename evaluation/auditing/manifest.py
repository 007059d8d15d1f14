"""Manifest check: do the costs and epsilons follow from what it says was done?"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from evaluation.auditing.differences import CLOSE, differences
from evaluation.auditing.message_facts import recorded_message
from evaluation.auditing.recorded_facts import contradictions, recorded_facts, unchecked
from evaluation.auditing.spent import Spent, spent_on
from evaluation.auditing.subject import Subject, defence_of, spec_of
from evaluation.grid.defence import costs, facts_of
from evaluation.grid.launches import Launches
from fedbert.checkpoint import Checkpoint
from privacy.accountants import Bound
from privacy.accounting import ledger
from privacy.allowed import TradeOff, allowed_by, curve_of
from privacy.claims import selected_allowed
from privacy.composed import composed
from privacy.composition import epsilon_of
from privacy.defence import Defence, refuse
from privacy.events import PoissonGaussianEvent, event_to_json
from privacy.facts import TrainingFacts
from privacy.selection import selected_bound
from privacy.users import further_claims
from reports.tradeoff import Allowed, allowed_of


def claims_of(subject: Subject) -> list[dict[str, Any]]:
    """Return the (epsilon, delta) claims of the manifest."""
    if subject.checkpoint is None:
        return []
    found = subject.checkpoint.manifest.get("guarantees", [])
    return [each for each in found if each.get("kind") == "guarantee"]


def mismatches(subject: Subject) -> list[str]:
    """Return what in a manifest does not follow from the rest, a line each.

    Every epsilon is recomputed from the recorded costs, and must not be below that; costs and
    guarantees are recomputed from configuration and defence as well, and from the data where they
    can be had, else from what the manifest says of them.
    """
    found = list(_from_costs(subject))
    return found + [line for line in _from_configuration(subject) if line not in found]


def not_checked(subject: Subject) -> list[str]:
    """Return what a manifest claims and what it has cannot show or refute, a line each."""
    return [] if subject.checkpoint is None else list(unchecked(subject.checkpoint))


def recomputed(subject: Subject, claim: dict[str, Any]) -> tuple[float, str] | None:
    """Return the epsilon of a claim from the recorded costs, and the figures it follows from."""
    spent = spent_on(subject, claim)
    if spent is None or subject.checkpoint is None:
        return None
    bound = _bound(spent, claim["delta"] or subject.delta)
    if bound is None:
        return None
    figures = {k: v for k, v in event_to_json(spent.event).items() if k != "kind"}
    clip = (subject.checkpoint.manifest["defence"].get(spent.place) or {}).get("clip_norm")
    told = [f"{name.replace('_', ' ')} {value:.6g}" for name, value in figures.items()]
    told += [f"{spent.releases} releases", f"delta {claim['delta']:g}"]
    told += [] if clip is None else [f"clip {clip:g}"]
    told += [] if spent.records == 1 else [f"{spent.records} records a user"]
    told += [] if spent.chosen is None else [f"chosen among {spent.chosen.mean:g} on average"]
    return bound.epsilon, ", ".join(told)


def allowed(subject: Subject) -> list[Allowed]:
    """Return what each claim allows an attack, by the curve of the costs that are recorded.

    None where persons are told apart: the curves are those of records.
    """
    if subject.config.data.group is not None:
        return []
    found = []
    for claim in claims_of(subject):
        spent = spent_on(subject, claim)
        if spent is not None:
            found.append(allowed_of({**claim, **_allowed(spent).to_json()}))
    return [each for each in found if each is not None]


def allowed_tpr(subject: Subject, allowed: Sequence[Allowed]) -> float | None:
    """Return the share of records that claims on the release let be found at 1 % FPR.

    None under noise that can be made again, which allows everything.
    """
    if subject.checkpoint is not None and subject.checkpoint.config.noise == "repeatable":
        return None
    own = [one.tpr_at(0.01) for one in allowed if (one.view, one.unit) == ("release", "record")]
    return max(own, default=None)


def sampled_curve(subject: Subject, claim: dict[str, Any]) -> np.ndarray | None:
    """Return the points [point, (epsilon, delta)] of the DP-SGD behind a claim about a record.

    None for any other: a coin puts a record in or leaves it out, and of one training's records.
    """
    spent = spent_on(subject, claim)
    if spent is None or spent.records > 1 or spent.chosen is not None:
        return None
    if not isinstance(spent.event, PoissonGaussianEvent):
        return None
    curve, _ = curve_of(spent.event, spent.releases)
    return np.column_stack([curve.epsilons, curve.deltas])


@lru_cache(maxsize=64)  # an accountant may take a second
def _bound(spent: Spent, delta: float) -> Bound | None:
    if spent.chosen is not None:
        return selected_bound(spent.event, spent.releases, spent.chosen, delta)
    if spent.records > 1:
        return composed((spent.part,)).bound(delta)
    return epsilon_of(spent.event, spent.releases, delta)


def _allowed(spent: Spent) -> TradeOff:
    if spent.chosen is not None:
        return selected_allowed(spent.event, spent.releases, spent.chosen)
    if spent.records > 1:
        return composed((spent.part,)).allowed()
    return allowed_by(spent.event, spent.releases)


def _from_costs(subject: Subject) -> Iterator[str]:
    for claim in claims_of(subject):
        again = recomputed(subject, claim)
        name = f"{claim['view']} ({claim['unit']})"
        if again is None:
            yield f"{name}: an epsilon of {claim['epsilon']:.6g} is recorded, and no cost behind it"
        elif claim["epsilon"] < again[0] * (1 - CLOSE):  # more than follows may be claimed
            yield (
                f"{name}: epsilon recorded {claim['epsilon']:.6g}, recomputed {again[0]:.6g} "
                f"({again[1]})"
            )


def _from_configuration(subject: Subject) -> Iterator[str]:
    """Compare what configuration, defence and data give with what is recorded."""
    checkpoint, own, spec, defence = subject.checkpoint, subject.own, subject.spec, subject.defence
    if checkpoint is None:
        return
    manifest, config = checkpoint.manifest, checkpoint.config
    launches = Launches.from_json(manifest.get("launches", []), str(subject.directory))
    if own is None:
        yield from contradictions(checkpoint, launches)
        made = _by_the_manifest(subject, checkpoint, launches)
        if made is None:
            return
        defence, facts = made
    elif spec is None or defence is None:
        return
    else:
        yield from contradictions(checkpoint, launches)
        known = recorded_message(checkpoint) if subject.no_public else None
        done = manifest["round"]
        facts = facts_of(config, own, spec, subject.delta, done, launches, known)
    reason = refuse(defence, facts)
    if reason is not None:
        yield f"defence: recorded with {config.training.strategy}, recomputed none: {reason}"
        return
    yield from differences("costs", manifest["costs"], costs(defence, facts))
    entries = [*ledger(defence, facts).values(), *further_claims(defence, facts)]
    now = [entry.to_json() for entry in entries]
    yield from differences("guarantees", manifest.get("guarantees", []), now)


def _by_the_manifest(
    subject: Subject, checkpoint: Checkpoint, launches: Launches
) -> tuple[Defence, TrainingFacts] | None:
    """Return defence and facts without the data; None where the manifest leaves them open."""
    spec = spec_of(checkpoint)
    planned = recorded_facts(subject)
    done = recorded_facts(subject, checkpoint.manifest["round"], launches)
    if planned is None or done is None:
        return None
    defence = defence_of(spec, planned)
    return None if defence is None else (defence, done)
