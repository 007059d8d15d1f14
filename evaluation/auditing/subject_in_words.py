"""Audit subject in words: what was audited, what may be wrong with it, and what it claims."""

from evaluation.auditing import manifest
from evaluation.auditing.live import recorded
from evaluation.auditing.membership import Candidates
from evaluation.auditing.subject import NOT_KNOWN, Subject, doubts_of
from evaluation.grid.asked import SPEAKS_FOR
from evaluation.grid.spec import PLACES
from fedbert.stopped import aside
from reports.live import in_words

NOISE = {
    "secret": "secret: its key is kept nowhere",
    "repeatable": "repeatable: whoever has seed and settings makes it again and takes it off",
}
ABOVE_ASKED = 1e-3
"""By what share a claim may pass its target before a card says so: calibration is this close."""


def named(subject: Subject, candidates: Candidates | str) -> dict[str, str]:
    """Return what was audited, by name; candidates: or why there are none."""
    told = {"name": subject.directory.name, "task": subject.task.name}
    found = doubts_of(subject)
    found += () if isinstance(candidates, str) else candidates.doubts
    if found:
        told["may be wrong"] = "; ".join(dict.fromkeys(found))
    if subject.checkpoint is not None:
        config = subject.checkpoint.config
        told["strategy"] = config.training.strategy
        done, planned = subject.checkpoint.manifest["round"], config.training.rounds
        stopped = aside(subject.directory.resolve().parent)
        unfinished = f"{done} of {planned}: not finished{stopped}"
        told["rounds"] = str(done) if done == planned else unfinished
        if subject.one_message:
            told["rounds"] = "none: one message of each record"
        told["noise"] = NOISE[config.noise]
        told["defence"] = str(subject.checkpoint.manifest["defence"].get("name", ""))
        if above := _more_than_asked(subject):
            told["asked for"] = above
        shown = recorded.shown_of(subject.checkpoint.manifest, subject.directory)
        if shown is not None:
            told["live audit"] = in_words(shown)
    if subject.split.notes:
        told["model"] = "; ".join(subject.split.notes)
    if subject.unknown:
        told[NOT_KNOWN] = subject.unknown
    if subject.no_public:
        told["public text not known"] = subject.no_public
    if not isinstance(candidates, str):
        shifted = "; not half by a fair coin, so that a shifted pool is possible"
        doubt = "" if candidates.fair else shifted
        count = f"{len(candidates.members)} texts, {int(candidates.members.sum())} trained on"
        told["candidates"] = f"{count}: {candidates.origin}{doubt}"
    return told


def _more_than_asked(subject: Subject) -> str:
    """Say where a claim came out above the epsilon that its mechanism was asked for, and why."""
    if subject.checkpoint is None:
        return ""
    kept = subject.checkpoint.manifest
    found = []
    for claim in manifest.claims_of(subject):
        places = [p for p in PLACES if claim["view"] in SPEAKS_FOR.get(p, ())]
        asked = [kept["defence"].get(place, {}).get("target_epsilon") for place in places]
        targets = [float(each) for each in asked if isinstance(each, int | float)]
        own = claim["unit"] != "user"  # a target is that of one record
        if own and targets and claim["epsilon"] > max(targets) * (1 + ABOVE_ASKED):
            found.append(
                f"epsilon {max(targets):g}, claimed {claim['epsilon']:.4g} ({claim['view']})"
            )
    again = len(kept.get("launches", [])) > 1
    why = ": what a stop made it do again counts as well" if found and again else ""
    return "; ".join(dict.fromkeys(found)) + why


def sentences(subject: Subject) -> tuple[str, ...]:
    """Return what the manifest claims, a sentence each."""
    if subject.checkpoint is None:
        return ()
    return tuple(each["sentence"] for each in subject.checkpoint.manifest.get("guarantees", []))
