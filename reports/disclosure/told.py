"""Disclosure as text and as JSON: the same fields, in the order in which they are asked for."""

import json
from collections.abc import Mapping
from typing import Any

from reports.disclosure.facts import (
    FLOATING_POINT,
    NO_GUARANTEE,
    NOT_MEASURED,
    NOT_STATED,
    RATES,
    WORDS,
    Actor,
    Disclosure,
    Promise,
)
from reports.leak import Leak, NotMeasured
from reports.metrics import title
from reports.plain import WHO
from reports.rows import round_up
from reports.wording import beside, decimal, duration, interval

PER_PERSON = "a claim about one record says less of a person with several (records_per_user)"
MECHANISM = ("name", "clip_norm", "noise_std", "cost")
SETTINGS = {
    "model": ("architecture", "cut_layer", "freeze_embeddings", "dropout", "pooling"),
    "data": ("task", "max_length", "clients", "records_per_user"),
    "training": (
        "strategy", "rounds", "local_steps", "batch_size", "clients_per_round", "participation",
        "learning_rate", "optimizer", "precision",
    ),
}  # fmt: skip
"""Settings that an export holds, too: no seed, no path, no hash of the data."""
PROVENANCE = ("commit", "dirty", "versions", "precision")
FIRST = ("name", "curators", "description", "intended_use", "region", "published")
LAST = ("person", "preprocessing", "tuning", "refresh", "justification", "test_again", "authors")
SUBGROUPS = "utility of single groups of people"
GROUPS_HOLD = "one seed; the intervals hold together"


def as_json(found: Disclosure) -> str:
    """The disclosure as JSON, numbers as numbers; of settings what an export holds as well."""
    row, record = found.row, found.first
    content = {
        "format": "fedbert-privacy disclosure",
        "version": 1,
        "setting": {
            "task": row.task,
            "strategy": row.strategy,
            "defence": row.defence,
            "level": row.level,
            "seeds": len(row.seeds),
            **dict(row.further),
        },
        "actors": [_actor_json(each) for each in found.actors],
        "noise": found.noise,
        "mechanisms": {p: _of(each, MECHANISM) for p, each in record.mechanisms.items()},
        "tuning": found.part("defence").get("chosen_among") or NOT_STATED,
        "utility": {
            "metric": row.metric,
            "estimate": None if row.utility is None else row.utility.to_json(),
            "majority_baseline": row.majority_baseline,
            "comparison": row.comparison.value,
            "subgroups": _groups_json(found),
        },
        "attackers": {
            "attacks": dict(found.part("attacks")),
            "seconds": found.seconds,
            "measured": [each.to_json() for each in row.leaks],
            "not_measured": [
                each.to_json() for each in record.leakage if isinstance(each, NotMeasured)
            ],
        },
        "doubts": record.doubts,
        "training": {part: _of(found.part(part), keys) for part, keys in SETTINGS.items()},
        "provenance": _of(record.provenance, PROVENANCE),
        "stated": {key: found.words.get(key, NOT_STATED) for key in WORDS},
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _of(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}


def _actor_json(actor: Actor) -> dict[str, Any]:
    return {
        "view": actor.view,
        "who": WHO[actor.view],
        "promises": [_promise_json(each) for each in actor.promises],
        "worst_membership": None if actor.members is None else actor.members.to_json(),
        "worst_inversion": None if actor.text is None else actor.text.to_json(),
    }


def _promise_json(promise: Promise) -> dict[str, Any]:
    found = {key: value for key, value in promise.entry.items() if key not in ("tradeoff", "view")}
    allows = promise.allows
    if allows is not None:
        found["allows"] = {
            "advantage": allows.advantage,
            "tpr_at": {f"{rate:g}": allows.tpr_at(rate) for rate in RATES},
            "basis": allows.basis,
        }
    return found


def as_markdown(found: Disclosure) -> str:
    """The disclosure as a document of a few pages."""
    row = found.row
    promised = "\n".join(
        f"- {_plain(each.sentence)}" for actor in found.actors for each in actor.promises
    )
    parts = {
        "": _said(found, FIRST),
        "Who is trusted with what": _actors(found),
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
    measured = ["as above"] * 2
    if promise is actor.first:
        measured = [_worst(actor.members), _worst(actor.text)]
    return [actor.view, WHO[actor.view], *claim, *curve, *measured]


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


def _groups_json(found: Disclosure) -> Any:
    """What every group gets, of the first seed."""
    return {
        way: {name: each.to_json() for name, each in estimates.items()}
        for way, estimates in found.first.subgroups.items()
    } or NOT_MEASURED


def _attackers(found: Disclosure) -> str:
    attacks = found.part("attacks")
    took = ", ".join(f"{phase} {duration(each)}" for phase, each in found.seconds.items())
    lines = [
        "- knowledge: the model's architecture and public weights, the mechanism and its settings; "
        f"held-out text of the same kind; {attacks.get('shadows') or 'no'} models of its own",
        f"- on how much: {attacks.get('candidates')} members and as many others, "
        f"{attacks.get('messages')} messages, at most",
        f"- time: {took or NOT_MEASURED}",
        f"- the worst case of one person: {PER_PERSON}; measured rates are means over candidates",
    ]
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
