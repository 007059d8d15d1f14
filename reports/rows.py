"""Rows of a report: one per cell, or one per setting with its seeds averaged."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports.alike import over_seeds
from reports.averages import mean, mean_estimate
from reports.comparison import GAP, Comparison, comparisons, group_of
from reports.estimate import Estimate
from reports.fates import reason
from reports.labels import Pairs, further_labels, phrase
from reports.leak import Leak
from reports.leaks import alarms, leak_seeds, unmeasured, view_lines, worst
from reports.leaks import leaks as measured_leaks
from reports.noise_mode import mode_of
from reports.records import CellResult
from reports.tradeoff import Allowed, allowed, beside_leak


@dataclass(frozen=True)
class GuaranteeCell:
    """What is guaranteed for one view: in short, and as the full sentence.

    `unit`, `relation`, `scope` are "" and `epsilon`, `delta` None unless `kind` is "guarantee". Of
    further claims about the view (labels) `short` and `sentence` speak too, and `further` holds
    their units.
    """

    view: str
    kind: str
    short: str
    sentence: str
    unit: str = ""
    epsilon: float | None = None
    delta: float | None = None
    further: tuple[str, ...] = ()
    relation: str = ""
    scope: str = ""

    @property
    def units(self) -> tuple[str, ...]:
        """The units of privacy that are guaranteed, (epsilon, delta) each."""
        return (self.unit, *self.further) if self.unit else self.further

    @property
    def claimed(self) -> bool:
        """Whether anything is claimed, metric privacy included."""
        return bool(self.units) or self.kind == "metric guarantee"


@dataclass(frozen=True)
class Row:
    """One line of the table; `seeds` are those whose numbers it holds.

    `bytes` and `seconds` are totals over message kinds and phases, averaged over seeds. `further`
    holds the labels that not every record has, such as the settings of a sweep. `allows` is what
    the claims allow an attack, where every seed's record holds a trade-off curve. `leak_seeds`
    counts the seeds of each of `leaks`. `comparison`: whether the undefended row that this one is
    held against left its baseline. `noise`: secret, repeatable, or both.
    """

    task: str
    model: str
    strategy: str
    defence: str
    level: str
    status: str
    seeds: tuple[str, ...]
    metric: str
    utility: Estimate | None
    majority_baseline: float | None
    inversion: Leak | None
    membership: Leak | None
    guarantees: tuple[GuaranteeCell, ...]
    bytes: float | None
    seconds: float | None
    note: str
    unmeasured: tuple[str, ...] = ()
    utilities: tuple[tuple[str, Estimate], ...] = ()
    leaks: tuple[Leak, ...] = ()
    leak_seeds: tuple[int, ...] = ()
    further: Pairs = ()
    allows: tuple[Allowed, ...] = ()
    comparison: Comparison = GAP
    noise: tuple[str, ...] = ()

    def fewer_seeds(self, leak: Leak) -> str:
        """ "1 of 2 seeds" for a mean over fewer seeds than the row has; else nothing."""
        of = len(self.seeds)
        counts = zip(self.leaks, self.leak_seeds, strict=False)
        own = next((count for each, count in counts if each == leak), of)
        return f"{own} of {of} seeds" if own < of else ""

    @property
    def membership_allowed(self) -> Allowed | None:
        """What the claim about the worst membership attack's view and unit allows, if any."""
        return beside_leak(self.membership, self.allows)

    @property
    def membership_notes(self) -> tuple[str, ...]:
        """What stands beside the membership number: its claim, and every alarm of such attacks."""
        claim = self.membership_allowed
        told = [f"claim allows {claim.words}"] if claim else []
        own = [leak for leak in self.leaks if leak.family == "membership"]
        return (*told, *dict.fromkeys(text for leak in own for text in alarms(leak)))

    @property
    def view_lines(self) -> list[tuple[str, Leak]]:
        """What was recovered at worst, view by view and metric by metric."""
        return view_lines(self.leaks)

    @property
    def alarms(self) -> tuple[str, ...]:
        """Which attacks lie beyond a reference attack or a bound, and what that means."""
        return tuple(dict.fromkeys(text for leak in self.leaks for text in alarms(leak)))

    @property
    def setting(self) -> str:
        """Defence and level in a few words."""
        return self.defence if self.level in ("-", "") else f"{self.defence}, {self.level}"

    @property
    def name(self) -> str:
        """The setting with its further labels."""
        return self.setting + phrase(self.further)

    @property
    def units(self) -> tuple[str, ...]:
        """The units of privacy that the row's guarantees speak of."""
        return tuple(dict.fromkeys(unit for each in self.guarantees for unit in each.units))


def cell_rows(records: Iterable[CellResult]) -> list[Row]:
    """One row per record, in their order."""
    every = list(records)
    verdicts = comparisons(every)
    return [_row([record], verdicts[group_of(record)]) for record in every]


def setting_rows(records: Iterable[CellResult]) -> list[Row]:
    """One row per setting (records that differ in their seed alone), in order of appearance."""
    every = list(records)
    verdicts = comparisons(every)
    return [_row(group, verdicts[group_of(group[0])]) for group in by_setting(every)]


def by_setting(records: Iterable[CellResult]) -> list[list[CellResult]]:
    """The records of each setting, which differ in their seed alone; the rows' order."""
    groups: dict[str, list[CellResult]] = {}
    for record in records:
        labels = {name: text for name, text in record.labels.items() if name != "seed"}
        key = json.dumps([labels, _without_seed(record.spec)], sort_keys=True)
        groups.setdefault(key, []).append(record)
    return list(groups.values())


def guarantee_cell(entry: dict[str, Any]) -> GuaranteeCell:
    """A record's guarantee entry, with its short form.

    >>> guarantee_cell({"view": "peer", "kind": "nothing sent", "sentence": "."}).short
    'nothing sent'
    """
    kind, view, sentence = entry["kind"], entry["view"], entry["sentence"]
    if kind == "metric guarantee":
        eta, times = round_up(float(entry["eta"])), entry["releases"]
        short = f"metric, eta {eta} over {times} releases ({entry['unit']}, {entry['scope']})"
        return GuaranteeCell(view, kind, short, sentence)
    if kind != "guarantee":
        return GuaranteeCell(view, kind, "none" if kind == "no guarantee" else kind, sentence)
    unit, epsilon = entry["unit"], float(entry["epsilon"])
    kept = entry["relation"], entry["scope"]
    short = f"eps {round_up(epsilon)} ({unit}, {', '.join(kept)})"
    numbers = epsilon, float(entry["delta"])
    return GuaranteeCell(view, kind, short, sentence, unit, *numbers, (), *kept)


def round_up(epsilon: float) -> str:
    """`epsilon` to three figures, never rounded down: a guarantee must not look stronger.

    >>> round_up(8.0), round_up(19.101), round_up(0.3), round_up(7.9999999)
    ('8.0', '19.2', '0.3', '8.0')
    """
    if epsilon == 0:
        return "0.0"
    digits = 2 - math.floor(math.log10(epsilon))
    scaled = epsilon * 10.0**digits
    whole = math.ceil(scaled - 1e-6 * scaled)
    text = f"{whole / 10.0**digits:.3g}"
    return text if set(text) & set(".e") else f"{text}.0"


def _row(group: Sequence[CellResult], comparison: Comparison) -> Row:
    """The row of records that differ in their seed alone."""
    labels = group[0].labels
    done = [record for record in group if record.status == "done"]
    metric = next((next(iter(each.utility)) for each in done if each.utility), "")
    utilities = [record.utility[metric] for record in done if metric in record.utility]
    majority = [x for each in done if (x := each.majority_baseline.get(metric)) is not None]
    leaks = measured_leaks(done)
    return Row(
        task=labels["task"],
        model=labels["model"],
        strategy=labels["strategy"],
        defence=labels["defence"],
        level=labels["level"],
        status="done" if done else group[-1].status,
        seeds=tuple(record.labels["seed"] for record in done),
        metric=metric,
        utility=mean_estimate(utilities, metric) if utilities else None,
        majority_baseline=mean(majority),
        inversion=worst(leaks, "inversion"),
        membership=worst(leaks, "membership"),
        guarantees=_guarantees(done),
        bytes=mean([sum(record.bytes.values()) for record in done if record.bytes]),
        seconds=mean([math.fsum(record.seconds.values()) for record in done if record.seconds]),
        note=_note(group),
        unmeasured=unmeasured(done),
        utilities=_utilities(done),
        leaks=leaks,
        leak_seeds=leak_seeds(done),
        further=further_labels(labels),
        allows=allowed(record.guarantees for record in done),
        comparison=comparison,
        noise=tuple(sorted(set(map(mode_of, done)))),
    )


def _utilities(records: Sequence[CellResult]) -> tuple[tuple[str, Estimate], ...]:
    """Every utility metric with its mean over seeds."""
    found: dict[str, list[Estimate]] = {}
    for record in records:
        for metric, estimate in record.utility.items():
            found.setdefault(metric, []).append(estimate)
    return tuple((metric, mean_estimate(each, metric)) for metric, each in found.items())


def _guarantees(records: Sequence[CellResult]) -> tuple[GuaranteeCell, ...]:
    """One guarantee per view; where seeds differ, the shorts and sentences of all."""
    by_view: dict[str, list[GuaranteeCell]] = {}
    for record in records:
        for found in _by_view(record):
            known = by_view.setdefault(found.view, [])
            if found not in known:
                known.append(found)
    return tuple(_weakest(each) for each in by_view.values())


def _by_view(record: CellResult) -> list[GuaranteeCell]:
    """One record's guarantees, the further claims joined to their view's first."""
    found: dict[str, GuaranteeCell] = {}
    for each in map(guarantee_cell, record.guarantees):
        main = found.get(each.view)
        if main is not None:
            bare = main.kind == "no guarantee" and not main.further
            short = f"{each.short}, none for the text" if bare else f"{main.short}; {each.short}"
            sentence = f"{main.sentence} {each.sentence}"
            each = replace(main, short=short, sentence=sentence, further=main.further + each.units)
        found[each.view] = each
    return list(found.values())


def _weakest(found: Sequence[GuaranteeCell]) -> GuaranteeCell:
    """The one guarantee, or the weakest of several with the texts of all of them."""
    if len(found) == 1:
        return found[0]
    unsure = any(each.kind != "guarantee" for each in found)
    last = max(found, key=lambda each: math.inf if each.epsilon is None else each.epsilon)
    if unsure:
        last = GuaranteeCell(last.view, "no guarantee", "", "", further=last.further)
    return replace(
        last,
        short=" or ".join(dict.fromkeys(each.short for each in found)),
        sentence=over_seeds(each.sentence for each in found),
        delta=None if unsure else max(each.delta or 0.0 for each in found),
        further=tuple(u for u in last.further if all(u in each.further for each in found)),
    )


def _note(group: Sequence[CellResult]) -> str:
    """Why cells of the group have no numbers, each reason once."""
    reasons = [reason(record) for record in group if record.status != "done"]
    return "; ".join(dict.fromkeys(reasons))


def _without_seed(value: Any) -> Any:
    """`value` less every key called "seed", at any depth."""
    if isinstance(value, dict):
        return {key: _without_seed(item) for key, item in value.items() if key != "seed"}
    return [_without_seed(item) for item in value] if isinstance(value, list) else value
