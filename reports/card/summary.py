"""Card in short: the verdict in plain words, and what a manager has to know, a sentence each."""

from collections.abc import Sequence

from reports.card.content import (
    ABOVE,
    CONSISTENT,
    FAILED,
    NOT_MEASURED,
    TOO_WEAK,
    VIOLATES,
    WEAK,
    Card,
    Check,
)
from reports.comparison import capital
from reports.estimate import Estimate
from reports.leak import Leak
from reports.leaks import worst, worst_reading
from reports.metrics import title
from reports.plain import achieves, reaches
from reports.wording import at_most, outward

PLAIN = {
    VIOLATES: "Do not ship: a claim about this model does not hold.",
    ABOVE: "Do not ship: an attack passed a limit that was set.",
    TOO_WEAK: "Undecided: a claim could not be put to the test. This audit clears nothing to ship.",
    NOT_MEASURED: "Undecided: something that was asked for could not be measured.",
    CONSISTENT: "No objection: no fault was found in what is claimed. That is no proof.",
}
STRONGER = "--shadows"
UNTESTED = "Nothing was tested: there is no claim, and no limit was set."


def in_short(card: Card) -> tuple[str, ...]:
    """The verdict in plain words; who reads text; who finds members; how sure that is."""
    return (PLAIN.get(card.verdict, UNTESTED), _text(card), _members(card), _sure(card))


def weak(card: Card) -> tuple[str, ...]:
    """What was too weak to say: the bound that it came to, the claim, what could tell; a line each.

    Of what is no bound on epsilon, the figures behind it.
    """
    return tuple(
        f"too weak: {each.what}: {_came_to(each)}{f'; it would take {each.more}' * bool(each.more)}"
        for each in card.checks
        if each.verdict == TOO_WEAK
    )


def _came_to(check: Check) -> str:
    """The bound of a check beside its claim; else what is behind it."""
    found = check.numbers
    if "epsilon_at_least" not in found:
        return check.detail
    told = (
        f"the bound came to epsilon {found['epsilon_at_least']:.3g}, claimed are "
        f"{found['epsilon_claimed']:.4g} at delta {found['delta']:g}"
    )
    if "epsilon_reachable" not in found:
        return f"{told} ({check.detail})"
    most = found["epsilon_reachable"]
    return f"{told}; {found['samples']:g} samples could show {most:.3g} at most"


def answers(card: Card) -> tuple[tuple[str, str], ...]:
    """What a manager asks, and what the card says of it."""
    _, text, members, sure = in_short(card)
    which = card.subject.get(AT_RISK)
    listed = f"At risk: {which}." if which else LISTED
    told = (text.removeprefix("The text: "), members.removeprefix("Who was trained on: "), sure)
    read, found, certain = (capital(each.removeprefix("How sure: ")) for each in told)
    return (
        ("Who can read my text?", read),
        ("Which records are at risk?", f"{found} {listed}"),
        ("What does it cost?", _cost(card)),
        ("How sure is that?", f"{certain} {ATTACKS}"),
    )


AT_RISK = "records at risk"
"""The subject's entry that says how many records were listed."""
LISTED = "This card names nobody: audit run --records FILE lists whom the model puts most at risk."
BESIDE = (
    "What a model without protection would reach stands in a grid's report (fedbert-eval report)."
)
COST = (
    "An audit measures no utility and no price: the report of a grid sets accuracy, bytes and "
    "seconds beside those of undefended training (fedbert-eval report)."
)
ATTACKS = (
    "The figures speak of the attacks that were run: others may do better, and only a guarantee "
    "bounds those."
)
SPEAKS = "An audit can find that a claim is false, and cannot prove that one is true."
LEAST = 0.05
"""A bound on epsilon below this says nothing."""
UNCLAIMED = "Nothing is claimed of this model: weigh the figures below."


def _cost(card: Card) -> str:
    """The utility on the training's evaluation data, and what the commonest answer reaches."""
    found = card.cost.get("utility", {})
    if not found:
        return COST
    name, value = next(iter(found.items()))
    constant = card.cost.get("majority_baseline", {}).get(name)
    guess = "unknown" if constant is None else f"{constant:.3f}"
    told = f"{capital(title(name))} {outward(Estimate.from_json(value))}; the commonest answer"
    return f"{told} alone reaches {guess}. {BESIDE}"


SILENT = "no activations are sent"
ALONE = "Who trains holds all the text and reads it; nothing is sent to another."
UPDATES = (
    "No activations are sent while it trains; updates are, and what they tell of the text was not "
    "measured."
)
OPEN = "Whether anyone who has the model can read any of it was not measured."


def _text(card: Card) -> str:
    """Who reads text, by the first metric that any attack was judged by."""
    leak = worst_reading(card.leaks)
    if leak is None:
        why = _why(card, "inversion")
        if why.endswith(SILENT):
            alone = card.subject.get("strategy") == "centralised"
            return f"{ALONE if alone else UPDATES} {OPEN}"
        return f"Whether anybody can read the text was not measured{why}."
    return f"The text: {reaches(leak)}."


def _members(card: Card) -> str:
    """Who finds members, where few may be accused wrongly and over all; what did not run."""
    few, area = (worst(card.leaks, "membership", each) for each in ("tpr_at_1pct_fpr", "auc"))
    leak = few or area
    if leak is None:
        return f"Whether members can be told was not measured{_why(card, 'membership')}."
    over = f"; overall, {achieves(area)}" if few and area else ""
    lacking = any(not isinstance(e, Leak) and STRONGER in e.reason for e in card.measured)
    more = f" Stronger attacks did not run: they take {STRONGER} 16." if lacking else ""
    most = card.allowed_tpr if few and card.verdict != VIOLATES else None
    bound = "" if most is None else f" By the promise no attack recognises over {at_most(most)} so."
    return f"Who was trained on: {reaches(leak)}{over}.{bound}{more}"


def _why(card: Card, family: str) -> str:
    """The first reason why attacks of a family did not run, as a clause."""
    every = (e for e in card.measured if not isinstance(e, Leak) and e.family == family)
    first = next(every, None)
    return f": {first.reason}" if first is not None else ""


def _sure(card: Card) -> str:
    """What was put to the test: where a fault was found, what could not be told, what stood."""
    tests = [each for each in card.checks if each.tests]
    if not tests:
        return f"How sure: nothing was there to be contradicted.{_watched(card)}"
    failed = [each for each in tests if each.verdict in FAILED]
    silent = [each for each in tests if each.verdict in WEAK]
    stood = [each for each in tests if each not in (*failed, *silent)]
    told = [f"a fault was found in {_listed(failed)}"] if failed else []
    told += [f"not to be told: {_listed(silent)}"] if silent else []
    names = "; ".join(each.what for each in stood)
    told += [f"put to the test, and not contradicted: {names}"] if stood else []
    return f"How sure: {'. '.join([told[0], *map(capital, told[1:])])}.{_watched(card)}"


def _listed(checks: Sequence[Check]) -> str:
    """The first of some checks with its verdict and what is behind it, the others by name."""
    first, *others = checks
    told = f'"{first.what}" ({first.verdict}: {first.detail})'
    return "; ".join([told, *(f'"{each.what}" ({each.verdict})' for each in others)])


def _watched(card: Card) -> str:
    """What a live audit of the training saw, where there was one that found no fault."""
    if card.live is None or card.live["fault"] or not card.live["points"]:
        return ""
    shown, last = card.live["shown"], card.live["points"][-1]
    if not shown["canaries"]:
        return " While it was trained its noise was watched, and no fault found."
    bound = last.get("bound") or 0.0
    least = f", an epsilon of {bound:.2g} or more" if bound >= LEAST else ", too few for a bound"
    return (
        f" While it was trained {shown['canaries']} canaries were watched: no fault was found"
        f"{least}."
    )
