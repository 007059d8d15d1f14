"""The release view of an audited model: who was in the training data, and what that shows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attacks.signals import Signals
from evaluation.adversary.candidates import sides
from evaluation.auditing.adversary import Means, lacking, signals_on, trained_rounds
from evaluation.auditing.canaries.texts import joined
from evaluation.auditing.subject import Subject
from evaluation.auditing.verdict import Claim, Finding
from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import MEMBERSHIP
from evaluation.metrics.blind_baseline import LEAST, blind_baseline
from evaluation.metrics.epsilon_bounds import one_run_p
from evaluation.metrics.membership import auc, tpr_at_fpr
from evaluation.metrics.one_run_gaussian import FRACTIONS, one_run_from_scores
from fedbert.config import Config, InputError
from fedbert.data.batches import Encoded
from fedbert.prepare import Prepared
from fedbert.seeding import numpy_rng
from reports.card.content import Measured
from reports.records import Estimate

MOST = 4000  # candidates
KNOWN = 0.25  # of the pool: whose coins an adversary with shadows is told
SIGNIFICANCE = 0.05
MOST_NEEDED = 2**15  # candidates
SHIFTED = "members differ in text or label alone: the pool is shifted, the rest means little"


@dataclass(frozen=True)
class Candidates:
    """Examples to tell apart: inside [candidate] bool; `fair` where a fair coin chose them.

    judged: those that count for the membership figures (a member that no batch reached does not).
    positions, population: in the training's pool, of the candidates and of examples that the
    adversary knows to be left out; None for examples from files.
    """

    encoded: Encoded
    inside: np.ndarray
    judged: np.ndarray
    fair: bool
    origin: str
    positions: np.ndarray | None = None
    population: np.ndarray | None = None


def candidates_of(
    subject: Subject, members: Path | None, non_members: Path | None, fair: bool, told: bool = False
) -> Candidates | str:
    """Return who is to be told apart, or why that cannot be asked.

    told: the adversary is told the coins of a random part of the pool, which is then asked about
    no more: those of it that were left out are its population.

    Raises:
        InputError: for files that cannot be read, or that share a text.
    """
    if members is not None and non_members is not None:
        return _from_files(subject, members, non_members, fair)
    if subject.own is None:
        return f"members are unknown: {subject.unknown}, and --members, --non-members are not given"
    if subject.own.members is None:
        if non_members is None:
            return (
                "every example of the pool was trained on; train with [data] hold_out = 0.5, or "
                "give --non-members"
            )
        own = subject.own
        inside, _ = sides(_so_far(subject), own)
        return _joined(own.pool.take(inside), subject.encoded(non_members), False, "--non-members")
    return _by_coin(subject, subject.own, subject.own.members, told)


def _by_coin(subject: Subject, own: Prepared, members: np.ndarray, told: bool) -> Candidates:
    """Return who is to be told apart among the pool, one block of each document."""
    seen, out = sides(_so_far(subject), own)
    _, first = np.unique(own.pool.documents, return_index=True)
    drawn = numpy_rng(subject.config.seed, "audit").permutation(first)[:MOST]
    cut = int(KNOWN * len(drawn)) if told else 0
    chosen, known = np.sort(drawn[cut:]), np.sort(drawn[:cut])
    return Candidates(
        encoded=own.pool.take(chosen),
        inside=members[chosen],
        judged=np.isin(chosen, np.concatenate([seen, out])),
        fair=subject.config.data.hold_out == 0.5,
        origin="the pool, by the training's coin",
        positions=chosen,
        population=known[~members[known]],
    )


def _so_far(subject: Subject) -> Config:
    """Return the settings of the training as far as it had come."""
    if subject.checkpoint is None:
        return subject.config
    return trained_rounds(subject.config, subject.checkpoint.manifest["round"])


def _from_files(subject: Subject, members: Path, non_members: Path, fair: bool) -> Candidates:
    ins, outs = subject.encoded(members), subject.encoded(non_members)
    shared = len(_texts(ins) & _texts(outs))
    if shared:
        raise InputError(f"expected members and non-members apart, got {shared} texts in both")
    return _joined(ins, outs, fair, f"{members.name} and {non_members.name}")


def _texts(encoded: Encoded) -> set[bytes]:
    return {part.tobytes() for part in np.split(encoded.tokens, encoded.offsets[1:-1])}


def _joined(ins: Encoded, outs: Encoded, fair: bool, origin: str) -> Candidates:
    """Return two sets of examples as one."""
    both = joined(ins, outs)
    inside = np.arange(len(both)) < len(ins)
    return Candidates(both, inside, np.ones(len(both), dtype=bool), fair, origin)


def membership(
    subject: Subject, who: Candidates, means: Means | None = None
) -> tuple[list[Measured], dict[str, np.ndarray]]:
    """Return the membership figures of every attack of the catalogue, and the attacks' scores.

    Raises:
        InputError: where the adversary's own models cannot be had.
    """
    means = means or Means()
    found, scores = [_text_alone(subject, who)], {}
    signals = _signals(subject, who, means)
    for name in MEMBERSHIP:
        attack = make_attack(name, MEMBERSHIP, "score")
        why = attack.missing(signals)
        if why is not None:
            why = lacking(means, subject, why)
            found.append(Measured(attack.view, attack.name, "auc", None, why))
            continue
        each = scores[attack.name] = attack.score(signals)
        inside, outside = each[who.judged & who.inside], each[who.judged & ~who.inside]
        if min(len(inside), len(outside)) < 2:
            found.append(Measured(attack.view, attack.name, "auc", None, "too few candidates"))
            continue
        for metric, estimate in _figures(inside, outside):
            found.append(Measured(attack.view, attack.name, metric, estimate))
    return found, scores


def _signals(subject: Subject, who: Candidates, means: Means) -> Signals:
    """Return what the adversary computes of the candidates, and of whom it knows to be left out."""
    if who.positions is None or who.population is None or subject.own is None:
        return signals_on(subject, who.encoded, None, 0, means)
    everyone = np.concatenate([who.positions, who.population])
    encoded = subject.own.pool.take(everyone)
    return signals_on(subject, encoded, everyone, len(who.population), means)


def _figures(inside: np.ndarray, outside: np.ndarray) -> Iterator[tuple[str, Estimate]]:
    yield "auc", auc(inside, outside)
    tpr = tpr_at_fpr(inside, outside, 0.01)
    if tpr is not None:
        yield "tpr_at_1pct_fpr", tpr


def _text_alone(subject: Subject, who: Candidates) -> Measured:
    """Return how well words and labels alone tell members: at chance in a pool that is fair."""
    head = ("release", "text alone (no model)", "auc")
    if min(int(who.inside.sum()), int((~who.inside).sum())) < LEAST:
        return Measured(*head, None, f"needs {LEAST} candidates a side")
    texts = np.split(who.encoded.tokens, who.encoded.offsets[1:-1])
    rng = numpy_rng(subject.config.seed, "text alone")
    estimate, shifted = blind_baseline(texts, who.encoded.labels, who.inside, rng)
    return Measured(*head, estimate, SHIFTED if shifted else "")


def one_run(
    subject: Subject, who: Candidates, scores: dict[str, np.ndarray], claim: Claim
) -> Finding:
    """Return what one training with its coin shows of a claim about records.

    Over attacks and over how many are guessed the significance is shared (Bonferroni).
    """
    count = len(who.inside)
    share = SIGNIFICANCE / max(1, len(scores))
    bounds = {
        name: one_run_from_scores(each, who.inside, claim.delta, share)
        for name, each in scores.items()
    }
    best = max(bounds, key=lambda name: bounds[name], default="no attack")
    everything = one_run_from_scores(who.inside.astype(float), who.inside, claim.delta, share)
    how = f"one run by a fair coin, {best}"
    what = "release, each record by membership"
    more = ""
    if everything <= claim.epsilon:
        more = _needed(claim, share, float(who.inside.mean()), count)
    return Finding(what, claim, bounds.get(best, 0.0), everything, count, SIGNIFICANCE, how, more)


def _needed(claim: Claim, level: float, share: float, tried: int) -> str:
    """Return how many candidates could contradict the claim, in words.

    share: of members, as the coins fell: told rightly, each is guessed to be on its own side only
    as far as the sides are equal.
    """
    count = tried
    while count <= MOST_NEEDED:
        members = int(share * count)
        for fraction in FRACTIONS:
            guesses = math.ceil(fraction * count)
            right = min((guesses + 1) // 2, members) + min(guesses // 2, count - members)
            p = one_run_p(count, guesses, right, claim.delta, claim.epsilon)
            if p <= level / len(FRACTIONS):
                return f"about {count} candidates by a fair coin"
        count += count // 4 + 1
    return "white-box canaries: no number of candidates does in one run"
