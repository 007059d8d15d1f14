"""Leaks: every number that attacks recovered, and the worst that each adversary can do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from reports import metrics
from reports.averages import mean, mean_estimate
from reports.checks import VIEWS
from reports.records import CellResult, Estimate


@dataclass(frozen=True)
class Leak:
    """One attack's measured success; `chance` is what guessing would reach (None: unknown).

    `floor` is what a plain look-up should reach, `ceiling` the most that the guarantee allows;
    where there is none, `ceiling_basis` says why. `flags` are of `reports.metrics.FLAGS`: the
    interval of some seed lies wholly beyond a limit.
    """

    attack: str
    view: str
    family: str
    metric: str
    estimate: Estimate
    chance: float | None
    floor: Estimate | None = None
    ceiling: float | None = None
    ceiling_basis: str = ""
    flags: tuple[str, ...] = ()

    @property
    def alarms(self) -> tuple[str, ...]:
        """What each flag means, in a sentence."""
        return tuple(f"{self.attack} ({self.view}): {metrics.FLAGS[each]}" for each in self.flags)


def leaks(records: Sequence[CellResult]) -> tuple[Leak, ...]:
    """Every attack and metric that was measured, with its mean over seeds."""
    found: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for record in records:
        for entry in record.leakage:
            if "estimate" in entry:
                key = (entry["attack"], entry["view"], entry["family"], entry["metric"])
                found.setdefault(key, []).append(entry)
    return tuple(_mean_leak(key, entries) for key, entries in found.items())


def _mean_leak(key: tuple[str, str, str, str], entries: Sequence[dict[str, Any]]) -> Leak:
    floors = [entry["floor"] for entry in entries if entry.get("floor") is not None]
    ceilings = [entry["ceiling"] for entry in entries if entry.get("ceiling") is not None]
    bases = dict.fromkeys(entry.get("ceiling_basis", "") for entry in entries)
    flags = dict.fromkeys(flag for entry in entries for flag in entry.get("flags", ()))
    return Leak(
        *key,
        estimate=mean_estimate([entry["estimate"] for entry in entries], key[-1]),
        chance=mean([entry["chance"] for entry in entries if entry["chance"] is not None]),
        floor=mean_estimate(floors, key[-1]) if floors else None,
        ceiling=mean(ceilings) if len(ceilings) == len(entries) else None,
        ceiling_basis="; ".join(basis for basis in bases if basis),
        flags=tuple(flags),
    )


def worst(found: Iterable[Leak], family: str, metric: str | None = None) -> Leak | None:
    """The attack that wins most by its mean over seeds; None where nothing was measured.

    By the metric given, else by the one that the family is judged by.
    """
    metric = metric or metrics.WORST[family]
    judged = [leak for leak in found if (leak.family, leak.metric) == (family, metric)]
    sign = 1.0 if metrics.metric(metric).worse == "higher" else -1.0
    return max(judged, key=lambda leak: sign * leak.estimate.value, default=None)


def by_view(found: Sequence[Leak]) -> tuple[tuple[str, tuple[Leak, ...]], ...]:
    """For each view what its adversary recovers at worst: one attack per metric of inversion.

    An adversary may run every attack on whatever it sees (`reports.metrics.SEES`), so that one who
    sees more never recovers less. Views without any measured inversion are left out.
    """
    table = []
    for view in VIEWS:
        allowed = [leak for leak in found if leak.view in metrics.SEES[view]]
        each = [worst(allowed, "inversion", metric) for metric in metrics.SHOWN]
        measured = tuple(leak for leak in each if leak is not None)
        if measured:
            table.append((view, measured))
    return tuple(table)


def view_lines(found: Sequence[Leak]) -> list[tuple[str, Leak]]:
    """`by_view` as lines: view and worst attack, for what attacks on the view itself measured.

    What an adversary recovers from another view that it sees too stands with that view; where it
    has attacks of its own for the same metric, the worst of all is the one that is shown.
    """
    own = {(leak.view, leak.metric) for leak in found if leak.family == "inversion"}
    table = by_view(found)
    return [(view, leak) for view, each in table for leak in each if (view, leak.metric) in own]


def unmeasured(records: Sequence[CellResult]) -> tuple[str, ...]:
    """Which attacks were not run or what could not be judged, and why, each once."""
    entries = (entry for record in records for entry in record.leakage)
    texts = []
    for entry in entries:
        if entry.get("not_measured"):
            what = f", {metrics.title(entry['metric'])}" if "metric" in entry else ""
            head = f"{entry['attack']} ({entry['family']}, {entry['view']} view{what})"
            texts.append(f"{head}: {entry['not_measured']}")
    return tuple(dict.fromkeys(texts))
