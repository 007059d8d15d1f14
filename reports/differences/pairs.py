"""Differences of two settings in utility and in what each attack reads, paired where they can be.

The difference of two numbers from the same seed has an interval that holds whatever the two have
to do with each other: the half-widths are added. Where both have scores of the same candidates on
disk, these are resampled together, which is narrower. Over seeds the mean of the differences has
Student's t over seeds besides. Without a common seed the two means are compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reports import metrics
from reports.averages import mean_estimate
from reports.differences.apart import apart, lacking, same_data
from reports.differences.bootstrap import METHOD, auc_difference, p_value, same_candidates
from reports.estimate import Estimate
from reports.figures.settings import Setting
from reports.frontier.leakage import judged
from reports.holm import holm
from reports.leak import Leak
from reports.records import CellResult
from reports.run_folder import scores_path
from reports.scores import Scored, read_scores

LEVEL = 0.05
ADDED = "the two intervals' half-widths added, which holds however they hang together"
SEED = 20171  # of the resampling: the same records, the same numbers
Key = tuple[str, str, str]
"""Attack, view and metric; of a utility attack and view are ""."""


@dataclass(frozen=True)
class Side:
    """One of two settings that are compared: what it is called, and its run's folder."""

    name: str
    setting: Setting
    directory: Path


@dataclass(frozen=True)
class Difference:
    """The second side less the first by one number.

    seeds: of how many seeds it is the mean; separate: the sides have no seed in common. p: of no
    difference; adjusted: the same among all that were compared (Holm). With one seed on a side and
    none in common p is 1: how far seeds lie apart is in no interval.
    """

    key: Key
    before: float
    after: float
    estimate: Estimate
    seeds: int
    separate: bool
    p: float
    adjusted: float = 1.0

    @property
    def told(self) -> bool:
        """Whether it is distinguishable from none among all that were compared."""
        return self.adjusted <= LEVEL

    @property
    def paired(self) -> bool:
        """Whether scores of the same candidates were resampled together."""
        return METHOD in self.estimate.method


@dataclass(frozen=True)
class Compared:
    """Two settings, their differences, and in what else they differ.

    void: why nothing may be made of the utility; "" where nothing is wrong. lacking: attacks that
    have numbers on one side alone.
    """

    first: Side
    second: Side
    differences: tuple[Difference, ...]
    apart: tuple[str, ...]
    void: str = ""
    lacking: tuple[str, ...] = ()


def compared(first: Side, second: Side) -> Compared:
    """Every number that both settings have, compared; not corrected for how many there are."""
    a, b = first.setting.cells, second.setting.cells
    found = []
    numbers = _numbers(a), _numbers(b)
    for key in numbers[0]:
        if key in numbers[1]:
            scored = _scored(key, first, second) if same_data(a, b) else {}
            found.append(_difference(key, numbers[0][key], numbers[1][key], scored))
    verdicts = [side.setting.row.comparison for side in (first, second)]
    void = "; ".join(dict.fromkeys(each.short for each in verdicts if not each.holds))
    names = first.name, second.name
    told, lacks = tuple(apart(a, b, names)), tuple(lacking(a, b, names))
    return Compared(first, second, tuple(found), told, void, lacks)


def corrected(pairs: Sequence[Compared]) -> list[Compared]:
    """The same with p-values that hold together (Holm over every difference of all pairs)."""
    adjusted = iter(holm([each.p for pair in pairs for each in pair.differences]))
    return [
        replace(
            pair,
            differences=tuple(replace(each, adjusted=next(adjusted)) for each in pair.differences),
        )
        for pair in pairs
    ]


def less(a: Estimate, b: Estimate) -> Estimate:
    """The second less the first; its interval holds whatever the two have to do with each other.

    >>> less(Estimate(0.5, 0.25, 0.75, 100), Estimate(0.25, 0.0, 0.5, 50)).low
    -0.75
    """
    value = b.value - a.value
    low = value - (b.value - b.low) - (a.high - a.value)
    high = value + (b.high - b.value) + (a.value - a.low)
    confidence = min(a.confidence, b.confidence)
    return Estimate(value, low, high, min(a.n, b.n), confidence, ADDED)


def _difference(
    key: Key,
    a: Mapping[str, Estimate],
    b: Mapping[str, Estimate],
    scored: Mapping[str, tuple[Scored, Scored]],
) -> Difference:
    """One number's difference, over the seeds that both have, or of the means."""
    common = [seed for seed in a if seed in b]
    if not common:
        metric = key[2]
        means = [mean_estimate(list(each.values()), metric) for each in (a, b)]
        estimate = less(*means)
        count = min(len(a), len(b))
        values = means[0].value, means[1].value
        p = 1.0 if count == 1 else p_value(estimate, count)
        return Difference(key, *values, estimate, count, True, p)
    each = [
        auc_difference(*scored[seed], SEED) if seed in scored else less(a[seed], b[seed])
        for seed in common
    ]
    estimate = mean_estimate(each, "")
    before, after = (sum(own[seed].value for seed in common) / len(common) for own in (a, b))
    p = p_value(estimate, len(common))
    return Difference(key, before, after, estimate, len(common), False, p)


def _numbers(cells: Sequence[CellResult]) -> dict[Key, dict[str, Estimate]]:
    """The headline utility and each attack by each metric that counts, by seed."""
    found: dict[Key, dict[str, Estimate]] = {}
    for cell in cells:
        seed = cell.labels["seed"]
        for metric, estimate in list(cell.utility.items())[:1]:
            found.setdefault(("", "", metric), {})[seed] = estimate
        for leak in judged([x for x in cell.leakage if isinstance(x, Leak)], few=True):
            found.setdefault((leak.attack, leak.view, leak.metric), {})[seed] = leak.estimate
    return {key: own for key, own in found.items() if key[2] in metrics.METRICS}


def _scored(key: Key, first: Side, second: Side) -> dict[str, tuple[Scored, Scored]]:
    """By seed the scores of the same candidates on both sides, where they are kept."""
    attack, _, metric = key
    if metric != "auc":
        return {}
    found = {}
    by_seed = {cell.labels["seed"]: cell for cell in first.setting.cells}
    for other in second.setting.cells:
        one = by_seed.get(other.labels["seed"])
        if one is None:
            continue
        paths = (scores_path(first.directory, one.cell), scores_path(second.directory, other.cell))
        if not all(path.is_file() for path in paths):
            continue
        a, b = (read_scores(path).get(attack) for path in paths)
        if a is not None and b is not None and same_candidates(a, b):
            found[other.labels["seed"]] = (a, b)
    return found
