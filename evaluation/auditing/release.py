"""The release view of an audited model: who was in the training data, and what that shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attacks.membership.signals import Signals, answers_of
from evaluation import leakage
from evaluation.auditing.canary_texts import joined
from evaluation.auditing.one_run import one_run_from_scores
from evaluation.auditing.subject import Subject
from evaluation.auditing.verdict import Claim, Finding
from evaluation.candidates import sides
from evaluation.catalogue import MEMBERSHIP, make_attack
from fedbert.batches import Batch, Encoded, collate, mask_tokens
from fedbert.config import InputError
from fedbert.seeding import generator, numpy_rng
from reports.card import Measured
from reports.records import Estimate

BATCH = 64
MOST = 4000  # candidates
SIGNIFICANCE = 0.05
FOLDS = 2


@dataclass(frozen=True)
class Candidates:
    """Examples to tell apart: inside [candidate] bool; `fair` where a fair coin chose them.

    judged: those that count for the membership figures (a member that no batch reached does not).
    """

    encoded: Encoded
    inside: np.ndarray
    judged: np.ndarray
    fair: bool
    origin: str


def candidates_of(
    subject: Subject, members: Path | None, non_members: Path | None, fair: bool
) -> Candidates | str:
    """Return who is to be told apart, or why that cannot be asked.

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
        inside, _ = sides(subject.config, own)
        return _joined(own.pool.take(inside), subject.encoded(non_members), False, "--non-members")
    seen, out = sides(subject.config, subject.own)
    pool = subject.own.pool
    _, first = np.unique(pool.documents, return_index=True)  # one block of each document
    chosen = np.sort(numpy_rng(subject.config.seed, "audit").permutation(first)[:MOST])
    inside = subject.own.members[chosen]
    judged = np.isin(chosen, np.concatenate([seen, out]))
    half = subject.config.data.hold_out == 0.5
    return Candidates(pool.take(chosen), inside, judged, half, "the pool, by the training's coin")


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


def membership(subject: Subject, who: Candidates) -> tuple[list[Measured], dict[str, np.ndarray]]:
    """Return the membership figures of every attack of the catalogue, and the attacks' scores."""
    found, scores = [_text_alone(subject, who)], {}
    order = np.argsort(who.encoded.lengths, kind="stable")
    signals = Signals(answers_of(subject.split, _batches(subject, who.encoded, order)))
    for name in MEMBERSHIP:
        attack = make_attack(name, MEMBERSHIP, "score")
        lacking = attack.missing(signals)
        if lacking is not None:
            found.append(Measured(attack.view, attack.name, "auc", None, lacking))
            continue
        each = attack.score(signals)[np.argsort(order)]
        scores[attack.name] = each
        inside, outside = each[who.judged & who.inside], each[who.judged & ~who.inside]
        if min(len(inside), len(outside)) < 2:
            found.append(Measured(attack.view, attack.name, "auc", None, "too few candidates"))
            continue
        for metric, estimate in _figures(inside, outside):
            found.append(Measured(attack.view, attack.name, metric, estimate))
    return found, scores


def _figures(inside: np.ndarray, outside: np.ndarray) -> Iterator[tuple[str, Estimate]]:
    yield "auc", leakage.auc(inside, outside)
    yield "tpr_at_1pct_fpr", leakage.tpr_at_fpr(inside, outside, 0.01)


def _batches(subject: Subject, encoded: Encoded, order: np.ndarray) -> Iterator[Batch]:
    v = subject.vocabulary
    for start in range(0, len(order), BATCH):
        batch = collate(encoded, order[start : start + BATCH], v.pad)
        if subject.task.kind == "mlm":
            draws = generator(subject.config.seed, "audit mask", start)
            batch = mask_tokens(batch, v.mask, v.size, v.special, draws)
        yield batch


def _text_alone(subject: Subject, who: Candidates) -> Measured:
    """Return how well words alone tell members: at chance, unless the pool is shifted.

    Naive Bayes over tokens, each half scored by what the other half taught.
    """
    inside, encoded = who.inside, who.encoded
    rng = numpy_rng(subject.config.seed, "text alone")
    fold = rng.permutation(len(inside)) % FOLDS
    scores = np.zeros(len(inside))
    owner = np.repeat(np.arange(len(encoded)), encoded.lengths)
    for number in range(FOLDS):
        counts = []
        for side in (True, False):
            taught = (fold != number) & (inside == side)
            words = encoded.tokens[taught[owner]]
            counts.append(np.bincount(words, minlength=subject.vocabulary.size) + 1.0)
        odds = np.log(counts[0] / counts[0].sum()) - np.log(counts[1] / counts[1].sum())
        sums = np.bincount(owner, weights=odds[encoded.tokens], minlength=len(encoded))
        scores = np.where(fold == number, sums, scores)
    head = ("release", "text alone (no model)", "auc")
    if min(int(inside.sum()), int((~inside).sum())) < 2:
        return Measured(*head, None, "too few candidates")
    estimate = leakage.auc(scores[inside], scores[~inside])
    shifted = estimate.low > 0.5
    note = "members differ in their words alone: the pool is shifted" if shifted else ""
    return Measured(*head, estimate, note)


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
    more = _needed(claim, share)
    return Finding(what, claim, bounds.get(best, 0.0), everything, count, SIGNIFICANCE, how, more)


def _needed(claim: Claim, level: float) -> str:
    """Return how many candidates could contradict the claim, in words."""
    count = 16
    while count <= 2**15:
        perfect = np.arange(count) < count // 2
        if one_run_from_scores(perfect.astype(float), perfect, claim.delta, level) > claim.epsilon:
            return f"about {count} candidates by a fair coin"
        count *= 2
    return "white-box canaries: no number of candidates does in one run"
