"""Ledger: what each of the five views may learn from one training, as values with a sentence.

Costs are stored, guarantees are derived from them here. The numbers come from
`privacy.composition` and `privacy.accountants`.
"""

import logging
from dataclasses import replace

from privacy.claims import above_the_tails, best_of, breach, breach_words, epsilon_claim
from privacy.defence import (
    ONE_MESSAGE,
    Defence,
    over_rounds,
    refuse_averaging,
    refuse_rounds,
    refuse_update,
)
from privacy.events import MetricEvent, PoissonGaussianEvent
from privacy.facts import TrainingFacts
from privacy.group_privacy import for_persons
from privacy.guarantee import (
    BACKWARD_EXCLUSIONS,
    CONTEXT_EXCLUSION,
    DP_SGD_EXCLUSIONS,
    DP_SGD_MESSAGES,
    FORWARD_EXCLUSIONS,
    LABEL_EXCLUSIONS,
    LOCAL_UPDATE_EXCLUSIONS,
    UPDATE_EXCLUSIONS,
    Entry,
    Guarantee,
    MetricGuarantee,
    NoGuarantee,
    NothingSent,
    Scope,
    participation_exclusion,
)
from privacy.mechanism import VIEWS, Cost, Identity, Mechanism, View
from privacy.message_claims import message_ledger
from privacy.selection import SEES_ALL, Selection

logger = logging.getLogger(__name__)

LABEL_VIEWS: tuple[View, ...] = ("backward", "aggregator", "peer", "release")


def ledger(defence: Defence, facts: TrainingFacts) -> dict[View, Entry]:
    """What each view may learn, in the order of `VIEWS`, all five of them always.

    The mechanism on the smashed data speaks for `forward` alone, without amplification by
    sampling: the server sees every message. The mechanism on the updates speaks for `release`
    and `peer`, and for `aggregator` too where each client noises its own update; it presumes what
    `DPFedAvg` lists (all trained parts under one clip, uniform weights, a fixed divisor), which
    is the trainer's part. DP-SGD speaks for `release` alone, where Poisson sampling amplifies.
    Of a training by one message see `privacy.message_claims`.

    What holds of the labels besides is in `label_claims`; where that is all, an entry says so.
    Of a model that was chosen among several trainings the claim is `privacy.selection`'s.
    Where rows belong to persons, claims say what is left for one with several: `for_persons`.
    """
    if facts.strategy == ONE_MESSAGE:
        entries = message_ledger(defence, facts)
    else:
        entries = {v: for_persons(_entry(v, defence, facts), facts.person_rows) for v in VIEWS}
    for claim in label_claims(defence, facts):
        entry = entries[claim.view]
        if isinstance(entry, NoGuarantee):
            entries[claim.view] = replace(entry, but_labels=True)
    if any(isinstance(entry, Guarantee) and breach(entry, facts) for entry in entries.values()):
        logger.warning("%s: %s", defence.name, breach_words(facts))
    return entries


def label_claims(defence: Defence, facts: TrainingFacts) -> list[Guarantee]:
    """What randomised response on the labels guarantees, a claim for each view that they reach.

    Each label is randomised once, before anything else, and all the rest is made from the
    outcome: one release, for all messages of the training together, and one for each restart.
    """
    cost = None if defence.labels is None else defence.labels.cost()
    if cost is None:
        return []
    once = 1 + facts.restarts
    one = facts.strategy == ONE_MESSAGE  # where the server has the answered labels themselves
    claims = [
        epsilon_claim(view, cost, once, facts, "data set", LABEL_EXCLUSIONS)
        for view in (VIEWS if one else LABEL_VIEWS)
        if one or _nothing_sent(view, facts) is None
    ]
    if defence.chosen is not None:
        claims = [best_of(c, cost, defence.chosen) for c in claims if c.view == "release"]
    return [for_persons(claim, facts.person_rows) for claim in claims]


def _entry(view: View, defence: Defence, facts: TrainingFacts) -> Entry:
    silence = _nothing_sent(view, facts)
    if silence is not None:
        return NothingSent(view, silence)
    if defence.chosen is not None and view != "release":
        return NoGuarantee(view, SEES_ALL)
    if view == "forward":
        return _forward(defence, facts)
    if view == "backward":
        return _backward(defence, facts)
    if view == "aggregator" and not defence.local_update:
        return _aggregator(defence, facts)
    return _averaged(view, defence, facts)


def _nothing_sent(view: View, facts: TrainingFacts) -> str | None:
    if facts.strategy == "centralised" and view != "release":
        return "one trusted party holds the pooled data and trains alone"
    if view in ("forward", "backward"):
        if facts.strategy == "fedavg":
            return "each client trains the whole model and sends no activations"
        if facts.releases == 0:
            return "no activations were sent"
    if view in ("aggregator", "peer") and facts.rounds == 0 and facts.strategy != "sequential":
        return "no round was aggregated"
    return None


def _forward(defence: Defence, facts: TrainingFacts) -> Entry:
    cost = defence.smashed.cost()
    if cost is None:
        more = "" if defence.training is None else ", and DP-SGD noises sums of gradients, not A"
        return NoGuarantee("forward", _no_cost(defence.smashed, "A") + more)
    if cost.unit == "token" and facts.cut_layer > 0:
        return NoGuarantee(
            "forward",
            f"behind {facts.cut_layer} encoder layer(s) one token moves every row of A, and the "
            "noise covers a change of one row; a guarantee needs the sequence as unit",
        )
    scope: Scope = "data set" if facts.embeddings_frozen else "local"
    releases = facts.releases
    if facts.embeddings_frozen and defence.one_shot:
        # The noisy A of a frozen E is kept and sent again: post-processing, but for restarts.
        releases = 1 + facts.restarts
    context = (CONTEXT_EXCLUSION,) if cost.unit == "token" else ()
    exclusions = context + _beside_dp_sgd(defence) + FORWARD_EXCLUSIONS
    return _claim("forward", cost, releases, facts, scope, exclusions)


def _backward(defence: Defence, facts: TrainingFacts) -> Entry:
    cost = defence.hidden_gradient.cost()
    if cost is None:
        if defence.training is not None:
            why = (
                "DP-SGD speaks for the released model alone, and G_Z crosses in the clear beside "
                f"{DP_SGD_MESSAGES}"
            )
        elif isinstance(defence.hidden_gradient, Identity):
            why = "noise on A does not cover the gradients G_Z, sent as they are"
        else:
            why = _no_cost(defence.hidden_gradient, "G_Z")
        return NoGuarantee("backward", why)
    if cost.unit == "token":
        return NoGuarantee(
            "backward",
            "behind the body one token moves every row of G_Z, and the noise covers a change of "
            "one row; a guarantee needs the sequence as unit",
        )
    exclusions = _beside_dp_sgd(defence) + BACKWARD_EXCLUSIONS
    return _claim("backward", cost, facts.releases, facts, "local", exclusions)


def _aggregator(defence: Defence, facts: TrainingFacts) -> NoGuarantee:
    why = "the aggregator receives each client's update before any noise"
    if defence.training is not None and facts.strategy == "fedavg":
        return _seen_in_training("aggregator")
    if defence.training is not None:
        why = (
            "the aggregator also serves every step, so that it knows which records were drawn and "
            f"sees {DP_SGD_MESSAGES}; DP-SGD speaks for the released model alone"
        )
    return NoGuarantee("aggregator", why)


def _averaged(view: View, defence: Defence, facts: TrainingFacts) -> Entry:
    refused = refuse_update(defence, facts.strategy) or refuse_averaging(defence, facts)
    if refused is not None:
        return NoGuarantee(view, refused)
    cost = defence.update.cost()
    if cost is None and defence.training is not None:
        return _trained(defence, facts) if view == "release" else _seen_in_training(view)
    if cost is None and facts.strategy == "centralised":  # a mechanism there was refused above
        return NoGuarantee(view, "the model is released as trained, and no mechanism acts on it")
    if cost is None:
        return NoGuarantee(view, _no_cost(defence.update, "each client update"))
    if facts.rounds == 0:
        return NoGuarantee(view, "no round was aggregated, so nothing passed the mechanism")
    if facts.optimizer_state_shared and view != "release":
        return NoGuarantee(view, "the optimiser state handed on is made of raw gradients")
    if facts.optimizer_state_shared:
        return NoGuarantee(
            view,
            "clients train with optimiser state made of others' raw gradients, so that removing "
            "one client moves the others' updates too, by more than the clip norm allows for",
        )
    exclusions = LOCAL_UPDATE_EXCLUSIONS if defence.local_update else UPDATE_EXCLUSIONS
    correlated = over_rounds(defence.update)
    if correlated is None:
        return _claim(view, cost, facts.rounds, facts, "data set", exclusions, defence.chosen)
    apart = refuse_rounds(correlated, facts)
    if apart is not None:
        return NoGuarantee(view, f"the noise on updates {apart}")
    times = facts.participations or 0
    known = participation_exclusion(times, correlated.bands)
    exclusions = (known, *exclusions)
    return _claim(view, cost, times, facts, "data set", exclusions, defence.chosen)


def _trained(defence: Defence, facts: TrainingFacts) -> Guarantee | NoGuarantee:
    """What DP-SGD claims of the release: records, under Poisson sampling, at every step."""
    cost = None if defence.training is None else defence.training.cost()
    if cost is None:
        return NoGuarantee("release", "gradients are clipped but not noised")
    if defence.penalty is not None:
        return NoGuarantee(
            "release",
            "the penalty is computed over a whole batch, so that one record moves the gradients of "
            "others, by more than the clip norm allows for",
        )
    if facts.steps == 0:
        return NoGuarantee("release", "no step of DP-SGD was taken")
    if facts.sample_rate is None:
        return NoGuarantee(
            "release",
            "batches were not drawn by Poisson sampling, which the accountant of DP-SGD presumes",
        )
    cost = sampled_cost(defence, facts) or cost
    claim = epsilon_claim("release", cost, facts.steps, facts, "data set", DP_SGD_EXCLUSIONS)
    return above_the_tails(claim, cost, defence.chosen)


def sampled_cost(defence: Defence, facts: TrainingFacts) -> Cost | None:
    """What a step of DP-SGD cost, at the largest rate at which a record was drawn; None without."""
    cost = None if defence.training is None else defence.training.cost()
    if cost is None or facts.sample_rate is None:
        return cost
    event = cost.event
    if isinstance(event, PoissonGaussianEvent) and event.sample_rate < facts.sample_rate:
        return replace(cost, event=replace(event, sample_rate=facts.sample_rate))
    return cost


def _seen_in_training(view: View) -> NoGuarantee:
    return NoGuarantee(
        view,
        "it sees the parts of every round, and DP-SGD speaks for the released model alone: only "
        "there is amplification by sampling claimed",
    )


def _beside_dp_sgd(defence: Defence) -> tuple[str, ...]:
    return () if defence.training is None else (f"{DP_SGD_MESSAGES}, which crosses in the clear",)


def _no_cost(mechanism: Mechanism, what: str) -> str:
    done = "left as it is" if mechanism.clip_norm is None else "clipped but not noised"
    return f"{what} is {done}"


def _claim(
    view: View,
    cost: Cost,
    releases: int,
    facts: TrainingFacts,
    scope: Scope,
    exclusions: tuple[str, ...],
    chosen: Selection | None = None,
) -> Guarantee | MetricGuarantee | NoGuarantee:
    if isinstance(cost.event, MetricEvent):
        return MetricGuarantee(view, cost.unit, cost.event.eta, releases, exclusions, scope)
    claim = epsilon_claim(view, cost, releases, facts, scope, exclusions)
    return above_the_tails(claim, cost, chosen)
