"""Leaks: every number that attacks recovered, and the worst that each adversary can do."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from reports import metrics
from reports.averages import mean, mean_estimate
from reports.checks import VIEWS
from reports.leak import Leak, NotMeasured
from reports.records import CellResult


def alarms(leak: Leak) -> tuple[str, ...]:
    """What each flag of a leak means, in a sentence."""
    return tuple(f"{leak.name} ({leak.view}): {metrics.FLAGS[each]}" for each in leak.flags)


def leaks(records: Sequence[CellResult]) -> tuple[Leak, ...]:
    """Every attack and metric that was measured, with its mean over seeds."""
    return tuple(map(mean_leak, _by_attack(records)))


def leak_seeds(records: Sequence[CellResult]) -> tuple[int, ...]:
    """Over how many seeds each of `leaks` is the mean."""
    return tuple(map(len, _by_attack(records)))


def _by_attack(records: Sequence[CellResult]) -> list[list[Leak]]:
    """What was measured, by attack and metric."""
    found: dict[tuple[str, str, str, str], list[Leak]] = {}
    for record in records:
        for each in record.leakage:
            if isinstance(each, Leak):
                key = (each.attack, each.view, each.family, each.metric)
                found.setdefault(key, []).append(each)
    return list(found.values())


def mean_leak(seeds: Sequence[Leak]) -> Leak:
    """The mean over seeds of one attack's leaks by one metric, with the flags of all.

    There is a bound only where every seed has one.
    """
    metric = seeds[0].metric
    references = [each.reference_attack for each in seeds if each.reference_attack is not None]
    informed = [each.informed for each in seeds if each.informed is not None]
    bounds = [x for each in seeds if (x := each.reconstruction_bound) is not None]
    return replace(
        seeds[0],
        estimate=mean_estimate([each.estimate for each in seeds], metric),
        chance=mean([each.chance for each in seeds if each.chance is not None]),
        reference_attack=mean_estimate(references, metric) if references else None,
        reference_basis=_joined(each.reference_basis for each in seeds),
        reconstruction_bound=mean(bounds) if len(bounds) == len(seeds) else None,
        bound_basis=_joined(each.bound_basis for each in seeds),
        prior=mean([each.prior for each in seeds if each.prior is not None]),
        flags=tuple(dict.fromkeys(flag for each in seeds for flag in each.flags)),
        informed=mean_estimate(informed, metric) if informed else None,
        informed_basis=_joined(each.informed_basis for each in seeds),
    )


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(text for text in dict.fromkeys(texts) if text)


def worst(found: Iterable[Leak], family: str, metric: str | None = None) -> Leak | None:
    """The attack that wins most by its mean over seeds; None where nothing was measured.

    By the metric given, else by the one that the family is judged by. Baselines are not among them.
    """
    metric = metric or metrics.WORST[family]
    return _highest(
        leak
        for leak in found
        if (leak.family, leak.metric) == (family, metric) and not leak.baseline
    )


def worst_reading(found: Sequence[Leak]) -> Leak | None:
    """The attack that reads most, by the first metric of those shown that any was judged by."""
    others = (leak.metric for leak in found if leak.family == "inversion")
    every = dict.fromkeys((*metrics.SHOWN, *others))
    return next((leak for each in every if (leak := worst(found, "inversion", each))), None)


def _highest(chosen: Iterable[Leak]) -> Leak | None:
    """The worst of leaks by one metric for the data's owner."""

    def harm(leak: Leak) -> float:
        value = leak.estimate.value
        return value if metrics.metric(leak.metric).worse == "higher" else -value

    return max(chosen, key=harm, default=None)


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
    has attacks of its own for the same metric, the worst of all is the one that is shown. The best
    baseline on the view follows, where there is one.
    """
    inversions = [leak for leak in found if leak.family == "inversion"]
    own = {(leak.view, leak.metric) for leak in inversions if not leak.baseline}
    lines = []
    for view, each in by_view(found):
        for leak in each:
            if (view, leak.metric) not in own:
                continue
            key = (view, leak.metric, True)
            constant = _highest(x for x in inversions if (x.view, x.metric, x.baseline) == key)
            lines += [(view, leak)] + ([(view, constant)] if constant else [])
    return lines


def unmeasured(records: Sequence[CellResult]) -> tuple[str, ...]:
    """Which attacks were not run or what could not be judged, and why, each once.

    A reason that does not hold for every record, as for its own numbers, names the seeds.
    """
    seeds: dict[str, dict[str, list[str]]] = {}
    for record in records:
        for each in record.leakage:
            if isinstance(each, NotMeasured):
                held = seeds.setdefault(what_of(each), {}).setdefault(each.reason, [])
                if record.labels["seed"] not in held:
                    held.append(record.labels["seed"])
    every = len({record.labels["seed"] for record in records})
    return tuple(f"{what}: {_reasons(why, every)}" for what, why in seeds.items())


def _reasons(seeds: dict[str, list[str]], every: int) -> str:
    """The reasons in one phrase, each with its seeds where it is not that of all.

    >>> _reasons({"needs 3, got 1": ["0"], "needs 3, got 2": ["1", "2"]}, 3)
    'needs 3, got 1 (seed 0); needs 3, got 2 (seeds 1, 2)'
    """
    parts = []
    for reason, own in seeds.items():
        named = f" (seed{'s' * (len(own) > 1)} {', '.join(own)})" if len(own) < every else ""
        parts.append(reason + named)
    return "; ".join(parts)


def what_of(each: NotMeasured) -> str:
    """The attack that was not run, or the metric by which it was not judged."""
    what = f", {metrics.title(each.metric)}" if each.metric else ""
    return f"{each.attack} ({each.family}, {each.view} view{what})"
