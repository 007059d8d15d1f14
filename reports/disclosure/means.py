"""Means of the attackers of a disclosure: what each knew, how much it asked, its time and cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.disclosure.facts import Disclosure
from reports.leak import Leak

PHASES = {
    "membership": (
        "who tells members",
        "the released model, its settings, the candidates' texts and labels, other texts of the "
        "same kind; models of its own where it trains any",
    ),
    "inversion": (
        "who reads messages",
        "what crosses between client and server, the clients' embeddings, the mechanism and its "
        "settings, public text of the same kind",
    ),
    "updates": (
        "who reads updates",
        "each round's model and what is sent back of it, the mechanism and its settings",
    ),
    "pooled": (
        "who reads pooled vectors",
        "the vectors, the public encoder, text of the same kind with its vectors",
    ),
    "attributes": (
        "who infers attributes",
        "what crosses, the mechanism, text of the same kind whose attribute is known",
    ),
}
"""By a record's phase: who attacks in it, and what is assumed to be known."""
UPDATES = ("aggregator", "peer")


@dataclass(frozen=True)
class Attacker:
    """One kind of attacker.

    asked: the most records, tokens or messages that one of its numbers counts. models: that it
    trained or had besides. seconds: of all its attacks together, on one machine; None where nobody
    looked at a clock. core_hours: those seconds on so many threads.
    """

    who: str
    knows: str
    attacks: tuple[str, ...]
    asked: int
    unit: str
    models: int
    seconds: float | None
    core_hours: float | None

    def to_json(self) -> dict[str, Any]:
        """The attacker as plain JSON."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items()}


def attackers(found: Disclosure) -> list[Attacker]:
    """Every kind of attacker that was tried, with its means."""
    means = found.part("attacks")
    by_phase: dict[str, list[Leak]] = {}
    for leak in found.row.leaks:
        by_phase.setdefault(_phase(leak, means), []).append(leak)
    threads = found.first.provenance.get("threads", 1)
    made = []
    for phase, leaks in by_phase.items():
        most = max(leaks, key=lambda each: each.estimate.n)
        seconds = found.seconds.get(phase)
        trained = _count(means, "shadows") + _count(means, "references")
        made.append(
            Attacker(
                *PHASES[phase],
                attacks=tuple(dict.fromkeys(each.name for each in leaks)),
                asked=most.estimate.n,
                unit=most.unit,
                models=trained if phase == "membership" else 0,
                seconds=seconds,
                core_hours=None if seconds is None else seconds * threads / 3600,
            )
        )
    return made


def _phase(leak: Leak, means: Mapping[str, Any]) -> str:
    """In which phase of a record an attack ran."""
    if leak.family == "membership":
        return "membership"
    if leak.metric.startswith("attribute_"):
        return "attributes"
    if leak.view in UPDATES:
        return "updates"
    return "pooled" if leak.attack in _names(means.get("pooled", ())) else "inversion"


def _names(attacks: Any) -> list[str]:
    """The names of attacks as a grid writes them."""
    return [each["attack"] if isinstance(each, Mapping) else str(each) for each in attacks]


def _count(means: Mapping[str, Any], key: str) -> int:
    value = means.get(key)
    return value if isinstance(value, int) else 0
