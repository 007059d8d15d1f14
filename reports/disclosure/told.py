"""Disclosure as text: the fields of its JSON, in the order in which they are asked for."""

from typing import Any

from reports.disclosure.facts import (
    FLOATING_POINT,
    NO_GUARANTEE,
    NOT_MEASURED,
    NOT_STATED,
    NOTHING_SENT,
    RATES,
    WORDS,
    Actor,
    Disclosure,
    Promise,
    spent,
)
from reports.disclosure.means import attackers
from reports.disclosure.persons import ADVICE, persons
from reports.leak import Leak, NotMeasured
from reports.live import in_words
from reports.metrics import title
from reports.plain import WHO
from reports.rows import round_up
from reports.wording import beside, decimal, duration, interval

FIRST = ("name", "curators", "description", "intended_use", "region", "published")
LAST = ("person", "preprocessing", "tuning", "refresh", "justification", "test_again", "authors")
SUBGROUPS = "utility of single groups of people"
GROUPS_HOLD = "one seed; the intervals hold together"


def as_markdown(found: Disclosure) -> str:
    """The disclosure as a document of a few pages."""
    row = found.row
    promised = "\n".join(
        f"- {_plain(each.sentence)}" for actor in found.actors for each in actor.promises
    )
    parts = {
        "": f"{_said(found, FIRST)}\n- this document was made on: {found.made}",
        "Who is trusted with what": _actors(found),
        "The worst case of one person": _persons(found),
        "What is promised": promised,
        "What it rests on": _rests(found),
        "What it costs": _utility(found),
        "What attackers had, and what they found": _attackers(found),
        "What only you can say": _said(found, LAST),
    }
    blocks = [f"# Disclosure: {_plain(f'{row.task}, {row.strategy}, {row.name}')}"]
    blocks += [f"## {name}\n\n{text}" if name else text for name, text in parts.items()]
    return "\n\n".join(blocks) + "\n"


def _said(found: Disclosure, keys: tuple[str, ...]) -> str:
    lines = []
    for key in keys:
        value = found.words.get(key, NOT_STATED)
        text = ", ".join(value) if isinstance(value, list | tuple) else str(value)
        if key == "test_again" and text < found.made:
            text += ", which has passed"
        lines.append(f"- {WORDS[key]}: {_plain(text)}")
    return "\n".join(lines)


def _actors(found: Disclosure) -> str:
    heads = (
        "view", "who", "unit", "epsilon", "delta", "found at 0.1, 1, 10 % false alarms at most",
        "advantage at most", "worst membership measured", "worst reading of text measured",
    )  # fmt: skip
    rows = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for actor in found.actors:
        for promise in actor.promises:
            rows.append(f"| {' | '.join(_cells(actor, promise))} |")
    return "\n".join(rows)


def _cells(actor: Actor, promise: Promise) -> list[str]:
    entry, allows = promise.entry, promise.allows
    if promise.claimed:
        claim = [f"{entry['unit']}, {entry['relation']}", round_up(float(entry["epsilon"]))]
        claim.append(f"{float(entry['delta']):g}")
    else:
        claim = ["-", str(entry.get("kind", NO_GUARANTEE)), "-"]
    curve = [NOT_MEASURED if promise.claimed else "-"] * 2
    if allows is not None:
        rates = ", ".join(f"{_up(allows.tpr_at(rate)):.3f}" for rate in RATES)
        curve = [rates, f"{_up(allows.advantage):.3f}"]
    if entry.get("kind") == NOTHING_SENT:
        return [actor.view, WHO[actor.view], *claim, *curve, "-", "-"]
    measured = ["as above"] * 2
    if promise is actor.first:
        measured = [_worst(actor.members), _worst(actor.text)]
    return [actor.view, WHO[actor.view], *claim, *curve, *measured]


def _persons(found: Disclosure) -> str:
    """What is left for persons with one record and with several; how measured rates are meant."""
    lines = []
    for each in persons(found):
        of = f"{each.records} {each.unit}s" if (each.records or 1) > 1 else f"one {each.unit}"
        rates = ", ".join(f"{_up(each.allows.tpr_at(rate)):.3f}" for rate in RATES)
        lines.append(
            f"- a person, or a text, with {of}: found at 0.1, 1, 10 % false alarms at most "
            f"{rates}, advantage at most {_up(each.allows.advantage):.3f} "
            f"({_plain(each.allows.basis)})"
        )
    none = f"- nothing is bounded for anyone who has the model: {NO_GUARANTEE}"
    advice = f"- {ADVICE}; measured rates are means over candidates, and single ones fare worse"
    return "\n".join([*(lines or [none]), advice])


def _up(value: float) -> float:
    """A rate to three decimals, never rounded down."""
    return min(1.0, -(-int(value * 1e6 + 0.999) // 1000) / 1000)


def _worst(leak: Leak | None) -> str:
    if leak is None:
        return NOT_MEASURED
    value = f"{title(leak.metric)} {interval(leak.estimate)}, {beside(leak)}"
    return _plain(f"{leak.name}: {value}")


def _rests(found: Disclosure) -> str:
    record = found.first
    lines = [f"- noise: {found.noise}"]
    for actor in found.actors:
        for entry in (each.entry for each in actor.promises if each.claimed):
            counted = f"{entry['accountant']}; {entry['releases']} releases"
            lines.append(f"- accounting of {actor.view} ({entry['unit']}): {_plain(counted)}")
    for place, entry in record.mechanisms.items():
        told = [_plain(str(entry["name"]))]
        if entry.get("clip_norm") is not None:
            told.append(f"clip {entry['clip_norm']:g}")
        if entry.get("noise_std"):
            told.append(f"noise of standard deviation {entry['noise_std']:.6g}")
        told += spent(entry.get("cost"))
        lines.append(f"- mechanism at {place}: {', '.join(told)}")
    chosen = found.part("defence").get("chosen_among")
    if chosen:
        among = f"the best of {chosen['mean']:g} trainings on average, counted in the claim"
        lines.append(f"- settings: {among}")
    lines.append(f"- floating point: {FLOATING_POINT}")
    lines.append(f"- code: {_versions(record.provenance)}")
    lines += [f"- may be wrong: {_plain(doubt)}" for doubt in record.doubts]
    return "\n".join(lines)


def _versions(provenance: dict[str, Any]) -> str:
    commit = provenance.get("commit") or "no commit known"
    dirty = ", with changes" if provenance.get("dirty") else ""
    versions = ", ".join(f"{n} {v}" for n, v in provenance.get("versions", {}).items())
    return f"{commit}{dirty}; {versions}"


def _utility(found: Disclosure) -> str:
    row = found.row
    if row.utility is None:
        return f"- utility: {NOT_MEASURED} (an audit measures it where the training's data are)"
    constant = f"the commonest answer alone reaches {decimal(row.majority_baseline)}"
    over = f"{len(row.seeds)} seed{'s' if len(row.seeds) > 1 else ''}"
    lines = [
        f"- {title(row.metric)}: {interval(row.utility)} over {over}; {constant}",
        f"- comparison with undefended training: {row.comparison.value}",
    ]
    lines += [f"- {title(name)}: {interval(each)}" for name, each in row.utilities[1:]]
    groups = found.first.subgroups
    if not groups:
        lines.append(f"- {SUBGROUPS}: {NOT_MEASURED}")
    for way, estimates in groups.items():
        told = "; ".join(f"{name} {interval(each)}" for name, each in estimates.items())
        lines.append(f"- {_plain(f'{way} ({GROUPS_HOLD})')}: {_plain(told)}")
    return "\n".join(lines)


def _means(found: Disclosure) -> list[str]:
    """Every attacker's means, a line each; what an audit said of it all."""
    lines = []
    for each in attackers(found):
        took = NOT_MEASURED if each.seconds is None else duration(each.seconds)
        if each.core_hours is not None:
            took += f", {each.core_hours:.2g} core-hours"
        own = f"{each.models} models of its own" if each.models else "no model of its own"
        lines.append(
            f"- {each.who}: by {_plain(', '.join(each.attacks))}; knows {each.knows}; asked of "
            f"{each.asked} {each.unit}s at most; {own}; time and cost: {took}"
        )
    if found.watched is not None:
        lines.append(f"- while it trained: {_plain(in_words(found.watched))}")
    if found.audit is None:
        return lines
    lines.append(f"- audit of {_plain(str(found.audit.get('made')))}: {found.audit['verdict']}")
    for check in found.audit["checks"]:
        told = f"{check['what']}: {check['verdict']}: {check['detail']}"
        lines.append(f"- audit: {_plain(told)}")
    return lines


def _attackers(found: Disclosure) -> str:
    lines = _means(found)
    for leak in found.row.leaks:
        lines.append(f"- {leak.view}, {_worst(leak)}")
    reasons: dict[tuple[str, str], list[str]] = {}
    for each in found.first.leakage:
        if isinstance(each, NotMeasured):
            reasons.setdefault((each.view, each.reason), []).append(each.attack)
    for (view, why), names in reasons.items():
        lines.append(f"- {view}, {_plain(', '.join(names))}: {NOT_MEASURED} ({_plain(why)})")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """A text as one line of Markdown, in which nothing of it acts."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in line)
