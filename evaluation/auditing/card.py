"""Audit of one model: its manifest, its mechanisms, and what adversaries recover; as a card."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from evaluation.attacking.claims import flagged
from evaluation.attacking.loop import Head
from evaluation.auditing import forward, manifest
from evaluation.auditing.differences import CLOSE
from evaluation.auditing.live import recorded
from evaluation.auditing.means_and_cost import Judge, cost_of, means_of
from evaluation.auditing.mechanisms.isolation import audit_any
from evaluation.auditing.mechanisms.message import Sending, audit_message
from evaluation.auditing.membership import (
    Candidates,
    candidates_of,
    claim_on,
    membership,
    one_run,
)
from evaluation.auditing.needed import needed
from evaluation.auditing.record_list import check_place
from evaluation.auditing.record_risk import LISTED, lira_of, ranked, records_of, write_risk
from evaluation.auditing.released_head import head_checks
from evaluation.auditing.request import Request, limits
from evaluation.auditing.subject import NOT_KNOWN, Subject, open_subject, spec_of
from evaluation.auditing.subject_in_words import named, sentences
from evaluation.auditing.verdict import Claim
from evaluation.grid.foreign import is_foreign
from evaluation.grid.spec import PLACES, DefenceSpec
from fedbert.data.batches import Encoded
from fedbert.errors import InputError
from fedbert.known_facts import facts_before, known_of
from fedbert.manifest import released_sha256
from fedbert.one_message.codes import codes_of
from fedbert.one_message.facts import layout_of
from fedbert.tasks import with_columns
from privacy.allowed import allowed_by_line
from privacy.defence import over_rounds
from privacy.message_claims import event_of
from reports.card.content import (
    CONSISTENT,
    NOT_MEASURED,
    TOO_WEAK,
    VIOLATES,
    Card,
    Check,
)
from reports.leak import LeakageEntry
from reports.tradeoff import Allowed
from reports.wording import what_is_allowed

NO_MECHANISM = ("penalty",)


def audit(directory: Path, request: Request, judge: Judge | None = None) -> Card:
    """Return the card of a checkpoint or a transformers directory.

    judge: measures what it costs, where the training's own data can be had.

    Raises:
        InputError: in one line, for whatever cannot be audited or would have to be run to be read.
    """
    if request.records is not None:
        check_place(request.records, (directory,))
    subject = open_subject(directory, request.task, request.data, request.public)
    if request.text or request.pair or request.label:
        read = with_columns(subject.task, request.text, request.pair, request.label)
        subject = replace(subject, task=read)
    if subject.checkpoint is None and request.members is None:
        raise InputError(
            "expected --members (and --non-members) for a model without a manifest, got none: "
            f"nobody says what {directory} was trained on"
        )
    shadows = request.means.shadows > 0
    candidates = candidates_of(
        subject, request.members, request.non_members, request.fair_coin, told=shadows
    )
    listed = None
    if request.records is not None:
        listed = ranked(subject, records_of(subject, request.members, request.data))
    began = time.perf_counter()
    measured, scores = _told_apart(subject, candidates, request)
    seconds = {"membership": time.perf_counter() - began}
    measured += _read_off(subject, request)
    seconds["inversion"] = time.perf_counter() - began - seconds["membership"]
    allowed = manifest.allowed(subject) + _asked(subject, request.claim)
    measured = flagged(measured, allowed)
    checks = [
        *_manifest(subject),
        *_live(subject),
        *_isolation(subject),
        *_messages(subject),
        *head_checks(subject),
        *_records(subject, candidates, scores, request.claim),
        *limits(request, measured),
    ]
    told = sentences(subject) + tuple(map(what_is_allowed, allowed))
    about = named(subject, candidates)
    if request.records is not None and listed is not None:
        about[LISTED] = write_risk(request.records, listed, candidates, lira_of(scores))
    own = None if subject.checkpoint is None else subject.checkpoint.manifest
    return Card(
        about,
        told,
        tuple(checks),
        tuple(measured),
        live=None if own is None else recorded.curve_of(own, subject.directory),
        means=means_of(request, candidates),
        seconds={phase: round(each, 3) for phase, each in seconds.items()},
        made=datetime.now(UTC).date().isoformat(),
        model_sha256="" if own is None else released_sha256(own),
        cost=cost_of(subject, judge),
        allowed_tpr=manifest.allowed_tpr(subject, allowed),
    )


def _told_apart(
    subject: Subject, candidates: Candidates | str, request: Request
) -> tuple[list[LeakageEntry], dict[str, np.ndarray]]:
    """Return who tells members, and the attacks' scores; or why nobody could be asked about."""
    if isinstance(candidates, str):
        return [Head("release", "all", "membership").not_measured(candidates)], {}
    return membership(subject, candidates, request.means)


def _asked(subject: Subject, claim: tuple[float, float] | None) -> list[Allowed]:
    """Return what the claim that was asked about allows: of the mechanism nothing is known."""
    if claim is None or subject.config.data.group is not None:
        return []
    line = allowed_by_line(*claim)
    return [Allowed("release", "record", line.points, line.advantage, line.basis)]


def _live(subject: Subject) -> Iterator[Check]:
    if subject.checkpoint is not None:
        yield from recorded.checks_of(subject.checkpoint.manifest, subject.directory)


def _manifest(subject: Subject) -> Iterator[Check]:
    """Yield whether hashes and recorded figures hold (`open_subject` has refused broken hashes)."""
    if subject.checkpoint is None:
        return
    count = len(subject.checkpoint.manifest["sha256"])
    whole = f"all {count} files are as they were written"
    yield Check("manifest: hashes", CONSISTENT, whole, tests=False)
    yield _noise(subject)
    wrong = manifest.mismatches(subject)
    name = "manifest: recorded epsilon"
    for line in wrong:
        yield Check(name, VIOLATES, line)
    claims = manifest.claims_of(subject)
    for line in manifest.not_checked(subject):
        yield Check("manifest: schedule", NOT_MEASURED, line)
    if not wrong and claims:
        views: dict[str, list[str]] = {}  # of what follows for each
        for claim in claims:
            again = manifest.recomputed(subject, claim)
            if again is not None:
                views.setdefault(f"{again[0]:.4g} ({again[1]})", []).append(claim["view"])
        told = "; ".join(f"{', '.join(who)}: {what}" for what, who in views.items())
        yield Check(name, CONSISTENT, f"recomputed {told}")


def _noise(subject: Subject) -> Check:
    """Return whether the noise can be made again, which undoes whatever is claimed of it."""
    claims = manifest.claims_of(subject)
    if subject.config.noise == "secret":
        told = "secret: its key is kept nowhere"
        return Check("manifest: noise", CONSISTENT, told, tests=bool(claims))
    told = "repeatable: whoever has seed, data and settings can make it again and take it off"
    if not claims:
        return Check("manifest: noise", CONSISTENT, f"{told}; nothing is claimed", tests=False)
    why = f'{told}; the epsilons claimed hold for secret noise alone: train with noise = "secret"'
    return Check("manifest: noise", VIOLATES, why)


def _isolation(subject: Subject) -> Iterator[Check]:
    """Yield what each mechanism shows by itself of what one release of it costs."""
    if subject.checkpoint is None:
        return
    yield from _foreign(spec_of(subject.checkpoint))
    if subject.defence is None:
        return
    for place in PLACES:
        mechanism = None if place in NO_MECHANISM else getattr(subject.defence, place)
        if mechanism is None:
            continue
        found = audit_any(mechanism, subject.delta, subject.config.seed)
        if found is not None:
            what = "one release" if over_rounds(mechanism) is None else "over rounds"
            name = f"{place}: {found.what} in isolation, {what}"
            yield found.check(name)


def _messages(subject: Subject) -> Iterator[Check]:
    """Yield what a training's whole message, its label with it, shows of one release of it."""
    checkpoint, defence = subject.checkpoint, subject.defence
    if not subject.one_message or checkpoint is None or defence is None:
        return
    config = checkpoint.config
    event = event_of(defence, replace(facts_before(config), message=known_of(config)))
    if event is not None:
        sending = Sending(defence, layout_of(config), codes_of(subject.task))
        found = audit_message(sending, event, subject.delta, config.seed)
        yield found.check(f"{found.what} in isolation, one release")


def _foreign(spec: DefenceSpec) -> Iterator[Check]:
    """Yield that a mechanism of somebody else's cannot be tried: no manifest has code imported."""
    for place in PLACES:
        named = getattr(spec, place)
        if named is not None and is_foreign(named):
            why = f"{named.name!r} is code that the manifest names, and an audit imports none"
            yield Check(f"{place}: in isolation, one release", NOT_MEASURED, why)


def _records(
    subject: Subject,
    candidates: Candidates | str,
    scores: dict[str, np.ndarray],
    asked: tuple[float, float] | None,
) -> Iterator[Check]:
    """Yield what membership shows of every claim about records against the release view."""
    claims = [
        (Claim(each["epsilon"], each["delta"]), manifest.sampled_curve(subject, each))
        for each in manifest.claims_of(subject)
        if each["view"] == "release" and each["unit"] == "record"
    ]
    if asked is not None:
        yield from _against_the_ledger(subject, asked)
        claims.append((Claim(*asked), None))
    for claim, curve in claims:
        name = f"release: epsilon {claim.epsilon:.4g} at delta {claim.delta:g} for each record"
        on = claim_on(subject, claim)
        if isinstance(candidates, str):
            yield _no_bound(name, claim, f"membership is not measured: {candidates}")
        elif not candidates.fair:
            why = "a bound from one training needs half of the records left out by a fair coin"
            how = "train with hold_out = 0.5 (--fair-coin, where that was done)"
            yield _no_bound(name, claim, f"{why}: {how}")
        elif isinstance(on, str):
            yield _no_bound(name, claim, on)
        else:
            own = None if on[1] else curve  # of one record, and of nothing else
            found = one_run(subject, candidates, scores, on[0], own)
            yield found.check(name + on[1])


def _no_bound(name: str, claim: Claim, why: str) -> Check:
    """Return that nothing bounds a claim's epsilon, why, and what could have contradicted it."""
    numbers = {"epsilon_at_least": 0.0, "epsilon_claimed": claim.epsilon, "delta": claim.delta}
    return Check(name, TOO_WEAK, why, numbers, more=needed(claim))


def _against_the_ledger(subject: Subject, asked: tuple[float, float]) -> Iterator[Check]:
    """Yield whether the recorded noise supports a claim that was asked about."""
    epsilon, delta = asked
    for claim in manifest.claims_of(subject):
        if claim["view"] != "release" or claim["unit"] not in ("record", "client"):
            continue
        again = manifest.recomputed(subject, {**claim, "delta": delta})
        if again is None:
            continue
        name = f"release: epsilon {epsilon:g} at delta {delta:g} by the recorded noise"
        verdict = VIOLATES if again[0] > epsilon * (1 + CLOSE) else CONSISTENT
        told = f"for each {claim['unit']} it gives {again[0]:.6g} ({again[1]})"
        yield Check(name, verdict, told)


def _read_off(subject: Subject, request: Request) -> list[LeakageEntry]:
    """Return what is read off the forward view of the given text, or the training's own."""
    text: Encoded | None = None
    auxiliary: Encoded | None = None
    for path in (request.members, request.non_members):
        if path is not None:
            read = subject.encoded(path)
            text, auxiliary = (read, auxiliary) if text is None else (text, read)
    if text is None and subject.own is not None:
        own = subject.own
        chosen = np.ones(len(own.pool), dtype=bool) if own.members is None else own.members
        text = own.pool.take(np.flatnonzero(chosen))
        if own.members is not None and subject.task.kind != "mlm":
            auxiliary = own.pool.take(np.flatnonzero(~chosen))
    if subject.checkpoint is None and request.max_token_recovery is None:
        why = "nobody is known to split this model; --max-token-recovery asks as if somebody did"
        return [forward.EVERY.not_measured(why)]
    if text is None:
        why = f"no text is given, and the training's own is {NOT_KNOWN} (see above)"
        return [forward.EVERY.not_measured(why)]
    return forward.inversion(subject, text, auxiliary, subject.config.seed)
