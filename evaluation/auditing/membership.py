"""Release view of an audited model: who was in the training data, and what that shows."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from attacks.attack import Lacks
from attacks.signals import Signals
from evaluation.adversary.candidates import members_and_non_members
from evaluation.adversary.inference import copies_of
from evaluation.attacking.loop import Named, entries, named
from evaluation.attacking.membership import blind, figures, scored
from evaluation.auditing.adversary import Means, lacking, signals_on, trained_rounds
from evaluation.auditing.canaries.texts import joined
from evaluation.auditing.needed import needed, needed_by_curve
from evaluation.auditing.subject import NOT_KNOWN, Subject
from evaluation.auditing.verdict import Claim, Finding
from evaluation.grid.catalogue import MEMBERSHIP, looking
from evaluation.metrics.one_run_gaussian import curve_refuted, one_run_from_scores
from fedbert.config import Config
from fedbert.data.batches import Encoded
from fedbert.data.people import rows_of_each
from fedbert.data.repeats import clusters, coin_groups, one_of_each
from fedbert.errors import InputError
from fedbert.prepare import Prepared
from fedbert.receiving import Receipts
from fedbert.seeding import numpy_rng
from fedbert.tokenizer_checks import unknown_words
from fedbert.trainer import RECEIPTS
from privacy.group_privacy import of_group
from reports.card.content import CONSISTENT, TOO_WEAK, VIOLATES
from reports.leak import Leak, LeakageEntry
from reports.metrics import SHIFTED_POOL
from reports.scores import Scored

MOST = 4000  # candidates
KNOWN = 0.25  # of the pool: whose coins an adversary with shadows is told
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Candidates:
    """Examples to tell apart: members [candidate] bool; `fair` where a fair coin chose them.

    judged: those that count for the membership figures (a member that no batch reached does not).
    positions, population: in the training's pool, of the candidates and of examples that the
    adversary knows to be left out; None for examples from files. doubts: what may be wrong with
    the files' texts.
    """

    encoded: Encoded
    members: np.ndarray
    judged: np.ndarray
    fair: bool
    origin: str
    positions: np.ndarray | None = None
    population: np.ndarray | None = None
    doubts: tuple[str, ...] = ()


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
        return f"members are {NOT_KNOWN} (see above), and --members, --non-members are not given"
    if subject.own.members is None:
        if non_members is None:
            return (
                "every example of the pool was trained on; train with [data] hold_out = 0.5, or "
                "give --non-members"
            )
        own = subject.own
        members_seen, _ = members_and_non_members(*_so_far(subject, own))
        return _joined(
            own.pool.take(members_seen), subject.encoded(non_members), False, "--non-members"
        )
    return _by_coin(subject, subject.own, subject.own.members, told)


def _by_coin(subject: Subject, own: Prepared, members: np.ndarray, told: bool) -> Candidates:
    """Return who is to be told apart among the pool, one example for each coin."""
    seen, left_out = members_and_non_members(*_so_far(subject, own))
    first = one_of_each(own.coin_groups)
    drawn = numpy_rng(subject.config.seed, "audit").permutation(first)[:MOST]
    cut = int(KNOWN * len(drawn)) if told else 0
    chosen, known = np.sort(drawn[cut:]), np.sort(drawn[:cut])
    return Candidates(
        encoded=own.pool.take(chosen),
        members=members[chosen],
        judged=np.isin(chosen, np.concatenate([seen, left_out])),
        fair=subject.config.data.hold_out == 0.5,
        origin="the pool, by the training's coin",
        positions=chosen,
        population=known[~members[known]],
    )


def _so_far(subject: Subject, own: Prepared) -> tuple[Config, Prepared, Receipts]:
    """Return the training as far as it had come, and what became of its updates."""
    if subject.checkpoint is None:
        return subject.config, own, Receipts()
    state, plain = subject.checkpoint.state, subject.checkpoint.state.plain
    receipts = Receipts.from_json(plain[RECEIPTS]) if RECEIPTS in plain else Receipts()
    return trained_rounds(subject.config, state.round), own, receipts


def _from_files(subject: Subject, members: Path, non_members: Path, fair: bool) -> Candidates:
    """Return who is to be told apart, one example for each coin that could have been thrown."""
    both = [subject.encoded(path) for path in (members, non_members)]
    doubts = tuple(unknown_words(both, subject.tokenizer))
    both = [each.take(one_of_each(coin_groups(each))) for each in both]
    shared = len(_texts(both[0]) & _texts(both[1]))
    if shared:
        raise InputError(f"expected members and non-members apart, got {shared} texts in both")
    if both[0].people is not None and both[1].people is not None:
        persons = len(np.intersect1d(both[0].people, both[1].people))
        if persons:
            raise InputError(
                f"expected members and non-members apart, got {persons} persons in both"
            )
    found = _joined(both[0], both[1], fair, f"{members.name} and {non_members.name}")
    return replace(found, doubts=doubts)


def _texts(encoded: Encoded) -> set[bytes]:
    return {part.tobytes() for part in np.split(encoded.tokens, encoded.offsets[1:-1])}


def _joined(members: Encoded, non_members: Encoded, fair: bool, origin: str) -> Candidates:
    """Return two sets of examples as one."""
    both = joined(members, non_members)
    are_members = np.arange(len(both)) < len(members)
    return Candidates(both, are_members, np.ones(len(both), dtype=bool), fair, origin)


def membership(
    subject: Subject, who: Candidates, means: Means | None = None
) -> tuple[list[LeakageEntry], dict[str, np.ndarray]]:
    """Return the membership figures of every attack of the catalogue, and the attacks' scores.

    Raises:
        InputError: where the adversary's own models cannot be had.
    """
    means, seed = means or Means(), subject.config.seed
    attacks = named(looking(MEMBERSHIP), "membership")
    signals = _signals(subject, who, means, copies_of(each.attack for each in attacks))
    scores: dict[str, np.ndarray] = {}
    own = clusters(who.encoded)

    def ask(each: Named) -> Scored | str:
        found = scored(each, signals, who.members, seed, own)
        if isinstance(found, Lacks):
            return lacking(means, subject, found)
        scores[each.attack.name] = found.scores
        judged = replace(
            found,
            scores=found.scores[who.judged],
            members=who.members[who.judged],
            clusters=own[who.judged],
        )
        few = min(len(judged.member_scores), len(judged.non_member_scores)) < 2
        return "too few candidates" if few else judged

    alone, shifted = blind(who.encoded, who.members, seed, "text alone")
    if shifted and isinstance(alone, Leak):
        alone = replace(alone, flags=(SHIFTED_POOL,))
    return [alone, *entries(attacks, ask, figures)], scores


def _signals(subject: Subject, who: Candidates, means: Means, copies: int) -> Signals:
    """Return what the adversary computes of the candidates, and of whom it knows to be left out."""
    if who.positions is None or who.population is None or subject.own is None:
        return signals_on(subject, who.encoded, None, 0, means, copies)
    everyone = np.concatenate([who.positions, who.population])
    encoded = subject.own.pool.take(everyone)
    return signals_on(subject, encoded, everyone, len(who.population), means, copies)


def claim_on(subject: Subject, claim: Claim) -> tuple[Claim, str] | str:
    """Return a claim about records as one about what a coin fell for, with words for the change.

    A coin that fell for a person put in or left out all of its records, and those of whoever shares
    a text with it; one that fell for a document, all of its blocks: group privacy says what the
    claim leaves for so many. Or why none is left. Where some coins fell for one record alone, these
    are asked about (`one_run`), and the claim is as it stands.
    """
    whose = "text" if subject.config.data.group is None else "person"
    if subject.own is None:
        if whose == "text":
            return claim, ""
        return f"the coin is a person's, of how many records is {NOT_KNOWN} (see above)"
    sizes = rows_of_each(subject.own.coin_groups)
    if whose == "text" and (sizes == 1).any():
        return claim, ""
    rows = int(sizes.max())
    left = of_group(claim.epsilon, claim.delta, rows)
    if left is None:
        return f"the coin is a {whose}'s, and group privacy leaves nothing for {rows} records"
    return Claim(*left), f", {left[0]:.4g} at delta {left[1]:.3g} for a {whose}'s {rows}"


def one_run(
    subject: Subject,
    who: Candidates,
    scores: dict[str, np.ndarray],
    claim: Claim,
    curve: np.ndarray | None = None,
) -> Finding:
    """Return what one training with its coin shows of a claim about records.

    Over attacks and over how many are guessed the significance is shared (Bonferroni). Candidates
    whose coin fell for others too, as that of a text with twins does, are left out. curve: points
    [point, (epsilon, delta)] of the claim's mechanism; where they are known, they decide.
    """
    alone = _alone(subject, who)
    members, count = who.members[alone], int(alone.sum())
    share = SIGNIFICANCE / max(1, len(scores))
    bounds = {
        name: one_run_from_scores(each[alone], members, claim.delta, share)
        for name, each in scores.items()
    }
    best = max(bounds, key=lambda name: bounds[name], default="no attack")
    everything = one_run_from_scores(members.astype(float), members, claim.delta, share)
    how = f"one run by a fair coin, {best}"
    what = "release, each record by membership"
    more = ""
    if everything <= claim.epsilon and curve is None:
        more = needed(claim, share, float(members.mean()), count)
    found = Finding(what, claim, bounds.get(best, 0.0), everything, count, SIGNIFICANCE, how, more)
    if curve is None:
        return found
    perfect = curve_refuted(members.astype(float), members, curve, share)
    verdict = CONSISTENT if perfect else TOO_WEAK
    if any(curve_refuted(each[alone], members, curve, share) for each in scores.values()):
        verdict = VIOLATES
    if verdict == TOO_WEAK:
        more = needed_by_curve(curve, share, float(members.mean()), count)
    return replace(found, by_curve=verdict, more=more)


def _alone(subject: Subject, who: Candidates) -> np.ndarray:
    """Return whose coin fell for that candidate alone [candidate] bool; all where none's did."""
    if subject.own is None or who.positions is None or subject.config.data.group is not None:
        return np.ones(len(who.members), dtype=bool)
    groups = subject.own.coin_groups
    found, counts = np.unique(groups, return_counts=True)
    alone = np.isin(groups[who.positions], found[counts == 1])
    return alone if alone.any() else np.ones(len(who.members), dtype=bool)
